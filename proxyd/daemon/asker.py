"""Who asks over the control socket, and what came with the question: its words, and at most one descriptor.

A descriptor is the way to talk to the proxy, or to one of its workers, past the control socket: a lane of one's own. It
is closed when the question is answered, unless who answers has taken it.
Source: unix(7), SO_PEERCRED, SO_PEERGROUPS, SCM_RIGHTS.
"""

from __future__ import annotations

import array
import os
import socket
import struct

_CREDENTIALS = struct.Struct("=iII")
_SO_PEERGROUPS = 59
"""Linux 4.13; Python has no name for it."""
_GROUPS_BYTES = 1024
"""As many as getsockopt takes: of who is in more than 256 groups, only the main one is known."""
_DESCRIPTOR_BYTES = array.array("i").itemsize


class Asker:
    """The other end of a connection, as the kernel has noted it: its process, its user, all its groups."""

    def __init__(self, process: int, user: int, groups: frozenset[int]) -> None:
        self.process = process
        self.user = user
        self.groups = groups
        self._descriptor = -1

    @property
    def who(self) -> str:
        """The asker in the log's words."""
        return f"process {self.process} of user {self.user}"

    def give(self, descriptor: int | None) -> None:
        """Note the descriptor that came with a question, None: none did; the one before is closed."""
        self.drop()
        self._descriptor = -1 if descriptor is None else descriptor

    def take(self) -> int | None:
        """Return the descriptor that came with the question, None if none did; it is the caller's from now on."""
        descriptor, self._descriptor = self._descriptor, -1
        return None if descriptor < 0 else descriptor

    def drop(self) -> None:
        """Close the descriptor that came, unless it was taken."""
        descriptor = self.take()
        if descriptor is not None:
            os.close(descriptor)


NOBODY = Asker(0, 0xFFFF_FFFF, frozenset())
"""For questions that nobody asked over a socket."""


def meet(sock: socket.socket) -> Asker:
    """Return who is at the other end of a connection."""
    process, user, group = _CREDENTIALS.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:
        raw = b""
    return Asker(process, user, frozenset((group, *struct.unpack(f"={len(raw) // 4}I", raw))))


def hear(sock: socket.socket, most: int) -> tuple[bytes, int | None]:
    """Return what waits, b"" when the other end is gone, and the descriptor with it: the first; others are closed.

    most: the longest message. Raises OSError as recv does, BlockingIOError when nothing waits.
    """
    data, controls, _, _ = sock.recvmsg(most, socket.CMSG_SPACE(_DESCRIPTOR_BYTES), socket.MSG_CMSG_CLOEXEC)
    came = array.array("i")
    for level, kind, raw in controls:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            came.frombytes(raw[: len(raw) - len(raw) % _DESCRIPTOR_BYTES])
    for descriptor in came[1:]:
        os.close(descriptor)
    return data, came[0] if came else None
