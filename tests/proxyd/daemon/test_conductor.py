"""Orders as they reach a real worker process, and what becomes of a proxy that drains."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxyd.daemon.conductor import CrewConductor
from proxyd.daemon.crew import Crew
from proxyd.daemon.exits import ExitStatus
from proxyd.daemon.roster import Child, Role, Roster, State
from proxyd.daemon.shared import Shared
from proxyd.daemon.spawn import Spawner
from proxyd.logs.relay import Relay
from proxyd.logs.setup import open_logs
from tests.proxyd.daemon.estates import an_estate
from workers.contract.context import WorkerContext
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import Drain, Kill, Level, LogBatch, LogRecord, Tap
from workers.contract.slots import Counter

TIMEOUT_S = 10


def obey(context: WorkerContext) -> ExitCode:
    """Write every order to the log, and drain as a worker does: its memory says so."""
    epoll = select.epoll()
    for fd in (context.channel.fileno(), context.wakeup):
        epoll.register(fd, select.EPOLLIN)
    while signal.SIGTERM not in _signals(context.wakeup):
        while (message := context.channel.receive()) is not None:
            context.channel.send(LogBatch([LogRecord("state", 0, (f"worker 0: {message}",))], 0))
            context.region.words[Counter.DRAINING] |= isinstance(message, Drain)
        epoll.poll()
    return ExitCode.STOPPED


def _signals(wakeup: int) -> bytes:
    try:
        return os.read(wakeup, 100)
    except BlockingIOError:
        return b""


@dataclass
class Yard:
    """A crew of one worker, its conductor, and its log."""

    crew: Crew
    conductor: CrewConductor
    shared: Shared
    epoll: select.epoll
    text: Callable[[], str]

    def turn_until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not reached():
            assert time.monotonic() < deadline, self.text()
            self.crew.start_due(time.monotonic_ns())
            self.crew.hand_out()
            for descriptor, _ in self.epoll.poll(0.01):
                self.crew.receive(descriptor)
            self.crew.reap(time.monotonic_ns())

    @property
    def worker(self) -> Child:
        return self.crew.roster.children[0]

    @property
    def words(self) -> memoryview:
        return self.shared.regions[0].words


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    path = tmp_path / "log"
    with an_estate(path) as estate, select.epoll() as epoll:
        logs = open_logs(estate.settings, foreground=False, ident="TEST")
        relay = Relay(logs)

        def deliver(batch: LogBatch, process: int) -> None:
            relay.deliver(batch, process, time.monotonic_ns())

        def text() -> str:
            logs.flush()
            return path.read_text()

        roster = Roster([Child(Role.WORKER, 0)], 30, 60 * 10**9)
        crew = Crew(roster, Spawner(estate, obey), estate.shared, logs, deliver, epoll)
        made = Yard(crew, CrewConductor(crew, estate.shared, logs), estate.shared, epoll, text)
        made.turn_until(lambda: made.worker.state is State.READY)
        yield made
        crew.stop()
        made.turn_until(lambda: not roster.alive)
        logs.close()


def test_a_kill_reaches_its_worker_and_none_that_is_not_there(yard: Yard) -> None:
    assert yard.conductor.kill(0, [(1, 2)])
    assert not yard.conductor.kill(1, [(1, 2)])
    yard.turn_until(lambda: f"worker 0: {Kill([(1, 2)])}" in yard.text())


def test_a_lane_is_lent_to_its_worker_and_to_none_that_is_not_there(yard: Yard) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        assert yard.conductor.tap(0, Tap(1, 2, 3, 4, 5), far.fileno())
        assert not yard.conductor.tap(1, Tap(1, 2, 3, 4, 5), far.fileno())
        yard.turn_until(lambda: "worker 0: Tap(slot=1, opened_ns=2," in yard.text())
        assert "lane=-1" not in yard.text()


def test_a_level_reaches_the_log_and_the_workers(yard: Yard) -> None:
    yard.conductor.set_level(8)
    assert yard.conductor.level == 8
    yard.turn_until(lambda: f"worker 0: {Level(8)}" in yard.text())
    assert "UDPS-740-K Log level is 8" in yard.text()


def test_a_proxy_that_does_not_drain_does_not_end(yard: Yard) -> None:
    assert not yard.conductor.draining
    assert yard.conductor.outcome(2**62) is None


def test_a_drained_proxy_ends_once_every_worker_said_so_and_the_last_session_is_over(yard: Yard) -> None:
    yard.words[Counter.SESSIONS] = yard.words[Counter.PERMITS] = 1
    yard.conductor.drain(None)
    assert yard.conductor.draining
    assert "UDPS-744-K Draining: no session begins any more, 1 are left" in yard.text()
    assert yard.conductor.outcome(0) is None
    yard.words[Counter.SESSIONS] = 0
    assert yard.conductor.outcome(0) is None, "the worker has not heard of it yet"
    yard.turn_until(lambda: yard.words[Counter.DRAINING] == 1)
    ending = yard.conductor.outcome(0)
    assert ending is not None
    assert (ending.status, ending.reason) == (ExitStatus.OK, "drained")


def test_a_proxy_ends_when_its_time_to_drain_is_up(yard: Yard) -> None:
    yard.words[Counter.SESSIONS] = 3
    yard.conductor.drain(5)
    yard.turn_until(lambda: yard.words[Counter.DRAINING] == 1)
    assert yard.conductor.outcome(time.monotonic_ns()) is None
    ending = yard.conductor.outcome(time.monotonic_ns() + 5 * 10**9)
    assert ending is not None
    assert ending.reason == "drained but for 3 sessions when the time was up"
    yard.conductor.drain(None)
    assert yard.conductor.outcome(time.monotonic_ns() + 5 * 10**9) is None, "the last order counts"


def test_a_replacement_drains_too(yard: Yard) -> None:
    yard.conductor.drain(None)
    yard.turn_until(lambda: yard.words[Counter.DRAINING] == 1)
    before = yard.worker.pid
    os.kill(before, signal.SIGKILL)
    yard.turn_until(lambda: yard.text().count(f"worker 0: {Drain()}") == 2)
    assert yard.worker.pid != before
