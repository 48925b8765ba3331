"""How a worker entrusts its sessions' sockets to the parent, so that they outlive it.

A connected pair of sockets beside the channel, one way only: the worker sends, the parent keeps. Sessions that have
lived for a moment are entrusted in batches, each by its slot with a duplicate of its socket; when they end, their slots
are released. The order of messages is the order in which things happened. What the worker says is untrusted input:
types and bounds are checked, and a descriptor more or less than sessions is a breach of the contract.
Source: unix(7), SCM_RIGHTS, SOCK_SEQPACKET.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple, TypeAlias

import msgspec

from workers.contract.channel import ChannelClosedError
from workers.errors import ContractError

BATCH = 128
"""Sessions in one message at most; the kernel takes 253 descriptors. Source: unix(7), SCM_MAX_FD."""
MAX_NOTE_BYTES = 400
MAX_BYTES = 60_000
LATEST_NS = (1 << 63) - 1
"""What the kernel's clocks can say at most."""
_FULL = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS))
_DESCRIPTOR_BYTES = array.array("i").itemsize


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What is said of one session: its slot, when it began (CLOCK_MONOTONIC, ns), and what the slot has no place for.

    note: msgpack (Described); the parent looks into it only for the last records of sessions that nobody goes on with.
    Equal ones are kept once.
    """

    slot: int
    opened_ns: Annotated[int, msgspec.Meta(ge=0, le=LATEST_NS)]
    note: bytes


_Text = Annotated[str, msgspec.Meta(max_length=MAX_NOTE_BYTES)]


class Described(msgspec.Struct, frozen=True, array_like=True):
    """What a note says, as whoever only reads it needs it.

    raw, transparent, device: the place of the session's listener. user: who sits at the client's address. client_name,
    server_name: the names of the peers. local: the packed address that answers leave from, empty for the listener's
    own; interface: a link-local one's.
    """

    raw: bytes
    transparent: bool
    device: _Text | None
    user: _Text | None = None
    client_name: _Text | None = None
    server_name: _Text | None = None
    local: bytes = b""
    interface: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)] = 0


class Entrusted(msgspec.Struct, frozen=True, tag="entrusted", array_like=True):
    """Sessions whose sockets come with the message, one descriptor an entry, in this order."""

    entries: list[Entry]


class Released(msgspec.Struct, frozen=True, tag="released", array_like=True):
    """Slots whose sessions have ended; one that was never entrusted does not matter."""

    slots: list[int]


class Kept(NamedTuple):
    """A session as the parent kept it for a replacement: fd is the replacement's own from the fork on."""

    slot: int
    opened_ns: int
    note: bytes
    fd: int


Word: TypeAlias = Entrusted | Released
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Word] = msgspec.msgpack.Decoder(Word)
_notes = msgspec.msgpack.Decoder(Described)


def describe(note: bytes) -> Described | None:
    """Return what a note says, None where it cannot be read."""
    try:
        return _notes.decode(note)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def open_custody() -> tuple[socket.socket, socket.socket]:
    """Return the parent's and the worker's end, both non-blocking and close-on-exec. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    return ours, theirs


def say(sock: socket.socket, word: Word, descriptors: Sequence[int] = ()) -> bool:
    """Send a word without blocking; return False, having sent nothing, when there is no room for it now.

    Raises ChannelClosedError when the parent is gone.
    """
    data = _encoder.encode(word)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    try:
        sock.sendmsg([data], rights)
    except OSError as error:
        if error.errno in _FULL:
            return False
        raise ChannelClosedError(f"the other end is gone: {error.strerror}") from error
    return True


def hear(sock: socket.socket) -> tuple[Word, list[int]] | None:
    """Return the next word and the descriptors that came with it, which are the caller's; None when none waits.

    Where so many descriptors cannot be open here, the kernel leaves some out: then the slots are released.
    Raises ChannelClosedError when the worker is gone, ContractError for what it may not say; nothing stays open then.
    """
    try:
        data, controls, flags, _ = sock.recvmsg(
            MAX_BYTES, socket.CMSG_SPACE(BATCH * _DESCRIPTOR_BYTES), socket.MSG_CMSG_CLOEXEC
        )
    except BlockingIOError:
        return None
    except OSError as error:
        raise ChannelClosedError(f"the other end is gone: {error.strerror}") from error
    descriptors = array.array("i")
    for level, kind, raw in controls:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(raw[: len(raw) - len(raw) % _DESCRIPTOR_BYTES])
    try:
        if not data and not descriptors:
            raise ChannelClosedError("the other end is gone")
        word = _decode(data, flags, len(descriptors))
    except ContractError:
        _close_all(descriptors)
        raise
    if isinstance(word, Released):
        _close_all(descriptors)
        return word, []
    return word, list(descriptors)


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _decode(data: bytes, flags: int, descriptors: int) -> Word:
    if flags & socket.MSG_TRUNC:
        raise ContractError("a word too long for custody")
    try:
        word = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"not a word of custody: {error}") from error
    entries = word.entries if isinstance(word, Entrusted) else []
    cut = bool(flags & socket.MSG_CTRUNC)
    short = cut and descriptors < len(entries) <= BATCH
    if (cut or len(entries) != descriptors) and not short:
        raise ContractError(f"{descriptors} descriptors for {len(entries)} sessions")
    slots = word.slots if isinstance(word, Released) else [entry.slot for entry in entries]
    if any(slot < 0 for slot in slots) or any(len(entry.note) > MAX_NOTE_BYTES for entry in entries):
        raise ContractError("a session out of bounds")
    return Released(slots) if short else word
