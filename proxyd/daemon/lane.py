"""How a bundle goes from a running program to its successor: over a connected pair of sockets, an end for each.

What is left is announced with a memfd that holds the list; then come its descriptors, as many a message as the kernel
takes. The successor says how far it is, and that it serves, or why it cannot. Neither end believes the other's types or
bounds; a descriptor more or less than announced is a breach.
Source: unix(7), SOCK_SEQPACKET, SCM_RIGHTS; memfd_create(2), fcntl(2) File Sealing.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec

from proxyd.daemon.inventory import MAX_BYTES, Bundle
from proxyd.errors import ProxydError

PARCEL = 253
"""Descriptors in one message at most. Source: unix(7), SCM_MAX_FD."""
_MESSAGE_BYTES = 8192
_FULL = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS))
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_PARCEL_SPACE = socket.CMSG_SPACE(PARCEL * array.array("i").itemsize)

Words: TypeAlias = Annotated[str, msgspec.Meta(max_length=2000)]


class LaneClosedError(ProxydError):
    """The other end has gone, or says what it may not say."""


class Left(msgspec.Struct, frozen=True, tag="left"):
    """A bundle follows: so many bytes of list, in the memfd that comes with this, and so many descriptors."""

    size: Annotated[int, msgspec.Meta(ge=0, le=MAX_BYTES)]
    count: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)]


class Parcel(msgspec.Struct, frozen=True, tag="parcel"):
    """Some descriptors of the bundle, in their order."""


class Withheld(msgspec.Struct, frozen=True, tag="withheld"):
    """There will be no bundle."""

    why: Words


class Coming(msgspec.Struct, frozen=True, tag="coming"):
    """The successor is alive, and has done a step."""

    step: Words


class Serving(msgspec.Struct, frozen=True, tag="serving"):
    """The successor serves: everything is its own now. process: its number. sessions: whether these are, too."""

    process: Annotated[int, msgspec.Meta(ge=1)]
    sessions: bool = True


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The successor gives up."""

    why: Words


Message: TypeAlias = Left | Parcel | Withheld | Coming | Serving | Failed
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class Lane:
    """One end. What there is no room for waits, in order, for `pump`; sock is the lane's from now on."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._waiting: deque[tuple[Message, tuple[int, ...]]] = deque()

    @classmethod
    def of(cls, descriptor: int) -> Lane:
        """Return the lane of a descriptor that somebody gave us, ours from now on; LaneClosedError for other kinds."""
        try:
            sock = socket.socket(fileno=descriptor)
        except OSError as error:
            os.close(descriptor)
            raise LaneClosedError("the descriptor is no socket") from error
        if (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
            sock.close()
            raise LaneClosedError("the descriptor is no Unix socket for messages")
        return cls(sock)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._sock.fileno()

    @property
    def waiting(self) -> bool:
        """Whether something waits for room."""
        return bool(self._waiting)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message as soon as there is room; the descriptors stay the caller's, open until then.

        Raises LaneClosedError.
        """
        self._waiting.append((message, tuple(descriptors)))
        self.pump()

    def pump(self) -> None:
        """Send what waits, as far as there is room. Raises LaneClosedError."""
        while self._waiting:
            message, descriptors = self._waiting[0]
            try:
                socket.send_fds(self._sock, [_encoder.encode(message)], list(descriptors))
            except OSError as error:
                if error.errno in _FULL:
                    return
                raise LaneClosedError(f"the other end has gone: {error.strerror}") from error
            self._waiting.popleft()

    def receive(self) -> tuple[Message, list[int]] | None:
        """Return the next message with its descriptors, which are the caller's; None when none waits.

        Raises LaneClosedError; nothing stays open then.
        """
        try:
            data, controls, flags, _ = self._sock.recvmsg(_MESSAGE_BYTES, _PARCEL_SPACE, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except OSError as error:
            raise LaneClosedError(f"the other end has gone: {error.strerror}") from error
        descriptors = [descriptor for _, _, raw in controls for descriptor in array.array("i", raw)]
        try:
            return _decode(data, flags, len(descriptors)), descriptors
        except LaneClosedError:
            close_all(descriptors)
            raise

    def wait(self, patience_s: float) -> tuple[Message, list[int]]:
        """Return the next message when it has come. Raises LaneClosedError, also when it takes too long."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        deadline = time.monotonic() + patience_s
        while True:
            found = self.receive()
            if found is not None:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                raise LaneClosedError(f"the other end says nothing for {patience_s:g} s")
            poll.poll(left * 1000)

    def give(self, bundle: Bundle) -> None:
        """Send a bundle as there is room for it; its descriptors must stay open until then. Raises LaneClosedError.

        Raises OSError when the list cannot be laid down.
        """
        fd = lay_down(bundle.manifest)
        try:
            # The first message into an empty lane always has room.
            self.send(Left(len(bundle.manifest), len(bundle.descriptors)), (fd,))
        finally:
            os.close(fd)
        for start in range(0, len(bundle.descriptors), PARCEL):
            self.send(Parcel(), bundle.descriptors[start : start + PARCEL])

    def take(self, patience_s: float) -> Bundle:
        """Wait for a bundle and return it; its descriptors are the caller's. Raises LaneClosedError."""
        message, came = self.wait(patience_s)
        if isinstance(message, Withheld):
            raise LaneClosedError(message.why)
        if not isinstance(message, Left) or len(came) != 1:
            close_all(came)
            raise LaneClosedError("the other end sends something else than what is left")
        with os.fdopen(came[0], "rb") as file:
            manifest = os.pread(file.fileno(), message.size, 0)
        descriptors: list[int] = []
        try:
            while len(descriptors) < message.count:
                self._unpack(descriptors, message.count, patience_s)
        except LaneClosedError:
            close_all(descriptors)
            raise
        return Bundle(manifest, tuple(descriptors))

    def _unpack(self, descriptors: list[int], count: int, patience_s: float) -> None:
        """Wait for a parcel, and add what is in it. Raises LaneClosedError."""
        parcel, came = self.wait(patience_s)
        descriptors += came
        if not isinstance(parcel, Parcel) or not came or len(descriptors) > count:
            raise LaneClosedError("the other end sends other descriptors than it has said")

    def close(self) -> None:
        """Close this end."""
        self._sock.close()


def make_lane() -> tuple[Lane, socket.socket]:
    """Return our end of a new lane, and the other one, which is to be sent away. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Lane(ours), theirs


def lay_down(manifest: bytes) -> int:
    """Return a memfd with a list that nobody can change any more. Raises OSError."""
    fd = os.memfd_create("proxyd inventory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(manifest)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


def _decode(data: bytes, flags: int, descriptors: int) -> Message:
    if not data and not descriptors:
        raise LaneClosedError("the other end has gone")
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise LaneClosedError("a message too long for the lane")
    try:
        message = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LaneClosedError(f"not a message of the lane: {error}") from error
    if descriptors and not isinstance(message, Left | Parcel):
        raise LaneClosedError("descriptors with a message that has none")
    return message
