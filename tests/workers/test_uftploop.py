"""A worker's loop in a process of its own: datagrams, deadlines, signals, news from the parent, and its end."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kit.readiness import is_readable
from tests.kit.uftp_process import make_settings
from tests.kit.uftp_worker import Station, announce, fileseg
from workers.boot import BootPlan, run_child
from workers.contract.channel import ParentEnd, open_channel
from workers.contract.context import Confinement, WorkerContext
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import Drain, Freeze, Level, LogBatch, LogRecord, Moved, Ready, ToChild
from workers.contract.settings import Settings
from workers.contract.slots import Counter, Region
from workers.contract.store import Store
from workers.contract.uftp import CryptoSettings, HeartbeatSettings, Mode, UftpSettings
from workers.uftp.keyring import load
from workers.uftploop import run, share_of

WAIT_S = 10.0
NOBODY = Confinement(65534, 65534) if os.geteuid() == 0 else Confinement()


class Child:
    """A worker's process, and the parent's part of it."""

    def __init__(self, process: int, channel: ParentEnd, region: Region) -> None:
        self.process = process
        self.region = region
        self._channel = channel
        self._records: list[LogRecord] = []

    def signal(self, number: int) -> None:
        os.kill(self.process, number)

    def tell(self, message: ToChild) -> None:
        assert self._channel.send(message)

    def wait_for(self, event: str) -> LogRecord:
        """Return the first record of an event."""
        deadline = time.monotonic() + WAIT_S
        while not (found := [record for record in self._records if record.event == event]):
            assert time.monotonic() < deadline, self._records
            if is_readable(self._channel.fileno(), 0.1):
                message = self._channel.receive()
                self._records += message.records if isinstance(message, LogBatch) else []
                assert isinstance(message, LogBatch | Ready)
        return found[0]

    def end(self) -> int:
        self.signal(signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@contextmanager
def a_worker(settings: UftpSettings, index: int = 0, store: Store | None = None) -> Iterator[Child]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
    sock.bind(("127.0.0.1", settings.port))
    region, permits = Region.create("test", 0), os.eventfd(0)
    ours, theirs = open_channel()
    frame = Settings("server", (), settings.max_groups, 1, (), program="uftpproxyd")
    stored = () if store is None else (store.fd,)
    plan = BootPlan(
        "worker 0", "server", theirs, frozenset((sock.fileno(), theirs.fileno(), region.fd, *stored)), NOBODY
    )
    ring = load(CryptoSettings(), os.urandom)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    process = os.fork()
    if process == 0:
        run_child(
            plan,
            lambda wakeup: run(
                WorkerContext(index, frame, (sock,), theirs, region, permits, wakeup, 9, store=store), settings, ring
            ),
        )
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    theirs.close()
    sock.close()
    child = Child(process, ours, region)
    try:
        yield child
    finally:
        if child.process:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def receive(station: Station) -> bytes:
    assert is_readable(station.sock, WAIT_S)
    return station.sock.recv(9000)


def test_a_worker_passes_on_and_ends_when_told() -> None:
    server, downstream = Station(), Station()
    settings = make_settings(Mode.SERVER, downstream=downstream.raw)
    with a_worker(settings) as child:
        for payload in (announce(7), fileseg(7, 1)):
            server.sock.sendto(payload, ("127.0.0.1", settings.port))
            assert receive(downstream) == payload
        assert child.wait_for("uftp-group-opened").fields[0] == "[00000007/00:0]: "
        assert child.end() == 0
        child.process = 0
        assert child.region.words[Counter.RECEIVED_OUT] == 2
        assert child.region.words[Counter.FORWARDED_OUT] == 2
        assert child.region.words[Counter.SESSIONS] == 1


def test_deadlines_come_without_datagrams() -> None:
    target = Station()
    heartbeats = HeartbeatSettings((target.raw,), 50_000_000)
    with a_worker(make_settings(heartbeats=heartbeats)):
        assert [receive(target)[1] for _ in range(3)] == [14, 14, 14]


def test_only_the_first_worker_has_heartbeats() -> None:
    target = Station()
    heartbeats = HeartbeatSettings((target.raw,), 50_000_000)
    with a_worker(make_settings(heartbeats=heartbeats), index=1) as child:
        child.signal(signal.SIGRTMIN + 1)
        child.wait_for("state")
        assert target.received() == []


def test_signals_set_the_level_and_ask_for_the_state() -> None:
    with a_worker(make_settings()) as child:
        child.signal(signal.SIGUSR2)
        assert child.wait_for("level").fields == (8,)
        child.signal(signal.SIGRTMIN + 1)
        assert "worker 0, 0 groups" in child.wait_for("state").fields[0]


def test_the_parent_sets_the_level() -> None:
    with a_worker(make_settings()) as child:
        child.tell(Level(4))
        assert child.wait_for("level").fields == (4,)


def test_a_draining_worker_goes_on_with_its_groups_and_takes_no_other() -> None:
    server, downstream = Station(), Station()
    settings = make_settings(Mode.SERVER, downstream=downstream.raw)
    with a_worker(settings) as child:
        server.sock.sendto(announce(7), ("127.0.0.1", settings.port))
        assert receive(downstream) == announce(7)
        child.tell(Drain())
        deadline = time.monotonic() + WAIT_S
        while not child.region.words[Counter.DRAINING]:
            assert time.monotonic() < deadline
            select.select([], [], [], 0.01)
        assert child.region.words[Counter.SESSIONS] == 1
        for payload in (announce(8), fileseg(7, 1)):
            server.sock.sendto(payload, ("127.0.0.1", settings.port))
        assert receive(downstream) == fileseg(7, 1)
        assert "draining" in child.wait_for("uftp-group-refused").fields


def test_a_downstream_that_another_worker_has_proved_is_used() -> None:
    server, downstream = Station(), Station()
    settings = make_settings(Mode.SERVER, downstream_fingerprint=bytes(20), log_level=5)
    with a_worker(settings, index=1) as child:
        child.tell(Moved(downstream.raw))
        deadline = time.monotonic() + WAIT_S
        while not is_readable(downstream.sock, 0.05):
            assert time.monotonic() < deadline
            server.sock.sendto(announce(7), ("127.0.0.1", settings.port))
        assert receive(downstream) == announce(7)


def ended(child: Child) -> int:
    """Wait for a child that ends by itself; return its exit status."""
    status = os.waitstatus_to_exitcode(os.waitpid(child.process, 0)[1])
    child.process = 0
    return status


@pytest.mark.parametrize("end", ["freeze", "kill"])
def test_a_replacement_goes_on_with_the_groups_that_it_finds(end: str) -> None:
    server, downstream = Station(), Station()
    settings = make_settings(Mode.SERVER, downstream=downstream.raw)
    store = Store.create("test", 1 << 20)
    with a_worker(settings, store=store) as child:
        server.sock.sendto(announce(7), ("127.0.0.1", settings.port))
        assert receive(downstream) == announce(7)
        if end == "freeze":
            child.tell(Freeze())
            assert ended(child) == ExitCode.FROZEN
        else:
            child.signal(signal.SIGKILL)
            assert ended(child) == -signal.SIGKILL
    with a_worker(settings, store=store) as child:
        assert child.wait_for("uftp-adopted").fields == ("", 1, 0)
        assert child.region.words[Counter.TURNS] > 0
        server.sock.sendto(fileseg(7, 1), ("127.0.0.1", settings.port))
        assert receive(downstream) == fileseg(7, 1)
    store.close()


@pytest.mark.parametrize(("workers", "share"), [(1, 10), (3, 4), (10, 1)])
def test_workers_share_the_groups(workers: int, share: int) -> None:
    assert share_of(make_settings(max_groups=10), workers).max_groups == share


def test_lines_of_a_level_that_is_raised_are_written_from_then_on() -> None:
    server, downstream = Station(), Station()
    settings = make_settings(Mode.SERVER, downstream=downstream.raw, log_level=0)
    with a_worker(settings) as child:
        child.signal(signal.SIGUSR1)
        child.wait_for("level")
        server.sock.sendto(announce(7), ("127.0.0.1", settings.port))
        assert child.wait_for("uftp-group-opened")
