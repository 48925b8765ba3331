"""The channel between the parent and one child: a pair of connected sockets, one message a datagram.

Both ends are non-blocking. Whatever arrives is decoded with its type, and its bounds are checked: for the parent, a
child's word is untrusted input. An end whose other side is gone says so by ChannelClosedError, sending as receiving.
With a message the parent may lend a child a descriptor.
LocalChannel stands in for a child's end where one process does everything.
Source: unix(7), SOCK_SEQPACKET.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from workers.contract.messages import (
    LATEST_EPOCH,
    MAX_BATCH_RECORDS,
    MAX_MESSAGE_BYTES,
    MAX_NAME_CHARS,
    MAX_TTL_S,
    FromChild,
    LogBatch,
    Looked,
    Lookup,
    Moved,
    Names,
    Offered,
    Tap,
    ToChild,
    Users,
    Withdrawn,
)
from workers.errors import ContractError, MessageTooLongError

_Incoming = TypeVar("_Incoming")
_Outgoing = TypeVar("_Outgoing")

_FULL = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM))
_ADDRESS_BYTES = {4: 4, 6: 16}
_RAW_BYTES = (16, 28)
_FIELD_TYPES = frozenset((str, int, bytes, type(None)))
_Rights: TypeAlias = list[tuple[int, int, "array.array[int]"]]
_ONE_DESCRIPTOR_BYTES = socket.CMSG_SPACE(array.array("i").itemsize)
_encoder = msgspec.msgpack.Encoder()


class ChannelClosedError(ContractError):
    """The other end of the channel is gone."""


class Channel(Generic[_Incoming, _Outgoing]):
    """One end of a channel. It owns its socket; close() is the last thing done with it."""

    def __init__(self, sock: socket.socket, decoder: msgspec.msgpack.Decoder[Any]) -> None:
        self._socket = sock
        self._decoder = decoder

    def fileno(self) -> int:
        """Return the descriptor to wait on, -1 when closed."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end; the other end then finds it gone."""
        self._socket.close()

    def send(self, message: _Outgoing) -> bool:
        """Send without blocking; return False, having sent nothing, when the channel is full.

        Raises ChannelClosedError when the other end is gone, MessageTooLongError when it is too long for the channel.
        """
        return self._send(message, [])

    def _send(self, message: _Outgoing, rights: _Rights) -> bool:
        data = _encoder.encode(message)
        if len(data) > MAX_MESSAGE_BYTES:
            raise MessageTooLongError(f"a message of {len(data)} bytes, at most {MAX_MESSAGE_BYTES} may be sent")
        try:
            self._socket.sendmsg([data], rights)
        except OSError as error:
            if error.errno in _FULL:
                return False
            raise ChannelClosedError(f"the other end is gone: {error.strerror}") from error
        return True

    def receive(self) -> _Incoming | None:
        """Return the next message, None when none waits.

        Raises ChannelClosedError when the other end is gone, ContractError for what is not a message it may send.
        """
        try:
            data = self._read()
        except BlockingIOError:
            return None
        except OSError as error:
            raise ChannelClosedError(f"the other end is gone: {error.strerror}") from error
        if not data:
            raise ChannelClosedError("the other end is gone")
        return self._decode(data)

    def _read(self) -> bytes:
        return self._socket.recv(MAX_MESSAGE_BYTES + 1)

    def _decode(self, data: bytes) -> _Incoming:
        if len(data) > MAX_MESSAGE_BYTES:
            raise ContractError(f"a message longer than {MAX_MESSAGE_BYTES} bytes")
        try:
            message = self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ContractError(f"not a message: {error}") from error
        check = _BOUNDS.get(type(message))
        if check is not None:
            check(message)
        checked: _Incoming = message
        return checked


