"""One process that does everything: signals pass through the parent's part to the loop."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.oob import UsersFile
from proxyd.daemon.single import SingleProcess, SoleHand
from proxyd.daemon.spawn import WorkerMain
from proxyd.logs.setup import Places, open_logs
from tests.kit.readiness import is_readable
from tests.proxyd.daemon.estates import an_estate
from tests.workers.forked import in_child
from workers.contract.context import WorkerContext
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import Drain, Level, LogBatch, LogRecord, Lookup, Tap, Users
from workers.contract.settings import AuthSettings, LogSettings, SyslogFailure
from workers.contract.slots import Counter
from workers.errors import ContractError


def run_single(log: Path, main: WorkerMain, *signals: int) -> str:
    """Run a single process that sends itself signals when it is ready; return how it ended."""

    def announce() -> None:
        for number in signals:
            os.kill(os.getpid(), number)

    def act() -> Ending:
        with an_estate(log) as estate:
            logs = open_logs(estate.settings, foreground=False, ident="TEST")
            ending = SingleProcess(estate, logs).run(main, announce)
            logs.close()
            return ending

    return in_child(act)


def note_signals(context: WorkerContext) -> ExitCode:
    """Log the numbers of the signals that reach the loop, until SIGTERM."""
    while True:
        ready, _, _ = select.select([context.channel.fileno(), context.wakeup], [], [])
        if context.channel.fileno() in ready:
            context.channel.receive()
        if context.wakeup in ready:
            numbers = list(os.read(context.wakeup, 100))
            context.channel.send(LogBatch([LogRecord("state", 0, (str(numbers),))], 0))
            if signal.SIGTERM in numbers:
                return ExitCode.STOPPED


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_loop_hears_a_stop_signal_as_sigterm(tmp_path: Path, stop: signal.Signals) -> None:
    ending = run_single(tmp_path / "log", note_signals, stop)
    assert ending == str(Ending(ExitStatus.OK, stop.name))
    assert f"State: [{int(signal.SIGTERM)}]" in (tmp_path / "log").read_text()


def test_each_part_answers_its_own_signals(tmp_path: Path) -> None:
    sent = (signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 1, signal.SIGTERM)
    run_single(tmp_path / "log", note_signals, *sent)
    text = (tmp_path / "log").read_text()
    assert "Not reloaded: one process does everything: that takes a restart; generation 1 goes on" in text
    assert "Log level is 8" in text
    assert f"State: {[int(number) for number in sent[1:]]}" in text


def test_a_worker_that_drains_ends_the_process(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        while True:
            ready, _, _ = select.select([context.channel.fileno(), context.wakeup], [], [])
            if context.channel.fileno() in ready and context.channel.receive() == Drain():
                context.region.words[Counter.DRAINING] = 1
            if context.wakeup in ready and signal.SIGTERM in os.read(context.wakeup, 100):
                return ExitCode.STOPPED

    assert run_single(tmp_path / "log", main, signal.SIGQUIT) == str(Ending(ExitStatus.OK, "drained"))


def test_the_one_worker_takes_orders_for_itself_alone() -> None:
    given: list[object] = []
    hand = SoleHand(given.append)
    assert hand.order(0, Level(5), 1)
    assert not hand.order(1, Level(6), 1)
    hand.tell_workers((Level(7), Level(8)))
    assert given == [Level(5), Level(7), Level(8)]
    with socket.socket() as sock:
        assert not hand.lend(1, Tap(1, 2, 3, 4, 5), sock.fileno())
        assert hand.lend(0, Tap(1, 2, 3, 4, 5), sock.fileno())
        order = given.pop()
        assert isinstance(order, Tap)
        assert os.path.sameopenfile(order.lane, sock.fileno())
        os.close(order.lane)
    assert [(child.name, child.pid) for child in hand.roster.children] == [("worker 0", os.getpid())]


def test_a_question_for_a_name_is_answered(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        context.channel.send(Lookup(0, 4, b"\x7f\0\0\x01"))
        select.select([context.channel.fileno()], [], [])
        answer = context.channel.receive()
        context.channel.send(LogBatch([LogRecord("state", 0, (repr(answer),))], 0))
        return ExitCode.STOPPED

    run_single(tmp_path / "log", main)
    assert "name='localhost'" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(("number", "answers"), [(signal.SIGTERM, 1), (signal.SIGQUIT, 2), (signal.SIGUSR1, 2)])
def test_a_signal_is_seen_between_two_questions(tmp_path: Path, number: signal.Signals, answers: int) -> None:
    def main(context: WorkerContext) -> ExitCode:
        for _ in range(2):
            context.channel.send(Lookup(0, 4, b"\x7f\0\0\x01"))
        seen = [type(context.channel.receive()).__name__]
        os.kill(os.getpid(), number)
        for _ in range(2):
            while (message := context.channel.receive()) is not None:
                seen.append(type(message).__name__)
            if is_readable(context.wakeup):
                seen += [signal.Signals(value).name for value in os.read(context.wakeup, 100)]
        context.channel.send(LogBatch([LogRecord("state", 0, (" ".join(seen),))], 0))
        context.region.words[Counter.DRAINING] = 1
        return ExitCode.STOPPED

    run_single(tmp_path / "log", main)
    (line,) = [line for line in (tmp_path / "log").read_text().splitlines() if "State: " in line]
    seen = line.partition("State: ")[2].split()
    assert seen.count("Looked") == answers
    assert seen[1] == {signal.SIGQUIT: "Drain"}.get(number, number.name)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that everybody may use: this process becomes another user."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_users_are_read_again_and_told(tmp_path: Path, open_folder: Path) -> None:
    listing = open_folder / "oob.list"

    def main(context: WorkerContext) -> ExitCode:
        assert context.users == (Users(True, True, []),)
        listing.write_text("10.0.0.1\talice\n")
        while not isinstance(message := context.channel.receive(), Users):
            select.select([context.channel.fileno()], [], [])
        context.channel.send(LogBatch([LogRecord("state", 0, (message.entries[0][2],))], 0))
        return ExitCode.STOPPED

    def act() -> Ending:
        with an_estate(tmp_path / "log") as estate:
            logs = open_logs(estate.settings, foreground=False, ident="TEST")
            users = UsersFile(AuthSettings("OOB", str(listing)), logs)
            ending = SingleProcess(dataclasses.replace(estate, users=users), logs).run(main, lambda: None)
            logs.close()
            return ending

    assert in_child(act) == str(Ending(ExitStatus.OK, "the loop ended"))
    text = (tmp_path / "log").read_text()
    assert "State: alice" in text
    assert f"Users read from {listing}, 1 entries" in text


def test_a_loop_that_ends_by_itself_is_a_failure(tmp_path: Path) -> None:
    ending = run_single(tmp_path / "log", lambda _: ExitCode.CRASHED)
    assert ending == str(Ending(ExitStatus.SOFTWARE, "the loop ended"))


def test_a_loop_that_cannot_go_on_tells_why(tmp_path: Path) -> None:
    def main(_context: WorkerContext) -> ExitCode:
        raise ContractError("nonsense")

    assert run_single(tmp_path / "log", main) == str(Ending(ExitStatus.UNAVAILABLE, "nonsense"))


def log_much_until_sigterm(context: WorkerContext) -> ExitCode:
    """Log more than may wait for syslog, and end when told to within a turn."""
    for _ in range(30):
        context.channel.send(LogBatch([LogRecord("state", 0, ("x" * 1000,))] * 100, 0))
        if is_readable(context.wakeup):
            return ExitCode.STOPPED if list(os.read(context.wakeup, 100)) == [signal.SIGTERM] else ExitCode.CRASHED
    return ExitCode.STOPPED


def test_a_log_that_must_not_fail_ends_the_process_as_it_ends_the_proxy(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="log") as folder:  # tmp_path is too long for a socket's name
        path = f"{folder}/log"

        def act() -> Ending:
            with an_estate(tmp_path / "log") as estate, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
                receiver.bind(path)
                syslog = LogSettings(level=7, syslog_failure=SyslogFailure.STOP)
                settings = dataclasses.replace(estate.settings, debug_log=syslog, stats_log=syslog)
                logs = open_logs(settings, foreground=False, ident="TEST", places=Places(syslog=path))
                return SingleProcess(estate, logs).run(log_much_until_sigterm, lambda: None)

        assert in_child(act) == str(Ending(ExitStatus.SOFTWARE, f"log: syslog {path}: more waits than may"))
