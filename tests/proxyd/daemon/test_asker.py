"""Who asks, by the kernel's word, and the descriptor that came with the question."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyd.daemon.asker import NOBODY, Asker, hear, meet


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_the_kernel_tells_process_user_and_groups(pair: tuple[socket.socket, socket.socket]) -> None:
    asker = meet(pair[0])
    assert (asker.process, asker.user) == (os.getpid(), os.geteuid())
    assert asker.groups == frozenset((os.getegid(), *os.getgroups()))
    assert asker.who == f"process {os.getpid()} of user {os.geteuid()}"


def test_words_come_with_a_descriptor_or_without(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.send(b"bare")
    socket.send_fds(theirs, [b"rich"], [0])
    assert hear(ours, 100) == (b"bare", None)
    data, descriptor = hear(ours, 100)
    assert data == b"rich"
    assert descriptor is not None
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_silence_and_a_closed_end_are_told_apart(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    with pytest.raises(BlockingIOError):
        hear(ours, 100)
    theirs.close()
    assert hear(ours, 100) == (b"", None)


def test_what_comes_beyond_one_descriptor_is_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    before = len(list(Path("/proc/self/fd").iterdir()))
    socket.send_fds(theirs, [b"many"], [0] * 253)
    _, descriptor = hear(ours, 100)
    assert descriptor is not None
    os.close(descriptor)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_descriptor_is_closed_when_nobody_has_taken_it() -> None:
    asker = Asker(1, 0, frozenset())
    first, second, third = os.dup(0), os.dup(0), os.dup(0)
    asker.give(first)
    asker.give(second)
    assert not is_open(first)
    assert asker.take() == second
    asker.give(third)
    asker.drop()
    assert (is_open(second), is_open(third)) == (True, False)
    assert asker.take() is None
    os.close(second)


def test_nobody_is_no_user_and_in_no_group() -> None:
    assert NOBODY.user != 0
    assert NOBODY.groups == frozenset()
    assert NOBODY.take() is None
