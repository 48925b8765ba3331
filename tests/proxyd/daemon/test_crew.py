"""Children as processes, driven step by step: replaced, refused, buried, and believed only so far."""

from __future__ import annotations

import dataclasses
import os
import re
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from proxyd.daemon.crew import Crew, describe_exit
from proxyd.daemon.exits import ExitStatus
from proxyd.daemon.roster import FREEZE_NS, Child, Role, Roster, State
from proxyd.daemon.spawn import Spawner, WorkerMain
from proxyd.logs.relay import Relay
from proxyd.logs.setup import Logs, open_logs
from tests.proxyd.daemon.estates import an_estate
from workers.contract.context import WorkerContext
from workers.contract.custody import Entrusted, Entry, say
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import (
    Failed,
    Freeze,
    LogBatch,
    LogRecord,
    Looked,
    Lookup,
    Moved,
    Names,
    Offered,
    Users,
    Withdrawn,
)
from workers.contract.slots import SLOT, Counter

TIMEOUT_S = 10
GIVEN = re.compile(r"kept \[(\d+)\] \[b'\1'\], 1 permits")
"""What `entrusting` says of a session it was given: the socket's inode, and what was noted of it."""


@dataclasses.dataclass
class Yard:
    """A crew of one worker, and what the test looks at."""

    crew: Crew
    roster: Roster
    logs: Logs
    epoll: select.epoll
    log_path: Path
    shared_sessions: Callable[[], int]

    @property
    def worker(self) -> Child:
        return self.roster.children[0]

    def turn_until(self, reached: Callable[[], bool]) -> None:
        """Do the loop's work until something is reached."""
        deadline = time.monotonic() + TIMEOUT_S
        while not reached():
            assert time.monotonic() < deadline, self.text()
            self.crew.start_due(time.monotonic_ns())
            self.crew.hand_out()
            for descriptor, _ in self.epoll.poll(0.01):
                self.crew.receive(descriptor)
            self.crew.reap(time.monotonic_ns())

    def text(self) -> str:
        self.logs.flush()
        return self.log_path.read_text()


@contextmanager
def a_crew(
    directory: Path, main: WorkerMain, *others: Child, forks: type[Spawner] = Spawner, workers: int = 1
) -> Iterator[Yard]:
    with an_estate(directory / "log", workers=workers) as estate, select.epoll() as epoll:
        logs = open_logs(estate.settings, foreground=False, ident="TEST")
        relay = Relay(logs)
        roster = Roster([Child(Role.WORKER, 0), *others], 30, 60 * 10**9)
        deliver = lambda batch, process: relay.deliver(batch, process, time.monotonic_ns())  # noqa: E731
        crew = Crew(roster, forks(estate, main), estate.shared, logs, deliver, epoll)
        yard = Yard(crew, roster, logs, epoll, directory / "log", lambda: estate.shared.sessions)
        try:
            yield yard
        finally:
            crew.stop()
            crew.signal_all(signal.SIGKILL)
            yard.turn_until(lambda: not roster.alive)
            logs.close()


def wait_for_stop(context: WorkerContext) -> ExitCode:
    select.select([context.wakeup], [], [])
    return ExitCode.STOPPED


def says(context: WorkerContext, *messages: object) -> None:
    for message in messages:
        context.channel.send(message)  # type: ignore[arg-type]


def test_a_worker_is_ready_and_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    with a_crew(tmp_path, wait_for_stop) as yard:
        yard.turn_until(lambda: yard.worker.state is State.READY)
        yard.crew.stop()
        yard.turn_until(lambda: not yard.roster.alive)
        assert yard.crew.ending is None
        assert "ended unexpectedly" not in yard.text()


