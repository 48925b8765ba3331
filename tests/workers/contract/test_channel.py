"""The channel: what is sent arrives, and what is no message is refused whatever it is."""

from __future__ import annotations

import array
import contextlib
import os
import socket
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.contract.channel import Channel, ChannelClosedError, ChildEnd, LocalChannel, ParentEnd, open_channel
from workers.contract.messages import (
    MAX_BATCH_RECORDS,
    MAX_MESSAGE_BYTES,
    Failed,
    FromChild,
    LogBatch,
    LogRecord,
    Looked,
    Lookup,
    Moved,
    Names,
    Offered,
    Ready,
    Tap,
    ToChild,
    Users,
    Withdrawn,
)
from workers.errors import ContractError

RECORD = LogRecord("acl", 7, (b"\x02\x00", None, 1, "text"))
FROM_CHILD = (
    Ready(),
    Failed("chroot /nowhere", "No such file or directory"),
    LogBatch([RECORD, RECORD], 3),
    Names({"www.example.com": [(4, bytes(4)), (6, bytes(16))], "none.example.com": []}),
    Lookup(3, 6, bytes(16)),
    Looked(3, 4, bytes(4), "www.example.com", 60),
    Looked(3, 4, bytes(4), None, 0),
    Offered([(0, 1), (7, 2**63 - 1)]),
    Withdrawn([0, 7]),
)


@pytest.fixture
def ends() -> Iterator[tuple[ParentEnd, ChildEnd]]:
    parent, child = open_channel()
    yield parent, child
    parent.close()
    child.close()


