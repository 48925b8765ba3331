"""What is laid up with a service manager comes back in any order; where something is missing it is nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from proxyd.daemon import fdstore, inventory
from proxyd.daemon.bequest import identify
from proxyd.daemon.inventory import Bundle, Manifest
from proxyd.daemon.notify import Notifier
from proxyd.errors import SetupError
from tests.workers.forked import in_child


def bundle(count: int) -> Bundle:
    """Return so many files with a list of them."""
    files = [os.memfd_create(str(number)) for number in range(count)]
    manifest = Manifest(
        version=inventory.VERSION,
        program="udp-proxy",
        name="X",
        release="1",
        process=1,
        listeners=[],
        sockets=[[]],
        identities=[identify(fd) for fd in files],
        layout=[],
        estate=msgspec.Raw(msgspec.msgpack.encode(None)),
    )
    return Bundle(inventory.write(manifest), tuple(files))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.bind(str(tmp_path / "notify"))
        yield sock


def kept(manager: socket.socket, messages: int) -> list[tuple[str, int]]:
    """Take so many messages; return the descriptors that came, with their names."""
    found = []
    for _ in range(messages):
        data, descriptors, _, _ = socket.recv_fds(manager, 4096, 253)
        name = data.decode().splitlines()[0].removeprefix("FDNAME=")
        found += [(name, descriptor) for descriptor in descriptors]
    return found


def test_everything_is_laid_up_and_the_list_last(manager: socket.socket) -> None:
    notifier, whole = Notifier(manager.getsockname()), bundle(300)
    fdstore.lay_up(notifier, whole)
    names = [name for name, _ in kept(manager, 3)]
    assert names == [fdstore.NAME] * 300 + [fdstore.LIST_NAME]


def test_what_cannot_be_laid_up_as_a_whole_is_forgotten(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "nobody"))
    with pytest.raises(OSError, match=r"refused|No such file"):
        fdstore.lay_up(notifier, bundle(2))


def come_back(passed: list[tuple[str, int]], process: int | None = None) -> str:
    """Start, in a process of its own, with descriptors as a manager passes them; return what is fetched of them."""

    def act() -> str:
        for _, descriptor in passed:
            os.dup2(descriptor, descriptor + 1000)
        for place, (_, descriptor) in enumerate(passed, fdstore.FIRST):
            os.dup2(descriptor + 1000, place)
        environment = {
            "LISTEN_PID": str(process or os.getpid()),
            "LISTEN_FDS": str(len(passed)),
            "LISTEN_FDNAMES": ":".join(name for name, _ in passed),
            "OTHER": "1",
        }
        found = fdstore.fetch(fdstore.take_passed(environment).stored)
        assert list(environment) == ["OTHER"]
        if found is None:
            return "nothing"
        assert not any(os.get_inheritable(fd) for fd in found.descriptors if fd >= 0)
        return " ".join("lost" if fd < 0 else os.pread(fd, 10, 0).decode() for fd in found.descriptors)

    return in_child(act)


@pytest.fixture
def laid(manager: socket.socket) -> list[tuple[str, int]]:
    """Three files whose contents are their numbers, laid up, with their list."""
    whole = bundle(3)
    for number, fd in enumerate(whole.descriptors):
        os.pwrite(fd, b"%d" % number, 0)
    fdstore.lay_up(Notifier(manager.getsockname()), whole)
    return kept(manager, 2)


def test_what_comes_back_in_another_order_is_told_apart(laid: list[tuple[str, int]]) -> None:
    assert come_back(laid) == "0 1 2"
    assert come_back(laid[::-1]) == "0 1 2"
    assert come_back([laid[3], laid[1], ("stranger", 0), laid[0], laid[2]]) == "0 1 2"


def test_what_is_another_process_s_is_left_alone(laid: list[tuple[str, int]]) -> None:
    assert come_back(laid, process=1) == "nothing"


def test_without_a_list_nothing_counts(laid: list[tuple[str, int]]) -> None:
    assert come_back(laid[:3]) == "nothing"
    assert come_back([]) == "nothing"


def test_a_missing_file_leaves_a_gap(laid: list[tuple[str, int]]) -> None:
    assert come_back(laid[1:]) == "lost 1 2"


def test_a_list_that_is_none_is_refused() -> None:
    nonsense = os.memfd_create("nonsense")
    os.write(nonsense, b"nonsense")
    assert come_back([("proxyd-list", nonsense)]).startswith("InventoryError: not a list")
    os.close(nonsense)


def test_a_process_that_was_passed_nothing_fetches_nothing() -> None:
    assert fdstore.fetch(fdstore.take_passed({}).stored) is None
    assert fdstore.take_passed({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"}) == ({}, {})


@pytest.mark.parametrize(("names", "others"), [("proxyd:a.socket", "{4: 'a.socket', 5: 'unknown'}"), (None, "{3: '',")])
def test_what_was_not_laid_up_is_told_apart_by_its_name(names: str | None, others: str) -> None:
    def act() -> str:
        for place in range(3):
            os.dup2(os.memfd_create("x"), fdstore.FIRST + place)
        environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3"}
        passed = fdstore.take_passed(environment | ({} if names is None else {"LISTEN_FDNAMES": names}))
        return str(passed.others)

    assert in_child(act).startswith(others)


def test_more_than_was_passed_is_refused() -> None:
    def act() -> str:
        free = os.dup(0)
        os.close(free)
        with pytest.raises(SetupError, match=f"LISTEN_FDS is 99999999999, and descriptor {free} is not open"):
            fdstore.take_passed({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "99999999999"})
        return "refused"

    assert in_child(act) == "refused"


@pytest.mark.parametrize(("text", "count"), [("", 0), ("8192", 8192), ("-1", 0), ("x", 0)])
def test_the_environment_tells_how_many_are_kept(text: str, count: int) -> None:
    assert fdstore.capacity({"FDSTORE": text}) == count
    assert fdstore.capacity({}) == 0
