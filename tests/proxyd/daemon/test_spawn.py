"""What a forked child is given, and what it is not."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
from pathlib import Path

from proxyd.daemon.roster import Child, Role
from proxyd.daemon.spawn import Spawner, WorkerMain, confine_this_process
from tests.proxyd.daemon.estates import an_estate
from tests.workers.forked import in_child
from workers import sandbox
from workers.contract.channel import ChannelClosedError, ParentEnd
from workers.contract.context import Confinement, WorkerContext
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import FromChild, LogBatch, LogRecord, Names, Ready
from workers.contract.settings import AclSettings, HostCondition, HostList, HostMember, HostPattern, QueueSettings
from workers.contract.slots import Counter

NAMES = Names({"a.example": [(4, b"\x7f\0\0\x01")]})


def listen(channel: ParentEnd) -> list[FromChild]:
    """Return everything a child says until its end."""
    said: list[FromChild] = []
    try:
        while True:
            select.select([channel], [], [])
            message = channel.receive()
            assert message is not None
            said.append(message)
    except ChannelClosedError:
        return said


def tell(context: WorkerContext, text: object) -> None:
    context.channel.send(LogBatch([LogRecord("state", 0, (str(text),))], 0))


def run_worker(tmp_path: Path, main: WorkerMain, index: int = 1) -> tuple[int, list[FromChild]]:
    with an_estate(tmp_path / "log", workers=2) as estate:
        process, channel = Spawner(estate, main).fork(Child(Role.WORKER, index), 8, NAMES)
        said = listen(channel)
        channel.close()
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), said


def test_a_worker_gets_its_own_part_of_the_estate(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        sock = context.listeners[0]
        tell(context, (context.index, context.level, len(context.listeners), sock.getsockname()[1]))
        tell(context, os.eventfd_read(context.permits))
        tell(context, context.names)
        context.region.words[Counter.SESSIONS] = 1
        return ExitCode.STOPPED

    code, said = run_worker(tmp_path, main)
    assert code == ExitCode.STOPPED
    assert said[0] == Ready()
    texts = [message.records[0].fields[0] for message in said[1:] if isinstance(message, LogBatch)]
    assert texts == ["(1, 8, 1, 5300)", "1", str(NAMES)]


def test_what_a_worker_writes_to_its_region_is_seen_by_the_parent(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        context.region.words[Counter.SESSIONS] = 4
        return ExitCode.STOPPED

    with an_estate(tmp_path / "log", workers=2) as estate:
        process, channel = Spawner(estate, main).fork(Child(Role.WORKER, 1), 6, None)
        listen(channel)
        channel.close()
        os.waitpid(process, 0)
        assert [region.sessions for region in estate.shared.regions] == [0, 4]


def test_a_worker_cannot_touch_anothers_region(tmp_path: Path) -> None:
    with an_estate(tmp_path / "log", workers=2) as estate:
        others = estate.shared.regions[0]

        def main(context: WorkerContext) -> ExitCode:
            try:
                others.words[Counter.SESSIONS] = 1
            except ValueError as error:
                tell(context, error)
            return ExitCode.STOPPED

        process, channel = Spawner(estate, main).fork(Child(Role.WORKER, 1), 6, None)
        said = listen(channel)
        channel.close()
        os.waitpid(process, 0)
        assert "released" in str(said[1])


def test_the_parents_signals_are_open_again_after_a_fork(tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    run_worker(tmp_path, lambda context: ExitCode.STOPPED)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_signal_sent_right_after_the_fork_reaches_the_childs_work(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        select.select([context.wakeup], [], [])
        return ExitCode.STOPPED

    with an_estate(tmp_path / "log") as estate:
        for _ in range(10):
            process, channel = Spawner(estate, main).fork(Child(Role.WORKER, 0), 6, None)
            os.kill(process, signal.SIGTERM)
            channel_said = listen(channel)
            channel.close()
            assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == ExitCode.STOPPED
            assert channel_said == [Ready()]


def test_a_regular_expression_wants_a_resolver(tmp_path: Path) -> None:
    pattern = HostCondition(HostList((HostMember(HostPattern("x")),)))
    with an_estate(tmp_path / "log", acls=(AclSettings("R", True, sources=(pattern,)),)) as estate:
        assert estate.resolving
        assert not dataclasses.replace(estate, naming=None).resolving


def test_a_worker_is_given_the_buckets_of_queues_with_a_rate_and_keeps_their_descriptor(tmp_path: Path) -> None:
    def main(context: WorkerContext) -> ExitCode:
        assert context.rates is not None
        with context.rates.locked(3) as held:
            context.rates.words[3] = 77 if held else 0
        return ExitCode.STOPPED

    with an_estate(tmp_path / "log", queues=(QueueSettings("a", mark=1), QueueSettings("b", rate_bps=8))) as estate:
        child = Child(Role.WORKER, 0)
        process, channel = Spawner(estate, main).fork(child, 6, Names({}))
        assert all(isinstance(message, Ready) for message in listen(channel))
        assert os.waitpid(process, 0)[1] == 0
        assert estate.shared.rates is not None
        assert list(estate.shared.rates.words) == [0, 0, 0, 77]
        assert estate.regions == (*estate.shared.regions, estate.shared.rates)


def test_this_process_can_confine_itself() -> None:
    def act() -> object:
        ids = Confinement(65534, 65534) if os.geteuid() == 0 else Confinement()
        confine_this_process(ids)
        return sum(sandbox.read_capabilities()), sandbox.new_privileges_are_forbidden()

    assert in_child(act) == str((0, True))
