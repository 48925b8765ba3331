"""What the service manager is told, heard at a socket like its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyd.daemon.notify import MAX_WAITING, Notifier, from_environment


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind(str(tmp_path / "notify"))
        yield sock


def heard(manager: socket.socket) -> list[str]:
    """Return all that waits."""
    found = []
    while True:
        try:
            found.append(manager.recv(4096).decode())
        except BlockingIOError:
            return found


def to(manager: socket.socket, beat_ns: int = 0) -> Notifier:
    return Notifier(manager.getsockname(), beat_ns)


def test_each_thing_is_told_in_the_managers_words(manager: socket.socket) -> None:
    notifier = to(manager)
    assert notifier.wanted
    notifier.ready(4711)
    notifier.reloading(5_000_000)
    notifier.stopping("SIGTERM")
    notifier.alive()
    notifier.forget("proxyd")
    assert heard(manager) == [
        "MAINPID=4711\nREADY=1",
        "RELOADING=1\nMONOTONIC_USEC=5000",
        "STOPPING=1\nSTATUS=SIGTERM",
        "WATCHDOG=1",
        "FDSTOREREMOVE=1\nFDNAME=proxyd",
    ]


def test_the_status_is_told_when_it_has_changed_once_a_second_and_in_one_line(manager: socket.socket) -> None:
    notifier = to(manager)
    for text, now_ns in (("1\nWATCHDOG=1", 0), ("2", 1), ("2", 10**9), ("2", 2 * 10**9), ("3", 3 * 10**9)):
        notifier.status(text, now_ns)
    assert heard(manager) == ["STATUS=1 WATCHDOG=1", "STATUS=2", "STATUS=3"]


def test_an_abstract_socket_is_found_too() -> None:
    name = f"proxyd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(f"\0{name}")
        Notifier(f"@{name}").alive()
        assert heard(manager) == ["WATCHDOG=1"]


def test_descriptors_are_laid_up_under_a_name(manager: socket.socket) -> None:
    readable, writable = os.pipe()
    to(manager).lay_up("proxyd", [readable])
    data, descriptors, _, _ = socket.recv_fds(manager, 4096, 10)
    assert data == b"FDNAME=proxyd\nFDSTORE=1\nFDPOLL=0"
    os.write(writable, b"x")
    assert os.read(descriptors[0], 1) == b"x"
    for descriptor in (readable, writable, *descriptors):
        os.close(descriptor)


def test_what_the_manager_has_no_room_for_is_told_later_the_newest_of_it(manager: socket.socket) -> None:
    notifier = to(manager)
    for number in range(5000):
        notifier.tell(f"STATUS={number}")
    before = heard(manager)
    assert before == [f"STATUS={number}" for number in range(len(before))]
    told: list[str] = []
    while told[-1:] != ["STATUS=4999"]:
        notifier.flush()
        told += heard(manager)
    assert len(told) == MAX_WAITING


def test_a_manager_that_was_started_anew_is_found_again(manager: socket.socket, tmp_path: Path) -> None:
    notifier = to(manager)
    manager.close()
    (tmp_path / "notify").unlink()
    notifier.alive()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as anew:
        anew.bind(str(tmp_path / "notify"))
        notifier.alive()
        assert heard(anew) == ["WATCHDOG=1"]


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "vsock:2:1234", "relative"])
def test_where_nobody_listens_nothing_happens(address: str) -> None:
    notifier = Notifier(address)
    notifier.ready(1)
    notifier.status("x", 0)
    with pytest.raises(OSError):  # noqa: PT011 - which one is the kernel's matter
        notifier.lay_up("proxyd", [0])
    notifier.close()


@pytest.mark.parametrize(
    ("environment", "beat_ns"),
    [
        ({}, 0),
        ({"WATCHDOG_USEC": "3000000"}, 1_500_000_000),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1_500_000_000),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({"WATCHDOG_USEC": "2"}, 100_000_000),
    ],
)
def test_signs_of_life_are_given_twice_as_often_as_the_environment_wants(
    environment: dict[str, str], beat_ns: int
) -> None:
    assert from_environment(environment).beat_ns == beat_ns


def test_the_environment_tells_where_the_manager_is(manager: socket.socket) -> None:
    from_environment({"NOTIFY_SOCKET": manager.getsockname()}).alive()
    assert heard(manager) == ["WATCHDOG=1"]
    assert not from_environment({}).wanted
