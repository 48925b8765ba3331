"""Server-side sockets: made for a session, closed with it, and where the fast path allows it used again.

A closed session's socket loses its port at once (disconnecting unbinds it), so late answers are dropped by the system.
The descriptor rests before it serves another session, because a datagram may still be on its way into it on another
processor; then it is drained. That saves making, registering and closing a socket: a third of a session's cost.
Where the parent holds duplicates, closing a descriptor does not close its socket: it would stay in epoll, and go on
taking what is sent to its port. So it is taken out of epoll first, and loses its port, or hears nobody any more.
Source: udp(7), ip(7), connect(2), epoll(7) (questions and answers, 6).
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from bisect import bisect_right
from contextlib import suppress
from functools import lru_cache
from itertools import compress
from typing import NamedTuple

from workers.net import ancillary, mmsg
from workers.net.arena import SLOTS
from workers.net.plain import to_python
from workers.net.transport import Transport
from workers.wire.sockaddr import V4_BYTES

RESTING_SOCKETS = 1024
"""Kept at most, of each IP version."""
REST_NS = 20_000_000
FEW_SESSIONS = 2
"""So many are begun and ended sooner one by one than by what is made for batches."""
_NO_DESCRIPTORS = frozenset((errno.EMFILE, errno.ENFILE))
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_TYPE = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC

target_address = lru_cache(maxsize=1024)(to_python)


def lost_since(drops: int, before: int) -> int:
    """Return how many datagrams were lost between two readings of drops_of; the later one may be a little behind."""
    news = (drops - before) & 0xFFFF_FFFF
    return news if news < 1 << 31 else 0


class Setup(NamedTuple):
    """What a socket needs before it is connected: options (level, name, value), and a raw address to bind to."""

    options: tuple[tuple[int, int, int | bytes], ...] = ()
    local: bytes = b""


BARE = Setup()

_connect = socket.SocketType.connect
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")
_DROPS = 8
_MAY_FRAGMENT = {4: (socket.IPPROTO_IP, 10, 0), 6: (socket.IPPROTO_IPV6, 23, 0)}
"""IP_MTU_DISCOVER and IPV6_MTU_DISCOVER, PMTUDISC_DONT: never set DF, as listeners do not. A path that takes less than
our own network would lose the first long datagram, and every one where its ICMP does not come through."""
_SO_COOKIE = 57
_COOKIE_BYTES = 8
_NOBODY: dict[int, tuple[str, int]] = {socket.AF_INET: ("127.0.0.1", 1), socket.AF_INET6: ("::1", 1)}
"""Where nobody sends from."""


def drops_of(sock: socket.SocketType) -> int:
    """Return how many datagrams the kernel has dropped for a socket, modulo 2**32; 0 if it cannot say.

    Source: socket option SO_MEMINFO, Linux 4.12, SK_MEMINFO_DROPS.
    """
    try:
        return int(_MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_DROPS])
    except (OSError, struct.error):
        return 0


def cookie_of(sock: socket.SocketType) -> bytes:
    """Return what tells a socket from every other one, whichever descriptor it has. Raises OSError.

    Source: socket option SO_COOKIE, Linux 4.12.
    """
    return sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, _COOKIE_BYTES)


def delivers_trains(sock: socket.SocketType) -> bool:
    """Tell whether a socket has been told to deliver datagrams of equal size together."""
    try:
        return bool(sock.getsockopt(socket.IPPROTO_UDP, ancillary.UDP_GRO))
    except OSError:  # kernels before 5.0
        return False


class _Resting:
    """The sockets of one IP version that rest, their descriptors, and since when: side by side, the longest first.

    Lists, so that what serves together and ends together is taken and added as one slice.
    """

    def __init__(self) -> None:
        self.socks: list[socket.SocketType] = []
        self.fds: list[int] = []
        self.since_ns: list[int] = []

    def add(self, socks: list[socket.SocketType], fds: list[int], now_ns: int) -> None:
        """Let sockets rest from now on."""
        self.socks += socks
        self.fds += fds
        self.since_ns += [now_ns] * len(fds)

    def count(self, now_ns: int) -> int:
        """Return how many have rested enough, SLOTS at most."""
        return bisect_right(self.since_ns, now_ns - REST_NS, 0, min(len(self.since_ns), SLOTS))

    def drop(self, count: int) -> None:
        """Forget the first ones."""
        del self.socks[:count], self.fds[:count], self.since_ns[:count]


class Upstreams:
    """Opens and closes server-side sockets and keeps them registered with the worker's epoll.

    reuse: let sockets rest and serve again; needs the fast path. doubled: the parent may hold duplicates.
    """

    def __init__(self, poll: select.epoll, transport: Transport, *, reuse: bool, doubled: bool = False) -> None:
        self._poll = poll
        self._transport = transport
        self._reuse = reuse
        self._doubled = doubled
        self._resting = {4: _Resting(), 6: _Resting()}

    def rested(self, version: int, now_ns: int) -> int:
        """Return how many sockets have rested enough, SLOTS at most."""
        return self._resting[version].count(now_ns)

    def connect_rested(self, targets: list[bytes], now_ns: int) -> tuple[list[socket.SocketType], list[int]]:
        """Return registered, empty sockets, each connected to its target, all of one IP version, as far as they go.

        Their descriptors come with them. Only sockets that have rested are taken: there may be fewer than targets, and
        `open` says why.
        """
        resting = self._resting[4 if targets and len(targets[0]) == V4_BYTES else 6]
        count = taken = min(len(targets), resting.count(now_ns))
        socks, fds = resting.socks[:count], resting.fds[:count]
        opened: list[None] = []
        try:
            # What came before an error stays in the list.
            opened.extend(map(_connect, socks, map(target_address, targets)))
        except OSError:
            count = len(opened)
            taken = count + 1
            self._discard(socks[count])
            del socks[count:], fds[count:]
        resting.drop(taken)
        # Until they were connected they took datagrams from anybody.
        for fd in mmsg.find_waiting(fds):
            mmsg.drain(fd)
        return socks, fds

    def open(self, version: int, setup: Setup, target: bytes | None, now_ns: int) -> tuple[socket.SocketType, int]:
        """Return a registered socket and its descriptor, set up, and connected to target if given.

        A connected one is empty: until it was connected it took datagrams from anybody, and a rested one may hold its
        old server's. Raises OSError with the failing step in filename: `socket`, `option`, `bind` or `connect`.
        """
        resting = self._resting[version]
        # Disconnecting leaves an IPv6 socket its peer's address: unconnected, it would go on hearing nobody else.
        suitable = setup is BARE and (target is not None or version == 4)
        if suitable and resting.since_ns and resting.since_ns[0] <= now_ns - REST_NS:
            sock, fd = resting.socks[0], resting.fds[0]
            resting.drop(1)
        else:
            sock, fd = self._make(version)
        step = "option"
        try:
            for level, name, value in setup.options:
                sock.setsockopt(level, name, value)
            step = "bind"
            if setup.local:
                sock.bind(to_python(setup.local))
            step = "connect"
            if target is not None:
                sock.connect(target_address(target))
                mmsg.drain(fd)
        except OSError as error:
            self._discard(sock)
            raise OSError(error.errno, error.strerror, step) from error
        return sock, fd

    def resume(self, sock: socket.SocketType) -> None:
        """Register a socket that another worker has made. Raises OSError."""
        self._poll.register(sock.fileno(), select.EPOLLIN)
        self._transport.adopt(sock)

    def close(self, socks: list[socket.SocketType], fds: list[int], version: int, now_ns: int) -> None:
        """Let sessions' sockets of one IP version rest, to serve again; or close them, if there are enough.

        fds: their descriptors, in the same order.
        """
        resting = self._resting[version]
        if len(fds) <= FEW_SESSIONS or not self._reuse or len(resting.fds) + len(fds) > RESTING_SOCKETS:
            for sock, fd in zip(socks, fds, strict=True):
                if self._reuse and len(resting.fds) < RESTING_SOCKETS and mmsg.disconnect(fd):
                    resting.add([sock], [fd], now_ns)
                else:
                    self.close_for_good(sock)
            return
        failures = mmsg.disconnect_each(fds)
        if any(failures):
            for sock in compress(socks, failures):
                self.close_for_good(sock)
            rest = [not failed for failed in failures]
            socks, fds = list(compress(socks, rest)), list(compress(fds, rest))
        resting.add(socks, fds, now_ns)

    def close_for_good(self, sock: socket.SocketType) -> None:
        """Close a session's socket that cannot serve another one: it was bound, or delivers trains."""
        if self._doubled:
            _silence(sock)
        self._discard(sock)

    def move(self, sock: socket.SocketType, target: bytes) -> bool:
        """Connect a socket anew if its target is reached from another address of ours by now; tell if it was.

        The kernel chooses the address when a socket is connected, for good. Where there is no way to the target nothing
        changes: the address may come back, and with it the session's port is still its own.
        """
        peer, fd = target_address(target), sock.fileno()
        try:
            with socket.socket(sock.family, _TYPE) as probe:
                probe.connect(peer)
                if probe.getsockname()[0] == sock.getsockname()[0]:
                    return False
            if not mmsg.disconnect(fd):
                return False
            sock.connect(peer)
        except OSError:
            return False
        mmsg.drain(fd)
        return True

    def drain(self, fd: int) -> None:
        """Empty a resting socket that epoll reported."""
        mmsg.drain(fd)

    def _make(self, version: int, *, again: bool = True) -> tuple[socket.SocketType, int]:
        try:
            sock = socket.SocketType(_FAMILIES[version], _TYPE)
            fd = sock.fileno()
            sock.setsockopt(*_MAY_FRAGMENT[version])
            self._poll.register(fd, select.EPOLLIN)
        except OSError as error:
            if again and error.errno in _NO_DESCRIPTORS and self._give_one_up():
                return self._make(version, again=False)
            raise OSError(error.errno, error.strerror, "socket") from error
        self._transport.adopt(sock)
        return sock, fd

    def _give_one_up(self) -> bool:
        """Close a resting socket, so that its descriptor can serve at once; False if none rests."""
        for resting in self._resting.values():
            if resting.socks:
                self._discard(resting.socks[0])
                resting.drop(1)
                return True
        return False

    def _discard(self, sock: socket.SocketType) -> None:
        self._transport.release(sock.fileno())
        if self._doubled:
            self._poll.unregister(sock)
        sock.close()


def _silence(sock: socket.SocketType) -> None:
    """Let a socket take nothing any more, though it stays open elsewhere."""
    mmsg.disconnect(sock.fileno())
    if sock.getsockname()[1]:  # Its port was chosen: it keeps it, and from now on would hear everybody.
        with suppress(OSError):
            sock.connect(_NOBODY[sock.family])
