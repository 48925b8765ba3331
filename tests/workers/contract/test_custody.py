"""Custody: what a worker entrusts arrives with its sockets, and what it may not say costs no descriptor."""

from __future__ import annotations

import array
import contextlib
import os
import resource
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.contract.channel import ChannelClosedError
from workers.contract.custody import (
    BATCH,
    LATEST_NS,
    MAX_NOTE_BYTES,
    Entrusted,
    Entry,
    Released,
    Word,
    hear,
    open_custody,
    say,
)
from workers.errors import ContractError

ENTRY = Entry(3, 5, b"note")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    parent, worker = open_custody()
    yield parent, worker
    parent.close()
    worker.close()


@pytest.fixture
def pipes() -> Iterator[list[int]]:
    """Descriptors to send: enough for two batches."""
    made = [descriptor for _ in range(BATCH) for descriptor in os.pipe()]
    yield made
    for descriptor in made:
        os.close(descriptor)


def descriptors_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def send_raw(worker: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    worker.sendmsg([data], rights)


def test_a_batch_arrives_with_its_descriptors_in_order(
    ends: tuple[socket.socket, socket.socket], pipes: list[int]
) -> None:
    parent, worker = ends
    word = Entrusted([Entry(slot, 5 + slot, b"n" * MAX_NOTE_BYTES) for slot in range(BATCH)])
    assert say(worker, word, pipes[:BATCH])
    found = hear(parent)
    assert found is not None
    assert found[0] == word
    assert [os.fstat(descriptor).st_ino for descriptor in found[1]] == [
        os.fstat(descriptor).st_ino for descriptor in pipes[:BATCH]
    ]
    for descriptor in found[1]:
        os.close(descriptor)
    assert hear(parent) is None


def test_ends_arrive_in_the_order_they_were_told(ends: tuple[socket.socket, socket.socket], pipes: list[int]) -> None:
    parent, worker = ends
    words: list[Word] = [Released([1, 1 << 30]), Entrusted([ENTRY]), Released([])]
    for word in words:
        assert say(worker, word, pipes[:1] if isinstance(word, Entrusted) else ())
    heard = [found for _ in words if (found := hear(parent)) is not None]
    assert [word for word, _ in heard] == words
    for _, descriptors in heard:
        for descriptor in descriptors:
            os.close(descriptor)


@contextlib.contextmanager
def permitted(more: int) -> Iterator[None]:
    """Let so many more descriptors be open here, and no others."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = []
    try:
        while len(free) < more:
            free.append(os.dup(0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1] + 1, limits[1]))
        for descriptor in free:
            os.close(descriptor)
        free.clear()
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in free:
            os.close(descriptor)


def test_sessions_whose_sockets_find_no_room_here_are_released(
    ends: tuple[socket.socket, socket.socket], pipes: list[int]
) -> None:
    parent, worker = ends
    say(worker, Entrusted([Entry(slot, 5, b"") for slot in range(9)]), pipes[:9])
    say(worker, Entrusted([ENTRY]), pipes[:1])
    with permitted(2):
        before = descriptors_open()
        assert hear(parent) == (Released(list(range(9))), [])
        assert descriptors_open() == before
        heard = hear(parent)
    assert heard is not None
    assert heard[0] == Entrusted([ENTRY])
    os.close(*heard[1])


def test_more_sockets_than_a_word_can_have_are_a_breach(
    ends: tuple[socket.socket, socket.socket], pipes: list[int]
) -> None:
    parent, worker = ends
    word = Entrusted([Entry(slot, 5, b"") for slot in range(BATCH)])
    send_raw(worker, msgspec.msgpack.encode(word), pipes[: BATCH + 1])
    before = descriptors_open()
    with pytest.raises(ContractError):
        hear(parent)
    assert descriptors_open() == before


def test_where_there_is_no_room_nothing_is_said(ends: tuple[socket.socket, socket.socket], pipes: list[int]) -> None:
    parent, worker = ends
    count = 0
    while say(worker, Entrusted([ENTRY]), pipes[:1]):
        count += 1
    for _ in range(count):
        found = hear(parent)
        assert found is not None
        os.close(found[1][0])
    assert hear(parent) is None
    assert say(worker, Released([1]))


def test_the_other_end_that_is_gone_is_told_from_one_that_is_silent(ends: tuple[socket.socket, socket.socket]) -> None:
    parent, worker = ends
    assert hear(parent) is None
    say(worker, Released([4]))
    worker.close()
    assert hear(parent) == (Released([4]), [])
    with pytest.raises(ChannelClosedError):
        hear(parent)


def test_saying_something_to_a_parent_that_is_gone_is_an_error(ends: tuple[socket.socket, socket.socket]) -> None:
    parent, worker = ends
    parent.close()
    with pytest.raises(ChannelClosedError):
        say(worker, Released([4]))


@pytest.mark.parametrize(
    ("word", "count"),
    [
        (Entrusted([ENTRY]), 0),
        (Entrusted([ENTRY]), 2),
        (Released([1]), 1),
        (Entrusted([Entry(-1, 5, b"")]), 1),
        (Entrusted([Entry(1, 5, b"n" * (MAX_NOTE_BYTES + 1))]), 1),
        (Released([-1]), 0),
        (Entrusted([Entry(1, -1, b"")]), 1),
        (Entrusted([Entry(1, LATEST_NS + 1, b"")]), 1),
        (Entrusted([ENTRY] * (BATCH + 1)), BATCH + 1),
    ],
)
def test_what_breaks_the_contract_leaves_no_descriptor_open(
    ends: tuple[socket.socket, socket.socket], pipes: list[int], word: Word, count: int
) -> None:
    parent, worker = ends
    send_raw(worker, msgspec.msgpack.encode(word), pipes[:count])
    before = descriptors_open()
    with pytest.raises(ContractError):
        hear(parent)
    assert descriptors_open() == before


@given(st.binary(min_size=1, max_size=60), st.integers(0, 3))
def test_no_bytes_make_custody_raise_anything_else(data: bytes, count: int) -> None:
    parent, worker = open_custody()
    null = os.open("/dev/null", os.O_RDONLY)
    before = descriptors_open()
    try:
        send_raw(worker, data, [null] * count)
        found = hear(parent)
    except ContractError:
        assert descriptors_open() == before
    else:
        assert found is not None
        assert descriptors_open() == before + len(found[1])
        for descriptor in found[1]:
            os.close(descriptor)
    finally:
        for end in (parent, worker):
            end.close()
        os.close(null)
