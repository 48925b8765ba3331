"""Server-side sockets: made for a session, closed with it, and where the fast path allows it used again.

A closed session's socket loses its port at once (disconnecting unbinds it), so late answers are dropped by the system.
The descriptor rests before it serves another session, because a datagram may still be on its way into it on another
processor; then it is drained. That saves making, registering and closing a socket: a third of a session's cost.
Source: udp(7), connect(2).
"""

from __future__ import annotations

import select
import socket
from collections import deque
from functools import lru_cache

from workers.net import mmsg
from workers.net.plain import PythonAddress, to_python
from workers.net.transport import Transport

RESTING_SOCKETS = 1024
"""Kept at most, of each IP version."""
REST_NS = 20_000_000
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_TYPE = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC

target_address = lru_cache(maxsize=1024)(to_python)


class Upstreams:
    """Opens and closes server-side sockets and keeps them registered with the worker's epoll.

    reuse: let sockets rest and serve again; needs the fast path.
    """

    def __init__(self, poll: select.epoll, transport: Transport, *, reuse: bool) -> None:
        self._poll = poll
        self._transport = transport
        self._reuse = reuse
        self._resting: dict[int, deque[tuple[socket.SocketType, int]]] = {4: deque(), 6: deque()}

    def open(self, version: int, source: PythonAddress | None, target: bytes | None, now_ns: int) -> socket.SocketType:
        """Return a registered socket, bound to source if given, connected to target if given.

        Raises OSError with the failing step in filename: `socket`, `bind` or `connect`.
        """
        sock = self._rested(version, now_ns) if source is None and self._reuse else None
        if sock is None:
            sock = self._make(version)
        step = "bind"
        try:
            if source is not None:
                sock.bind(source)
            step = "connect"
            if target is not None:
                sock.connect(target_address(target))
        except OSError as error:
            self._discard(sock)
            raise OSError(error.errno, error.strerror, step) from error
        return sock

    def close(self, sock: socket.SocketType, version: int, now_ns: int, *, again: bool) -> None:
        """Close a session's socket, or let it rest if it may serve again."""
        resting = self._resting[version]
        if again and self._reuse and len(resting) < RESTING_SOCKETS and mmsg.disconnect(sock.fileno()):
            resting.append((sock, now_ns))
        else:
            self._discard(sock)

    def drain(self, fd: int) -> None:
        """Empty a resting socket that epoll reported."""
        mmsg.drain(fd)

    def _rested(self, version: int, now_ns: int) -> socket.SocketType | None:
        resting = self._resting[version]
        if not resting or now_ns - resting[0][1] < REST_NS:
            return None
        sock = resting.popleft()[0]
        mmsg.drain(sock.fileno())
        return sock

    def _make(self, version: int) -> socket.SocketType:
        try:
            sock = socket.SocketType(_FAMILIES[version], _TYPE)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "socket") from error
        self._transport.adopt(sock)
        self._poll.register(sock.fileno(), select.EPOLLIN)
        return sock

    def _discard(self, sock: socket.SocketType) -> None:
        self._transport.release(sock.fileno())
        sock.close()
