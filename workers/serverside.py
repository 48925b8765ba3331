"""Server-side sockets that are not like any other: with a forged or forced address, marked, for broadcasts, shared.

Ordinary ones are made by workers.net.upstream; this says what the others need. Sessions with one forced source port and
no server of their own have one socket together, whose datagrams workers.session.trails tells apart.
Source: ip(7), IP_TRANSPARENT, IP_TTL; ipv6(7); socket(7), SO_BROADCAST, SO_REUSEPORT; udp-proxy(8); K-50 to K-62.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from workers.contract.settings import QueueSettings, SessionKind, Settings
from workers.errors import RevivalError, WorkerError
from workers.net import marking
from workers.net.marking import Marking
from workers.net.plain import from_python, to_python
from workers.net.upstream import Setup, Upstreams, cookie_of
from workers.origin import LAST_TTL, NO_INTERFACE, Known, echo_of
from workers.session import sources
from workers.session.reach import LIMITED
from workers.session.session import Session
from workers.session.sources import Source
from workers.session.trails import Trails
from workers.wire.sockaddr import V4_BYTES

_TRANSPARENT = {4: (socket.IPPROTO_IP, 19, 1), 6: (socket.IPPROTO_IPV6, 75, 1)}
"""IP_TRANSPARENT and IPV6_TRANSPARENT: needs CAP_NET_RAW."""
_REUSE = ((socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1))
_BROADCAST = (socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
_ONE_HOP = (socket.IPPROTO_IP, socket.IP_TTL, LAST_TTL)
_HOST4 = slice(4, 8)
"""Where the address lies in a raw IPv4 socket address."""


class SameInterfaceError(WorkerError):
    """A broadcast would leave by the interface that it came in by, and look like its client's own (K-59, K-61)."""


class Way(NamedTuple):
    """How a broadcast leaves: by which interface, from which raw address of ours, to a network that is connected."""

    interface: int
    local: bytes
    near: bool


@dataclass(slots=True, eq=False)
class Shared:
    """One socket of several sessions. place: what it was made for."""

    sock: socket.SocketType
    fd: int
    place: Setup
    users: set[Session] = field(default_factory=set)


