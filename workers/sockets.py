"""Gives sessions their server-side sockets and their place in shared memory, and takes both back.

Sessions live in the engine; this is what of them belongs to this machine.
"""

from __future__ import annotations

import os
import select
import socket

from workers.contract.settings import AclSettings, Address, Settings
from workers.keeper import Keeper
from workers.net.plain import PythonAddress, to_python
from workers.net.transport import Transport
from workers.net.upstream import Upstreams, drops_of
from workers.session.engine import Engine
from workers.session.session import Session
from workers.wire import sockaddr
from workers.wire.sockaddr import V4_BYTES, V6_BYTES

FIRST_FDS = 1024
"""Descriptors that fit without asking; a list costs 8 bytes a session where a dict costs 100."""


class SessionSockets:
    """One worker's server side. sessions: by the descriptor of their socket, None for every other descriptor."""

    def __init__(
        self, settings: Settings, engine: Engine, transport: Transport, poll: select.epoll, keeper: Keeper
    ) -> None:
        self.sessions: list[Session | None] = [None] * FIRST_FDS
        self._engine = engine
        self._keeper = keeper
        self._lost: dict[int, int] = {}
        self._newly_lost = 0
        self._upstreams = Upstreams(poll, transport, reuse=settings.fast_path)
        forced = {acl.name: _forced_sources(acl, settings) for acl in settings.acls}
        self._forced = forced if any(forced.values()) else {}

    def open(self, session: Session, sizes: list[int], now_ns: int) -> bool:
        """Give a new session its socket and put it to work; if that fails, the engine drops its run of datagrams."""
        target = session.target
        version = 4 if len(target) == V4_BYTES else 6
        source = self._forced[session.terms.rule.name].get(version) if self._forced else None
        try:
            sock, fd = self._upstreams.open(version, source, target if session.connected else None, now_ns)
        except OSError as error:
            self._engine.fail(session, str(error.filename), os.strerror(error.errno or 0), sizes)
            return False
        if self._lost:
            self._lost[fd] = drops_of(sock)
        session.sock = sock
        session.fd = fd
        if fd >= len(self.sessions):
            self.cover(fd)
        self.sessions[fd] = session
        self._keeper.greet([session])
        self._engine.begin(session)
        return True

    def rested(self, version: int, now_ns: int) -> int:
        """Return how many sockets could serve again at once."""
        return 0 if self._forced else self._upstreams.rested(version, now_ns)

    def open_each(self, sessions: list[Session], now_ns: int) -> int:
        """Give sessions of one listener their sockets, and put those to work; return how many of the first have one."""
        opened = self._upstreams.connect_rested([session.target for session in sessions], now_ns)
        known, lost = self.sessions, self._lost
        for session, (sock, fd) in zip(sessions, opened, strict=False):
            session.sock = sock
            session.fd = fd
            known[fd] = session
            if lost:
                lost[fd] = drops_of(sock)
        ready = sessions if len(opened) == len(sessions) else sessions[: len(opened)]
        self._keeper.greet(ready)
        self._engine.begin_each(ready)
        return len(opened)

    def close_ended(self, now_ns: int) -> None:
        """Close the sockets of the sessions that have ended."""
        ended, known = self._engine.ended, self.sessions
        used: dict[int, list[tuple[socket.SocketType, int]]] = {V4_BYTES: [], V6_BYTES: []}
        for session in ended:
            fd, sock = session.fd, session.sock
            known[fd] = None
            if session.deep or self._forced:
                self.look_for_losses([session])
                self._lost.pop(fd, None)
                self._upstreams.close_for_good(sock)
            else:
                used[len(session.target)].append((sock, fd))
            session.sock = None
        self._keeper.clear(ended)
        ended.clear()
        for length, sockets in used.items():
            if sockets:
                self._upstreams.close(sockets, 4 if length == V4_BYTES else 6, now_ns)

    def look_for_losses(self, sessions: list[Session]) -> bool:
        """Count what the kernel has dropped because a session's socket was full; tell if anything is new."""
        lost, before = self._lost, self._newly_lost
        for session in sessions:
            if session.sock is not None:
                drops = drops_of(session.sock)
                if drops != lost.get(session.fd, 0):
                    self._newly_lost += (drops - lost.get(session.fd, 0)) & 0xFFFF_FFFF
                    lost[session.fd] = drops
        return self._newly_lost != before

    def take_lost(self) -> int:
        """Return how many datagrams were found lost since the last call."""
        found, self._newly_lost = self._newly_lost, 0
        return found

    def cover(self, fd: int) -> None:
        """Make sessions long enough for a descriptor."""
        self.sessions.extend([None] * (fd + FIRST_FDS - len(self.sessions)))

    def drain(self, fd: int) -> None:
        """Empty a resting socket, unless a session has been given its descriptor since it was reported."""
        if self.sessions[fd] is None:
            self._upstreams.drain(fd)


def _forced_sources(acl: AclSettings, settings: Settings) -> dict[int, PythonAddress]:
    """Return the addresses a rule forces on the server side, by IP version; a rule's own stand above the proxy's."""
    forced = acl.source_address or settings.source_address
    if forced is None:
        return {}
    values = {4: forced.addr4, 6: forced.addr6}
    return {
        version: to_python(sockaddr.encode(Address(version, value), 0))
        for version, value in values.items()
        if value is not None
    }
