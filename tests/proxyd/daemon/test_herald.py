"""What the service manager hears of a proxy: nothing before it serves, and no sign of life of one that is stuck."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxyd.daemon.herald import LOOK_NS, Herald
from proxyd.daemon.monitoring import HttpMonitor
from proxyd.daemon.notify import Notifier
from proxyd.daemon.roster import Child, Role, Roster, State
from proxyd.daemon.spawn import Estate
from tests.proxyd.daemon.diary import Diary
from tests.proxyd.daemon.estates import an_estate
from workers.contract.slots import Counter

S = 10**9


@dataclass
class Scene:
    """A proxy of one worker, and the manager who wants a sign of life every second."""

    herald: Herald
    estate: Estate
    child: Child
    diary: Diary
    manager: socket.socket

    def heard(self) -> list[str]:
        found: list[str] = []
        while True:
            try:
                found += self.manager.recv(4096).decode().splitlines()
            except BlockingIOError:
                return found

    def tend(self, seconds: int, reloading: bool = False) -> list[str]:
        self.herald.tend(seconds * S, reloading=reloading)
        return self.heard()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    manager.bind(str(tmp_path / "notify"))
    with an_estate(tmp_path / "log") as estate, manager:
        child, diary = Child(Role.WORKER, 0, State.READY, 7), Diary()
        notifier = Notifier(manager.getsockname(), S)
        yield Scene(Herald(notifier, estate, Roster([child], 1, 1), diary), estate, child, diary, manager)


def test_nothing_is_told_before_every_child_serves(scene: Scene) -> None:
    assert scene.tend(1) == []
    assert scene.herald.wait_ns(S, 5 * S) == 5 * S
    scene.herald.serve()
    assert scene.heard() == [f"MAINPID={os.getpid()}", "READY=1"]


def test_how_many_sessions_there_are_is_told_when_it_changes(scene: Scene) -> None:
    scene.herald.serve()
    scene.heard()
    assert scene.tend(1) == ["STATUS=0 of 10 sessions", "WATCHDOG=1"]
    assert scene.herald.wait_ns(S, 5 * S) == S
    scene.estate.shared.regions[0].words[Counter.SESSIONS] = 3
    assert scene.tend(2) == ["STATUS=3 of 10 sessions", "WATCHDOG=1"]
    assert scene.tend(3) == ["WATCHDOG=1"]


def test_a_reload_is_told_at_its_beginning_and_its_end(scene: Scene) -> None:
    scene.herald.serve()
    scene.tend(1)
    assert scene.tend(2, reloading=True)[:2] == ["RELOADING=1", "MONOTONIC_USEC=2000000"]
    assert "READY=1" not in scene.tend(3, reloading=True)
    assert scene.tend(4)[:2] == [f"MAINPID={os.getpid()}", "READY=1"]


def test_the_end_is_told_with_its_reason(scene: Scene) -> None:
    scene.herald.stop("SIGTERM")
    assert scene.heard() == ["STOPPING=1", "STATUS=SIGTERM"]


def test_a_worker_that_lets_datagrams_wait_gets_no_sign_of_life_given_until_it_goes_on(scene: Scene) -> None:
    scene.herald.serve()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(scene.estate.listeners[0][0].getsockname())
        client.send(b"anybody there?")
    assert "WATCHDOG=1" in scene.tend(1)
    assert "WATCHDOG=1" not in scene.tend(2)
    assert "WATCHDOG=1" not in scene.tend(3)
    assert scene.diary.notes == [("child-stuck", "worker 0")]
    scene.estate.shared.regions[0].words[Counter.TURNS] += 1
    assert "WATCHDOG=1" in scene.tend(4)


def test_where_nobody_wants_signs_of_life_the_log_and_the_monitor_know_of_a_stuck_worker(tmp_path: Path) -> None:
    with an_estate(tmp_path / "log") as estate, socket.create_server(("127.0.0.1", 0)) as http:
        monitor = estate.monitoring = HttpMonitor(http, 0.0)
        diary = Diary()
        herald = Herald(Notifier(), estate, Roster([Child(Role.WORKER, 0, State.READY, 7)], 1, 1), diary)
        herald.serve()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(estate.listeners[0][0].getsockname())
            client.send(b"anybody there?")
        herald.tend(0, reloading=False)
        assert (diary.notes, monitor.board.stuck) == ([], 0)
        herald.tend(LOOK_NS, reloading=False)
        assert (diary.notes, monitor.board.stuck) == ([("child-stuck", "worker 0")], 1)
        estate.shared.regions[0].words[Counter.TURNS] += 1
        herald.tend(2 * LOOK_NS, reloading=False)
        assert monitor.board.stuck == 0


def test_a_worker_that_is_being_renewed_is_not_stuck(scene: Scene) -> None:
    scene.herald.serve()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(scene.estate.listeners[0][0].getsockname())
        client.send(b"anybody there?")
    scene.tend(1)
    scene.child.state = State.FREEZING
    assert "WATCHDOG=1" in scene.tend(2)