def test_the_last_words_of_a_dead_worker_are_logged(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        for number in range(3):
            says(context, LogBatch([LogRecord("state", 0, (f"word {number}",))], 0))
        os.kill(os.getpid(), signal.SIGKILL)
        return ExitCode.STOPPED

    with a_crew(tmp_path, main) as yard:
        yard.crew.start_due(0)
        first = yard.worker.pid
        # Its death is noticed before its channel is.
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        yard.crew.reap(time.monotonic_ns())
        text = yard.text()
        assert all(f"[{first}.0]: UDPS-743-K State: word {number}" in text for number in range(3))


def test_a_dead_workers_region_is_reset(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        context.region.words[Counter.SESSIONS] += 5
        says(context, LogBatch([LogRecord("state", 0, ("counted",))], 0))
        return wait_for_stop(context)

    with a_crew(tmp_path, main) as yard:
        yard.turn_until(lambda: "counted" in yard.text())
        os.kill(yard.worker.pid, signal.SIGKILL)
        yard.turn_until(lambda: yard.text().count("counted") == 2)
        assert yard.shared_sessions() == 5


def test_a_child_that_is_ready_may_not_say_that_it_failed(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        says(context, Failed("boot", "a lie"))
        return wait_for_stop(context)

    with a_crew(tmp_path, main) as yard:
        yard.turn_until(lambda: "Failed is not permitted to a ready worker" in yard.text())
        yard.turn_until(lambda: "killed by SIGKILL" in yard.text())


def test_a_child_that_closes_its_channel_is_not_left_alone(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        os.close(context.channel.fileno())
        return wait_for_stop(context)

    with a_crew(tmp_path, main) as yard:
        yard.turn_until(lambda: yard.text().count("killed by SIGKILL") >= 1)


def test_every_worker_is_told_and_a_part_that_waits_is_not_lost(tmp_path: Path) -> None:
    parts = [Users(number == 0, number == 9, [(4, bytes(4), "x" * 30_000, [])]) for number in range(10)]

    def main(context: WorkerContext) -> ExitCode:
        taken = 0
        while taken < len(parts):
            select.select([context.channel], [], [])
            taken += context.channel.receive() == parts[taken]
        says(context, LogBatch([LogRecord("state", 0, ("told everything",))], 0))
        return wait_for_stop(context)

    with a_crew(tmp_path, main) as yard:
        yard.turn_until(lambda: yard.worker.state is State.READY)
        yard.crew.tell_workers(parts)
        assert yard.crew.owing
        yard.turn_until(lambda: "told everything" in yard.text())
        assert not yard.crew.owing


class Answering(Spawner):
    """Forks a resolver that answers every question with a name made of who asked."""

    def _plan_resolver(self, child, channel, known):
        plan, _ = super()._plan_resolver(child, channel, known)

        def serve(wakeup: int) -> ExitCode:
            channel.send(Names({}))
            while select.select([channel, wakeup], [], [])[0] != [wakeup]:
                question = channel.receive()
                channel.send(Looked(question.worker, 4, question.value, f"asked-by-{question.worker}", 60))
            return ExitCode.STOPPED

        return plan, serve


class Boasting(Spawner):
    """Forks a resolver that would have sessions carried."""

    def _plan_resolver(self, child, channel, known):
        plan, _ = super()._plan_resolver(child, channel, known)

        def serve(wakeup: int) -> ExitCode:
            channel.send(Offered([(0, 5)]))
            select.select([wakeup], [], [])
            return ExitCode.STOPPED

        return plan, serve


def ask_and_tell(context: WorkerContext) -> ExitCode:
    # The number it gives is a lie: the parent knows whose channel it is.
    says(context, Lookup(7, 4, bytes((10, 0, 0, 1))))
    while not isinstance(answer := context.channel.receive(), Looked):
        select.select([context.channel], [], [])
    says(context, LogBatch([LogRecord("state", 0, (f"{context.index} heard {answer.name}",))], 0))
    return wait_for_stop(context)


def test_a_question_goes_to_the_resolver_and_its_answer_to_who_asked(tmp_path: Path) -> None:
    with a_crew(tmp_path, ask_and_tell, Child(Role.RESOLVER, 0), forks=Answering) as yard:
        yard.turn_until(lambda: "0 heard asked-by-0" in yard.text())


def test_a_resolver_is_renewed_without_a_death(tmp_path: Path) -> None:
    with a_crew(tmp_path, ask_and_tell, Child(Role.RESOLVER, 0), forks=Answering) as yard:
        resolver = yard.roster.children[1]
        yard.turn_until(lambda: resolver.state is State.READY)
        first = resolver.pid
        yard.crew.renew_resolver(time.monotonic_ns())
        yard.turn_until(lambda: resolver.state is State.READY and resolver.pid != first)
        assert "ended unexpectedly" not in yard.text()


def test_a_question_without_a_resolver_is_left_unanswered(tmp_path: Path) -> None:
    with a_crew(tmp_path, ask_and_tell) as yard:
        yard.turn_until(lambda: yard.worker.state is State.READY)
        yard.turn_until(lambda: not yard.crew.owing)
        assert "broke the contract" not in yard.text()


def test_a_worker_may_not_answer_questions(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        says(context, Looked(0, 4, bytes(4), "a.lie", 60))
        return wait_for_stop(context)

    with a_crew(tmp_path, main) as yard:
        yard.turn_until(lambda: "Looked is not permitted to a ready worker" in yard.text())


@pytest.mark.parametrize(
    ("main", "status"),
    [(lambda _: ExitCode.BOOT, ExitStatus.SOFTWARE), (lambda _: ExitCode.CONTRACT, ExitStatus.SOFTWARE)],
    ids=["boot", "contract"],
)
def test_a_hopeless_end_ends_the_proxy(tmp_path: Path, main: WorkerMain, status: ExitStatus) -> None:
    with a_crew(tmp_path, main) as yard:
        yard.turn_until(lambda: yard.crew.ending is not None)
        assert yard.crew.ending is not None
        assert yard.crew.ending.status is status
        yard.crew.stop()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit status 0 (stopped)"),
        (1, "exit status 1 (crashed)"),
        (4, "exit status 4"),
        (-9, "killed by SIGKILL"),
        (-40, "killed by signal 40"),
    ],
)
def test_ends_are_told_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


def test_what_the_first_worker_has_moved_to_is_told_to_all_workers_and_to_those_to_come(tmp_path: Path) -> None:
    moved = Moved(bytes(16))

    def main(context: WorkerContext) -> ExitCode:
        first = context.region.words[Counter.TURNS] == 0
        context.region.words[Counter.TURNS] += 1
        if first:
            says(context, moved)
        select.select([context.channel.fileno()], [], [])
        told = context.channel.receive() == moved
        says(context, LogBatch([LogRecord("state", 0, (f"first {first}, told {told}",))], 0))
        return ExitCode.CRASHED if first else wait_for_stop(context)

    with a_crew(tmp_path, main) as yard:
        yard.turn_until(lambda: "first False, told True" in yard.text())
        assert "first True, told True" in yard.text()


def test_only_the_first_worker_has_heartbeats(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        if context.index == 1:
            says(context, Moved(bytes(16)))
        return wait_for_stop(context)

    with a_crew(tmp_path, main, Child(Role.WORKER, 1), workers=2) as yard:
        yard.turn_until(lambda: "Child worker 1 broke the contract" in yard.text())


def entrusting(context: WorkerContext) -> ExitCode:
    """Open one session and entrust it, or go on with those that were kept; freeze when asked to."""
    words, kept = context.region.words, context.kept
    if not kept:
        open_session(context)
    words[Counter.TURNS] += 1
    inodes = [os.fstat(item.fd).st_ino for item in kept]
    notes = [item.note for item in kept]
    says(context, LogBatch([LogRecord("state", 0, (f"kept {inodes} {notes}, {words[Counter.PERMITS]} permits",))], 0))
    while True:
        ready, _, _ = select.select([context.wakeup, context.channel], [], [])
        if context.wakeup in ready:
            return ExitCode.STOPPED
        if isinstance(context.channel.receive(), Freeze):
            return ExitCode.FROZEN


def open_session(context: WorkerContext) -> None:
    words, region = context.region.words, context.region
    os.eventfd_read(context.permits)
    words[Counter.PERMITS] = words[Counter.SESSIONS] = words[Counter.TOP] = 1
    SLOT.pack_into(region.memory, region.offset(0), 1, 1, 0, 4, 0, 77, *(0,) * 11, *(b"",) * 4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        inode = os.fstat(sock.fileno()).st_ino
        assert context.custody is not None
        assert say(context.custody, Entrusted([Entry(0, 77, str(inode).encode())]), [sock.fileno()])


def test_a_killed_workers_sessions_are_given_to_its_replacement(tmp_path: Path) -> None:
    with a_crew(tmp_path, entrusting) as yard:
        yard.turn_until(lambda: "kept [] []" in yard.text() and len(yard.crew.vault) == 1)
        for count in (1, 2, 3):
            os.kill(yard.worker.pid, signal.SIGKILL)
            found = partial(lambda count: len(GIVEN.findall(yard.text())) == count, count)
            yard.turn_until(found)
        assert len(yard.crew.vault) == 1
        assert yard.shared_sessions() == 1


def test_a_worker_that_is_frozen_is_replaced_without_having_died(tmp_path: Path) -> None:
    with a_crew(tmp_path, entrusting) as yard:
        yard.turn_until(lambda: len(yard.crew.vault) == 1)
        assert yard.crew.freeze(yard.worker, time.monotonic_ns())
        assert not yard.crew.freeze(yard.worker, time.monotonic_ns())
        yard.turn_until(lambda: GIVEN.search(yard.text()) is not None)
        assert "ended unexpectedly" not in yard.text()


def test_a_worker_that_does_not_freeze_in_time_is_killed_and_its_sessions_kept(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        if context.kept:
            return entrusting(context)
        open_session(context)
        return wait_for_stop(context)

    with a_crew(tmp_path, main) as yard:
        yard.turn_until(lambda: len(yard.crew.vault) == 1)
        assert yard.crew.freeze(yard.worker, time.monotonic_ns())
        yard.crew.end_overdue(time.monotonic_ns() + FREEZE_NS)
        yard.turn_until(lambda: GIVEN.search(yard.text()) is not None)
        assert "ended unexpectedly: killed by SIGKILL" in yard.text()


@dataclasses.dataclass
class Offering:
    """Notes what workers would have carried, and whose sockets the parent has at that moment."""

    crew: Crew
    heard: list[object] = dataclasses.field(default_factory=list)

    def handle(self, worker: int, message: Offered | Withdrawn) -> None:
        self.heard.append((worker, message, len(self.crew.vault)))

    def forget(self, worker: int) -> None:
        self.heard.append((worker, "forgotten"))


def offering(context: WorkerContext) -> ExitCode:
    """Entrust a session, and offer it at once; then take it back."""
    open_session(context)
    says(context, Offered([(0, 5)]), Withdrawn([0]))
    return wait_for_stop(context)


def test_what_a_worker_offers_is_handed_on_with_its_socket_there_and_forgotten_with_the_worker(tmp_path: Path) -> None:
    with a_crew(tmp_path, offering) as yard:
        heard = yard.crew.offering = Offering(yard.crew)
        yard.crew.start_due(time.monotonic_ns())
        while len(heard.heard) < 2:
            # What it entrusts waits in another socket, which is not looked at here.
            for descriptor, _ in yard.epoll.poll(TIMEOUT_S):
                if yard.crew.vault.owner(descriptor) is None:
                    yard.crew.receive(descriptor)
        assert heard.heard == [(0, Offered([(0, 5)]), 1), (0, Withdrawn([0]), 1)]
        yard.crew.stop()
        yard.turn_until(lambda: not yard.roster.alive)
        assert heard.heard[2:] == [(0, "forgotten")]


def test_what_a_worker_offers_where_nothing_is_carried_does_no_harm(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        says(context, Offered([(0, 5)]), Withdrawn([0]), LogBatch([LogRecord("state", 0, ("alive",))], 0))
        return wait_for_stop(context)

    with a_crew(tmp_path, main) as yard:
        yard.turn_until(lambda: "alive" in yard.text())
        assert yard.worker.state is State.READY


def test_a_resolver_has_no_sessions_to_offer(tmp_path: Path) -> None:
    with a_crew(tmp_path, wait_for_stop, Child(Role.RESOLVER, 0), forks=Boasting) as yard:
        yard.turn_until(lambda: "Offered is not permitted to a ready resolver" in yard.text())


def test_a_worker_that_entrusts_what_cannot_be_is_killed(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        assert context.custody is not None
        context.custody.send(b"nonsense")
        return wait_for_stop(context)

    with a_crew(tmp_path, main) as yard:
        yard.turn_until(lambda: "broke the contract and was killed: not a word of custody" in yard.text())


def test_sessions_that_kill_their_workers_are_given_up_and_that_is_said(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        if context.kept:
            return ExitCode.CRASHED
        if context.region.words[Counter.TURNS]:
            return wait_for_stop(context)
        open_session(context)
        context.region.words[Counter.TURNS] = 1
        return ExitCode.CRASHED

    with a_crew(tmp_path, main) as yard:
        yard.turn_until(lambda: "Sessions of worker 0 given up" in yard.text())
        yard.turn_until(lambda: yard.worker.state is State.READY)
        assert len(yard.crew.vault) == 0
        assert yard.shared_sessions() == 0
