"""The way of a bundle from one program to the next, and what neither end believes of the other."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from proxyd.daemon.inventory import Bundle
from proxyd.daemon.lane import (
    PARCEL,
    Coming,
    Failed,
    Lane,
    LaneClosedError,
    Left,
    Parcel,
    Serving,
    Withheld,
    lay_down,
    make_lane,
)


@pytest.fixture
def ends() -> Iterator[tuple[Lane, Lane]]:
    before = opened()
    ours, theirs = make_lane()
    other = Lane(theirs)
    yield ours, other
    ours.close()
    other.close()
    assert opened() == before, "a descriptor stayed open"


@pytest.fixture
def wire() -> Iterator[tuple[Lane, socket.socket]]:
    """A lane, and the other end for whoever does not keep to the rules."""
    before = opened()
    ours, theirs = make_lane()
    yield ours, theirs
    ours.close()
    theirs.close()
    assert opened() == before, "a descriptor stayed open"


def opened() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def close(descriptors: tuple[int, ...] | list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.mark.parametrize("message", [Coming("bound"), Serving(4711), Failed("why"), Withheld("no")])
def test_a_message_arrives_as_it_was_sent(ends: tuple[Lane, Lane], message: Coming | Serving | Failed) -> None:
    ours, theirs = ends
    assert theirs.receive() is None
    ours.send(message)
    assert theirs.wait(1) == (message, [])


@pytest.mark.parametrize("count", [0, 1, PARCEL, PARCEL + 1, 3 * PARCEL])
def test_a_bundle_arrives_whole_and_in_order(ends: tuple[Lane, Lane], count: int) -> None:
    ours, theirs = ends
    files = [os.memfd_create(str(number)) for number in range(count)]
    ours.give(Bundle(b"list" * 50_000, tuple(files)))
    found = theirs.take(1)
    assert not ours.waiting
    assert found.manifest == b"list" * 50_000
    assert [os.fstat(fd).st_ino for fd in found.descriptors] == [os.fstat(fd).st_ino for fd in files]
    assert not any(os.get_inheritable(fd) for fd in found.descriptors)
    close(files)
    close(found.descriptors)


def test_what_there_is_no_room_for_goes_on_when_there_is(ends: tuple[Lane, Lane]) -> None:
    ours, theirs = ends
    for number in range(2000):
        ours.send(Coming(str(number)))
    assert ours.waiting
    seen = 0
    while ours.waiting or seen < 2000:
        assert theirs.wait(1) == (Coming(str(seen)), [])
        seen += 1
        ours.pump()
    assert theirs.receive() is None


def test_whoever_withholds_is_quoted(ends: tuple[Lane, Lane]) -> None:
    ours, theirs = ends
    ours.send(Withheld("it drains"))
    with pytest.raises(LaneClosedError, match="it drains"):
        theirs.take(1)


def test_silence_is_not_waited_for_for_ever(ends: tuple[Lane, Lane]) -> None:
    with pytest.raises(LaneClosedError, match=r"says nothing for 0\.01 s"):
        ends[1].take(0.01)


def test_an_end_that_has_gone_is_noticed_by_whoever_sends_or_receives(ends: tuple[Lane, Lane]) -> None:
    ours, theirs = ends
    theirs.close()
    with pytest.raises(LaneClosedError, match="gone"):
        ours.send(Serving(1))
    with pytest.raises(LaneClosedError, match="gone"):
        ours.receive()


def test_an_end_that_goes_in_the_middle_of_a_bundle_leaves_nothing_open(wire: tuple[Lane, socket.socket]) -> None:
    ours, theirs = wire
    announce(theirs, Left(1, 3))
    socket.send_fds(theirs, [msgspec.msgpack.encode(Parcel())], [0, 0])
    theirs.shutdown(socket.SHUT_RDWR)
    with pytest.raises(LaneClosedError, match="gone"):
        ours.take(1)


def announce(wire: socket.socket, left: Left) -> None:
    fd = lay_down(b"list")
    socket.send_fds(wire, [msgspec.msgpack.encode(left)], [fd])
    os.close(fd)


@pytest.mark.parametrize(
    ("data", "descriptors"),
    [
        (b"\xff", 0),
        (b"\xff", 3),
        (b"", 1),
        (b"x" * 10_000, 1),
        (msgspec.msgpack.encode(Serving(1)), 1),
        (msgspec.msgpack.encode(Serving(1)), PARCEL),
        (msgspec.msgpack.encode({"type": "serving", "process": -1}), 0),
        (msgspec.msgpack.encode({"type": "left", "size": 1 << 40, "count": 1}), 1),
    ],
)
def test_what_is_no_message_ends_the_lane_and_leaves_nothing_open(
    wire: tuple[Lane, socket.socket], data: bytes, descriptors: int
) -> None:
    ours, theirs = wire
    socket.send_fds(theirs, [data], [0] * descriptors)
    with pytest.raises(LaneClosedError):
        ours.receive()


@pytest.mark.parametrize(("announced", "sent"), [(1, 2), (3, 0)])
def test_other_descriptors_than_announced_are_refused(
    wire: tuple[Lane, socket.socket], announced: int, sent: int
) -> None:
    ours, theirs = wire
    announce(theirs, Left(4, announced))
    socket.send_fds(theirs, [msgspec.msgpack.encode(Parcel())], [0] * sent)
    with pytest.raises(LaneClosedError, match="other descriptors than it has said"):
        ours.take(1)


def test_something_else_than_a_bundle_is_refused(wire: tuple[Lane, socket.socket]) -> None:
    ours, theirs = wire
    socket.send_fds(theirs, [msgspec.msgpack.encode(Parcel())], [0, 0])
    with pytest.raises(LaneClosedError, match="something else"):
        ours.take(1)


def test_a_list_once_laid_down_cannot_be_changed() -> None:
    fd = lay_down(b"list")
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    assert os.pread(fd, 10, 0) == b"list"
    os.close(fd)


def test_only_a_socket_of_this_kind_becomes_a_lane() -> None:
    before = opened()
    stream, other = socket.socketpair()
    with stream, other:
        with pytest.raises(LaneClosedError, match="no Unix socket for messages"):
            Lane.of(os.dup(stream.fileno()))
        with pytest.raises(LaneClosedError, match="no socket"):
            Lane.of(os.memfd_create("x"))
    ours, theirs = make_lane()
    lane = Lane.of(theirs.detach())
    lane.send(Serving(7))
    assert ours.wait(1) == (Serving(7), [])
    ours.close()
    lane.close()
    assert opened() == before