class ParentEnd(Channel[FromChild, ToChild]):
    """The parent's end: descriptors go from here to the child, never the other way."""

    def lend(self, message: Tap, lane: int) -> bool:
        """Send a message with a duplicate of a descriptor; as send, and the descriptor stays the caller's."""
        return self._send(message, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", (lane,)))])


class ChildEnd(Channel[ToChild, FromChild]):
    """The child's end."""

    _came = -1

    def receive(self) -> ToChild | None:
        """Return the next message, None when none waits; a Tap with its lane, -1 where descriptors had run out.

        Raises as Channel.receive.
        """
        message = super().receive()
        came, self._came = self._came, -1
        if isinstance(message, Tap):
            return msgspec.structs.replace(message, lane=came)
        if came >= 0:
            os.close(came)
        return message

    def _read(self) -> bytes:
        data, controls, _, _ = self._socket.recvmsg(
            MAX_MESSAGE_BYTES + 1, _ONE_DESCRIPTOR_BYTES, socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, raw in controls:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS) and raw:
                self._came = array.array("i", raw[: array.array("i").itemsize])[0]
        return data


def open_channel() -> tuple[ParentEnd, ChildEnd]:
    """Make a channel; return the parent's end and the child's. Raises OSError when descriptors ran out."""
    parent, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent.setblocking(False)
    child.setblocking(False)
    from_child: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(FromChild)
    to_child: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(ToChild)
    return ParentEnd(parent, from_child), ChildEnd(child, to_child)


class LocalChannel:
    """A child's end where parent and child are one process: what is sent is handed over at once.

    deliver: takes each message. wait_on: a descriptor of the parent's part, or -1; when it is readable the loop calls
    receive, which calls poll to let the parent's part do its work. first: messages that wait from the beginning.
    """

    def __init__(
        self,
        deliver: Callable[[FromChild], None],
        wait_on: int = -1,
        poll: Callable[[], None] | None = None,
        first: Iterable[ToChild] = (),
    ) -> None:
        self._deliver = deliver
        self._wait_on = wait_on
        self._poll = poll
        self._waiting = list(first)

    def fileno(self) -> int:
        """Return the descriptor to wait on, -1 where nothing will ever come."""
        return self._wait_on

    def send(self, message: FromChild) -> bool:
        """Hand the message over; always True."""
        self._deliver(message)
        return True

    def receive(self) -> ToChild | None:
        """Let the parent's part work; return the next message, None when none waits."""
        if self._poll is not None:
            self._poll()
        return self._waiting.pop(0) if self._waiting else None

    def give(self, message: ToChild) -> None:
        """Let a message wait for receive; whoever gives it sees that wait_on becomes readable."""
        self._waiting.append(message)


def _check_batch(message: LogBatch) -> None:
    if len(message.records) > MAX_BATCH_RECORDS:
        raise ContractError(f"{len(message.records)} records in a batch, at most {MAX_BATCH_RECORDS} are taken")
    if message.shed < 0:
        raise ContractError("a negative count of records shed")
    for record in message.records:
        if not _FIELD_TYPES.issuperset(map(type, record.fields)):
            strange = next(type(value) for value in record.fields if type(value) not in _FIELD_TYPES)
            raise ContractError(f"a field of type {strange.__name__} in {record.event[:40]!r}")


def _check_names(message: Names) -> None:
    for name, addresses in message.addresses.items():
        for version, value in addresses:
            if _ADDRESS_BYTES.get(version) != len(value):
                raise ContractError(f"name {name!r}: not an address of IP version {version}")


def _check_users(message: Users) -> None:
    for version, value, _user, _groups in message.entries:
        _check_address(version, value)


def _check_lookup(message: Lookup | Looked) -> None:
    _check_address(message.version, message.value)
    if message.worker < 0:
        raise ContractError("a negative worker")


def _check_looked(message: Looked) -> None:
    _check_lookup(message)
    if message.name is not None and not 0 < len(message.name) <= MAX_NAME_CHARS:
        raise ContractError(f"a host name of {len(message.name)} characters")
    if not 0 <= message.ttl_s <= MAX_TTL_S:
        raise ContractError(f"a name for {message.ttl_s} seconds")


def _check_address(version: int, value: bytes) -> None:
    if _ADDRESS_BYTES.get(version) != len(value):
        raise ContractError(f"{len(value)} bytes are no address of IP version {version}")


def _check_offered(message: Offered) -> None:
    if any(slot < 0 or not 0 < epoch <= LATEST_EPOCH for slot, epoch in message.sessions):
        raise ContractError("a slot or an epoch that cannot be")


def _check_withdrawn(message: Withdrawn) -> None:
    if any(slot < 0 for slot in message.slots):
        raise ContractError("a negative slot")


def _check_moved(message: Moved) -> None:
    if len(message.downstream) not in _RAW_BYTES:
        raise ContractError(f"{len(message.downstream)} bytes are no raw socket address")


_BOUNDS: dict[type, Callable[[Any], None]] = {
    LogBatch: _check_batch,
    Names: _check_names,
    Users: _check_users,
    Lookup: _check_lookup,
    Looked: _check_looked,
    Moved: _check_moved,
    Offered: _check_offered,
    Withdrawn: _check_withdrawn,
}