class ServerSides:
    """One worker's special sockets. shared: by descriptor, those that sessions have together."""

    def __init__(self, settings: Settings, upstreams: Upstreams, trails: Trails, known: Known | None) -> None:
        self.shared: dict[int, Shared] = {}
        self._places: dict[Setup, Shared] = {}
        self._upstreams = upstreams
        self._trails = trails
        self._known = known
        self._queues = {queue.name: queue for queue in settings.queues}
        self._resumed: dict[bytes, Shared] = {}

    def open(self, session: Session, interface: int, now_ns: int) -> tuple[socket.SocketType, int]:
        """Return a session's socket and its descriptor. interface: the one its client's datagram came in by.

        Raises OSError with the failing step in filename, SameInterfaceError.
        """
        rule, target = session.terms.rule, session.target
        version = 4 if len(target) == V4_BYTES else 6
        source = sources.choose(rule, session.client, target) or sources.SYSTEMS
        way = self._way(target) if rule.kind is SessionKind.BROADCAST and version == 4 else None
        if way is not None and source.forced and way.interface == interface != NO_INTERFACE:
            ends = source.local, target
            if session.transparent or ends == (session.client, session.destination):
                raise SameInterfaceError(interface)
        setup = _setup(marking.to_server(rule, self._queues), version, source, way)
        if source.shared:
            sock, fd = self._join(session, version, setup, now_ns)
        else:
            peer = target if session.connected else None
            sock, fd = self._upstreams.open(version, setup, peer, now_ns)
        if source.forced:
            self._trails.share(session, source.local)
        if way is not None:
            local = from_python(version, sock.getsockname())
            self._trails.await_echo(session, echo_of(way.interface, local, target))
        return sock, fd

    def resume(
        self, session: Session, sock: socket.SocketType, queues: Mapping[str, QueueSettings]
    ) -> socket.SocketType:
        """Take on a session's socket that another worker has made; return the one that it has from now on.

        queues: by name, those that the session's rule was compiled with. Sessions that share a socket come with a
        duplicate of it each: the first is theirs, the others are closed. Raises OSError, RevivalError.
        """
        rule, target = session.terms.rule, session.target
        source = sources.choose(rule, session.client, target) or sources.SYSTEMS
        way = self._way_again(target) if rule.kind is SessionKind.BROADCAST and len(target) == V4_BYTES else None
        if source.shared:
            setup = _setup(marking.to_server(rule, queues), 4 if len(target) == V4_BYTES else 6, source, way)
            sock = self._rejoin(session, sock, setup)
        else:
            self._upstreams.resume(sock)
        if source.forced:
            self._trails.share(session, source.local)
        if way is not None:
            local = from_python(4, sock.getsockname())
            self._trails.await_echo(session, echo_of(way.interface, local, target))
        return sock

    def close(self, session: Session, sock: socket.SocketType, fd: int) -> None:
        """Close a session's socket, or leave it to those it is shared with."""
        shared = self.shared.get(fd)
        if shared is not None:
            shared.users.discard(session)
            if shared.users:
                return
            del self.shared[fd]
            if self._places.get(shared.place) is shared:
                del self._places[shared.place]
        self._upstreams.close_for_good(sock)

    def has_several(self, fd: int) -> bool:
        """Tell whether the socket with this descriptor has several sessions now."""
        shared = self.shared.get(fd)
        return shared is not None and len(shared.users) > 1

    def _join(self, session: Session, version: int, setup: Setup, now_ns: int) -> tuple[socket.SocketType, int]:
        shared = self._places.get(setup)
        if shared is None:
            sock, fd = self._upstreams.open(version, setup, None, now_ns)
            shared = self._places[setup] = self.shared[fd] = Shared(sock, fd, setup)
        shared.users.add(session)
        return shared.sock, shared.fd

    def _rejoin(self, session: Session, sock: socket.SocketType, setup: Setup) -> socket.SocketType:
        cookie = cookie_of(sock)
        shared = self._resumed.get(cookie)
        if shared is None:
            self._upstreams.resume(sock)
            fd = sock.fileno()
            shared = self._resumed[cookie] = self.shared[fd] = Shared(sock, fd, setup)
            self._places.setdefault(setup, shared)
        elif shared.place.local != setup.local:
            raise RevivalError("its socket is another session's")
        else:
            sock.close()
        shared.users.add(session)
        return shared.sock

    def forget_resumed(self) -> None:
        """Take no more sockets on: only while they come need duplicates be told."""
        self._resumed.clear()

    def _way_again(self, target: bytes) -> Way | None:
        """Find out how a broadcast leaves that has left before; None if there is no way any more."""
        try:
            return self._way(target)
        except OSError:
            return None

    def _way(self, target: bytes) -> Way:
        """Find out how a broadcast leaves. Raises OSError: step `route`."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            probe.setsockopt(*_BROADCAST)
            try:
                probe.connect(to_python(target))
            except OSError as error:
                raise OSError(error.errno, os.strerror(error.errno or 0), "route") from error
            local = from_python(4, probe.getsockname())
        table = None if self._known is None else self._known.table
        found = None if table is None else table.broadcast_of(target[_HOST4])
        interface = found
        if interface is None and table is not None:
            interface = table.interface_of(local[_HOST4])
        near = found is not None or target[_HOST4] == LIMITED
        return Way(interface or NO_INTERFACE, local[:2] + bytes(2) + local[4:], near)


def _setup(marks: Marking, version: int, source: Source, way: Way | None) -> Setup:
    options: list[tuple[int, int, int | bytes]] = list(marks.options(version))
    if source.foreign:
        options.append(_TRANSPARENT[version])
    if source.forced:
        options += _REUSE
    if way is not None:
        options += (_BROADCAST, _ONE_HOP) if way.near else (_BROADCAST,)
    return Setup(tuple(options), source.local or (way.local if way is not None else b""))
