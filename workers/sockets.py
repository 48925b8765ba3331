"""Gives sessions their server-side sockets and their place in shared memory, and takes both back.

Sessions live in the engine; this is what of them belongs to this machine.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Mapping
from contextlib import suppress

from workers.contract.settings import QueueSettings, Settings
from workers.deadlines import NEVER
from workers.keeper import Keeper
from workers.net.ancillary import is_link_local
from workers.net.interfaces import Table
from workers.net.plain import from_python
from workers.net.transport import Transport
from workers.net.upstream import (
    BARE,
    REST_NS,
    Upstreams,
    delivers_trains,
    drops_of,
    lost_since,
    target_address,
)
from workers.origin import NO_INTERFACE, Known
from workers.serverside import SameInterfaceError, ServerSides, Shared
from workers.session.engine import Engine
from workers.session.session import Session
from workers.wire.sockaddr import V4_BYTES, host

LASTING_READS = 24
"""A session that is read by itself, with so many reads in store, stays so: its socket delivers trains from then on, and
those that had come when it was told to stop could not be told from datagrams."""
FIRST_FDS = 1024
"""Descriptors that fit without asking; a list costs 8 bytes a session where a dict costs 100."""


class SessionSockets:
    """One worker's server side. sessions: by the descriptor of their own socket, None for every other descriptor.

    known: the machine's addresses, where broadcasts need them.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        transport: Transport,
        poll: select.epoll,
        keeper: Keeper,
        known: Known | None = None,
    ) -> None:
        self.sessions: list[Session | None] = [None] * FIRST_FDS
        self._engine = engine
        self._keeper = keeper
        self._lost: dict[int, int] = {}
        self._newly_lost = 0
        self._own: frozenset[bytes] = frozenset()
        self._stuck = False
        self._upstreams = Upstreams(poll, transport, reuse=settings.fast_path, doubled=keeper.entrusting)
        self._special = ServerSides(settings, self._upstreams, engine.trails, known)

    def open(self, session: Session, sizes: list[int], now_ns: int, interface: int = NO_INTERFACE) -> bool:
        """Give a new session its socket and put it to work; if that fails, the engine drops its run of datagrams.

        interface: the one that its client's datagram came in by.
        """
        target = session.target
        try:
            if session.terms.bare:
                version = 4 if len(target) == V4_BYTES else 6
                sock, fd = self._upstreams.open(version, BARE, target if session.connected else None, now_ns)
            else:
                sock, fd = self._special.open(session, interface, now_ns)
        except SameInterfaceError:
            self._engine.forbid(session, sizes, now_ns)
            return False
        except OSError as error:
            self._engine.fail(session, str(error.filename), os.strerror(error.errno or 0), sizes)
            return False
        if self._lost and not self._special.has_several(fd):
            self._lost[fd] = drops_of(sock)
        session.sock = sock
        if fd >= len(self.sessions):
            self.cover(fd)
        if fd not in self._special.shared:
            self.sessions[fd] = session
        self._keeper.greet([session])
        self._engine.begin(session)
        return True

    def rested(self, version: int, now_ns: int) -> int:
        """Return how many sockets could serve again at once."""
        return self._upstreams.rested(version, now_ns)

    def open_each(self, sessions: list[Session], now_ns: int) -> int:
        """Give sessions of one listener their sockets, and put those to work; return how many of the first have one."""
        socks, fds = self._upstreams.connect_rested([session.target for session in sessions], now_ns)
        known, lost = self.sessions, self._lost
        for session, sock, fd in zip(sessions, socks, fds, strict=False):
            session.sock = sock
            known[fd] = session
        if lost:
            lost.update(zip(fds, map(drops_of, socks), strict=True))
        ready = sessions if len(fds) == len(sessions) else sessions[: len(fds)]
        self._keeper.greet(ready)
        self._engine.begin_each(ready)
        return len(fds)

    def resume(self, session: Session, sock: socket.SocketType, queues: Mapping[str, QueueSettings]) -> None:
        """Put a session to work that another worker began, with its socket.

        queues: by name, those that its rule was compiled with. Raises OSError, RevivalError, having done nothing.
        """
        if session.terms.bare:
            self._upstreams.resume(sock)
        else:
            sock = self._special.resume(session, sock, queues)
        fd = sock.fileno()
        session.sock, session.stretched = sock, delivers_trains(sock)
        session.deep = LASTING_READS if session.stretched else 0
        drops = drops_of(sock)
        if drops:
            self._lost[fd] = drops
        if fd >= len(self.sessions):
            self.cover(fd)
        if fd not in self._special.shared:
            self.sessions[fd] = session
        self._keeper.resume(session)

    def end_resuming(self) -> None:
        """Note that all sessions are there that another worker began."""
        self._special.forget_resumed()

    def close_ended(self, now_ns: int) -> None:
        """Close the sockets of the sessions that have ended."""
        ended, known = self._engine.ended, self.sessions
        kept: list[Session] = []
        socks4: list[socket.SocketType] = []
        socks6: list[socket.SocketType] = []
        fds4: list[int] = []
        fds6: list[int] = []
        for session in ended:
            sock, terms, answered_ns = session.sock, session.terms, session.last_in_ns
            fd = sock.fileno()
            known[fd] = None
            if session.tick:
                kept.append(session)
            elif answered_ns > terms.tally.answered_ns and answered_ns > session.opened_ns:
                terms.tally.answered_ns = answered_ns
            if session.stretched or not terms.bare:
                self._close_special(session, sock, fd)
            elif len(session.target) == V4_BYTES:
                socks4.append(sock)
                fds4.append(fd)
            else:
                socks6.append(sock)
                fds6.append(fd)
            session.sock = None
        ended.clear()
        if kept:
            self._keeper.clear(kept)
        if fds4:
            self._upstreams.close(socks4, fds4, 4, now_ns)
        if fds6:
            self._upstreams.close(socks6, fds6, 6, now_ns)

    def _close_special(self, session: Session, sock: socket.SocketType, fd: int) -> None:
        """Close a socket that can serve no other session."""
        self.look_for_losses([session])
        if not self._special.has_several(fd):
            self._lost.pop(fd, None)
        self._special.close(session, sock, fd)

    def look_for_losses(self, sessions: list[Session]) -> bool:
        """Count what the kernel has dropped because a session's socket was full; tell if anything is new."""
        lost, before = self._lost, self._newly_lost
        for session in sessions:
            if session.sock is not None:
                drops = drops_of(session.sock)
                news = lost_since(drops, lost.get(session.sock.fileno(), 0))
                if news:
                    self._newly_lost += news
                    lost[session.sock.fileno()] = drops
        return self._newly_lost != before

    def take_lost(self) -> int:
        """Return how many datagrams were found lost since the last call."""
        found, self._newly_lost = self._newly_lost, 0
        return found

    def fix(self, session: Session, now_ns: int) -> None:
        """Send to the server that has answered, and let the kernel keep everybody else away from its socket."""
        self._keeper.retarget(session)
        trail = session.trail
        if trail is None or session.sock.fileno() in self._special.shared:
            return
        with suppress(OSError):  # Where the kernel will not, every datagram's sender goes on being looked at.
            session.sock.connect(target_address(session.target))
            trail.settled_ns = now_ns + REST_NS

    def settle(self, session: Session, now_ns: int) -> None:
        """Take a session whose socket is empty for a simple one, if nobody but its server can have sent there since."""
        trail = session.trail
        if trail is not None and now_ns >= trail.settled_ns:
            trail.settled_ns = NEVER
            session.connected = True
            session.simple = not session.terms.shaped

    def move(self, session: Session) -> bool:
        """Let a session leave from another address of ours, if its server is reached from another one now; tell if so.

        What is bound to an address, or marked for another route, stays where it is.
        """
        if not _is_movable(session):
            return False
        self._engine.reclaim(session)
        return self._upstreams.move(session.sock, session.target)

    def follow(self, table: Table) -> None:
        """Move the sessions whose own address this machine has lost. table: the addresses it has now.

        Over IPv4 the kernel refuses to send from there, over IPv6 it sends what nobody can answer. Sessions are looked
        at when an address has gone, and again at every change as long as one has no other way.
        """
        own = frozenset(entry.local for entry in table.assigned if not is_link_local(entry.local))
        gone, self._own = self._own - own, own
        if not gone and not self._stuck:
            return
        self._stuck = False
        for session in self._engine.everybody():
            if session.sock is not None and _is_movable(session):
                version = 4 if len(session.target) == V4_BYTES else 6
                local = from_python(version, session.sock.getsockname())
                if not table.is_own(host(local)):
                    self._stuck |= not self.move(session)

    def shared(self, fd: int) -> Shared | None:
        """Return the socket that sessions share by its descriptor, None for every other descriptor."""
        return self._special.shared.get(fd)

    def target_at(self, session: Session) -> int:
        """Return where the address to send to lies in shared memory, -1 if the socket is connected."""
        return -1 if session.connected else self._keeper.target_offset(session.slot)

    def cover(self, fd: int) -> None:
        """Make sessions long enough for a descriptor."""
        self.sessions.extend([None] * (fd + FIRST_FDS - len(self.sessions)))

    def drain(self, fd: int) -> None:
        """Empty a resting socket, unless a session has been given its descriptor since it was reported."""
        if self.sessions[fd] is None and fd not in self._special.shared:
            self._upstreams.drain(fd)


def _is_movable(session: Session) -> bool:
    return session.terms.bare and session.connected