def wired() -> tuple[ParentEnd, socket.socket]:
    """Return a parent's end, and a bare socket where the child's should be."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return Channel(ours, msgspec.msgpack.Decoder(FromChild)), theirs


def receive_bytes(data: bytes) -> FromChild | None:
    parent, bare = wired()
    try:
        bare.send(data)
        return parent.receive()
    finally:
        parent.close()
        bare.close()


@pytest.mark.parametrize("message", FROM_CHILD, ids=lambda message: type(message).__name__)
def test_a_childs_message_arrives_as_it_was_sent(ends: tuple[ParentEnd, ChildEnd], message: FromChild) -> None:
    parent, child = ends
    assert child.send(message)
    assert parent.receive() == message
    assert parent.receive() is None


def test_messages_arrive_in_their_order(ends: tuple[ParentEnd, ChildEnd]) -> None:
    parent, child = ends
    for message in FROM_CHILD:
        child.send(message)
    assert tuple(parent.receive() for _ in FROM_CHILD) == FROM_CHILD


@pytest.mark.parametrize(
    "message",
    [
        Names({"a.example": [(4, b"\x01\x02\x03\x04")]}),
        Users(True, False, [(4, bytes(4), "alice", ["staff", "night"]), (6, bytes(16), "bob", [])]),
        Lookup(0, 4, bytes(4)),
        Looked(0, 4, bytes(4), "a.example", 3600),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_the_parent_says_arrives(ends: tuple[ParentEnd, ChildEnd], message: ToChild) -> None:
    parent, child = ends
    parent.send(message)
    assert child.receive() == message


@pytest.mark.parametrize("version", [4, 5])
def test_a_user_at_no_address_is_refused(ends: tuple[ParentEnd, ChildEnd], version: int) -> None:
    parent, child = ends
    parent.send(Users(True, True, [(version, bytes(16), "alice", [])]))
    with pytest.raises(ContractError, match=f"16 bytes are no address of IP version {version}"):
        child.receive()


@pytest.mark.parametrize("cut", range(len(msgspec.msgpack.encode(FROM_CHILD[2])) - 1))
def test_a_truncated_message_is_refused(cut: int) -> None:
    data = msgspec.msgpack.encode(FROM_CHILD[2])
    with pytest.raises(ContractError):
        receive_bytes(data[: cut + 1])


def test_a_trailing_byte_is_refused() -> None:
    with pytest.raises(ContractError, match="not a message"):
        receive_bytes(msgspec.msgpack.encode(FROM_CHILD[2]) + b"\x00")


@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_are_a_message_or_a_breach_of_the_contract(data: bytes) -> None:
    with contextlib.suppress(ContractError):
        assert isinstance(receive_bytes(data), (Ready, Failed, LogBatch, Names, Lookup, Looked, Offered, Withdrawn))


fields = st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.binary(), st.none())
records = st.builds(LogRecord, st.text(), st.integers(0, 99_999), st.lists(fields, max_size=15).map(tuple))


@given(st.builds(LogBatch, st.lists(records, max_size=20), st.integers(0, 2**53)))
def test_every_batch_survives_the_way(batch: LogBatch) -> None:
    assert receive_bytes(msgspec.msgpack.encode(batch)) == batch


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (["log", [["acl", 0, [1.5]]], 0], "a field of type float"),
        (["log", [["acl", 0, [True]]], 0], "a field of type bool"),
        (["log", [["acl", 0, [["nested"]]]], 0], "a field of type list"),
        (["log", [["acl", 0, []]] * (MAX_BATCH_RECORDS + 1), 0], "513 records in a batch"),
        (["log", [], -1], "a negative count"),
        (["names", {"a": [[4, bytes(16)]]}], "not an address of IP version 4"),
        (["names", {"a": [[5, bytes(4)]]}], "not an address of IP version 5"),
        (["lookup", 0, 4, bytes(16)], "16 bytes are no address of IP version 4"),
        (["lookup", -1, 4, bytes(4)], "a negative worker"),
        (["looked", 0, 6, bytes(4), None, 0], "4 bytes are no address of IP version 6"),
        (["looked", 0, 4, bytes(4), "x" * 254, 0], "a host name of 254 characters"),
        (["looked", 0, 4, bytes(4), "", 0], "a host name of 0 characters"),
        (["looked", 0, 4, bytes(4), "a", 2**31 + 1], "a name for 2147483649 seconds"),
        (["offered", [[-1, 1]]], "a slot or an epoch that cannot be"),
        (["offered", [[0, 1], [0, 0]]], "a slot or an epoch that cannot be"),
        (["offered", [[0, 2**63]]], "a slot or an epoch that cannot be"),
        (["offered", [[0, -1]]], "a slot or an epoch that cannot be"),
        (["withdrawn", [0, -1]], "a negative slot"),
        (["users", True, True, []], "not a message"),
        (["unknown"], "not a message"),
    ],
)
def test_what_is_out_of_bounds_is_refused(message: object, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        receive_bytes(msgspec.msgpack.encode(message))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ContractError):
        receive_bytes(b"\x93\xa3log\x91\x93\xa3acl\x00\x91" + b"\x91" * 50_000)


def test_a_message_longer_than_the_bound_is_refused_by_both_ends(ends: tuple[ParentEnd, ChildEnd]) -> None:
    with pytest.raises(ContractError, match="at most 60000"):
        ends[1].send(Failed("step", "x" * MAX_MESSAGE_BYTES))
    with pytest.raises(ContractError, match="longer than 60000"):
        receive_bytes(msgspec.msgpack.encode(Failed("step", "x" * MAX_MESSAGE_BYTES)))


def test_a_full_channel_takes_nothing_and_does_not_block(ends: tuple[ParentEnd, ChildEnd]) -> None:
    parent, child = ends
    message = Failed("step", "x" * 50_000)
    sent = 0
    while child.send(message):
        sent += 1
    assert sent >= 2
    assert [parent.receive() for _ in range(sent)] == [message] * sent
    assert parent.receive() is None
    assert child.send(Ready())


def test_the_end_of_the_other_side_is_told_on_receiving_and_on_sending(ends: tuple[ParentEnd, ChildEnd]) -> None:
    parent, child = ends
    parent.close()
    with pytest.raises(ChannelClosedError):
        child.receive()
    with pytest.raises(ChannelClosedError):
        child.send(Ready())


def test_what_was_sent_before_the_end_is_still_received(ends: tuple[ParentEnd, ChildEnd]) -> None:
    parent, child = ends
    child.send(Ready())
    child.close()
    assert parent.receive() == Ready()
    with pytest.raises(ChannelClosedError):
        parent.receive()


def test_a_local_channel_hands_over_at_once_and_gives_out_what_waited() -> None:
    taken: list[FromChild] = []
    polled: list[int] = []
    names = Names({})
    channel = LocalChannel(taken.append, 5, lambda: polled.append(1), [names])
    assert channel.send(Ready())
    assert taken == [Ready()]
    assert channel.fileno() == 5
    assert [channel.receive(), channel.receive()] == [names, None]
    assert polled == [1, 1]
    channel.give(names)
    assert channel.receive() == names


def test_a_local_channel_without_a_parents_part_has_nothing_to_wait_on() -> None:
    channel = LocalChannel(lambda message: None)
    assert channel.fileno() == -1
    assert channel.receive() is None


def test_what_is_no_socket_address_is_not_moved_to(ends: tuple[ParentEnd, ChildEnd]) -> None:
    parent, child = ends
    for size in (16, 28):
        assert child.send(Moved(bytes(size)))
        assert parent.receive() == Moved(bytes(size))
    child.send(Moved(bytes(17)))
    with pytest.raises(ContractError):
        parent.receive()


def test_a_descriptor_is_lent_and_the_owner_keeps_its_own(ends: tuple[ParentEnd, ChildEnd]) -> None:
    parent, child = ends
    near, far = socket.socketpair()
    with near, far:
        assert parent.lend(Tap(1, 2, 3, 4, 5, lane=99), far.fileno())
        message = child.receive()
        assert isinstance(message, Tap)
        assert (message.slot, message.span_ns) == (1, 5)
        assert message.lane not in (-1, 99, far.fileno())
        with socket.socket(fileno=message.lane) as lent:
            assert not lent.get_inheritable()
            lent.send(b"x")
        assert near.recv(9) == b"x"
        far.send(b"y")


def test_a_tap_without_a_descriptor_has_no_lane(ends: tuple[ParentEnd, ChildEnd]) -> None:
    parent, child = ends
    assert parent.send(Tap(1, 2, 3, 4, 5, lane=0))
    assert child.receive() == Tap(1, 2, 3, 4, 5, lane=-1)


def test_a_descriptor_that_a_child_sends_is_nobodys(ends: tuple[ParentEnd, ChildEnd]) -> None:
    parent, child = ends
    readable, writable = os.pipe()
    with socket.socket(fileno=os.dup(child.fileno())) as raw:
        raw.sendmsg(
            [msgspec.msgpack.encode(Ready())],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", (writable,)))],
        )
    os.close(writable)
    assert parent.receive() == Ready()
    # Nobody has the pipe's other end any more.
    assert os.read(readable, 1) == b""
    os.close(readable)
