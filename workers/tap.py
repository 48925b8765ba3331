"""Copies of a session's datagrams for whoever watches it, through a lane of their own; nothing ever waits for it.

A tapped session is not simple: its datagrams leave the loops of the fast path by the one test that is there anyway, so
that taps cost the other sessions nothing. What does not fit the lane is lost to the watcher alone, and counted.
Datagrams are copied as they come, before limits decide on them. Source: proxyctl(8), tap; workers.contract.tapping.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Protocol, TypeAlias

from workers.contract.messages import Tap
from workers.contract.tapping import ADDRESSES, HEAD, Kind, Way
from workers.deadlines import NEVER
from workers.net.plain import from_python
from workers.session.session import Session

MAX_TAPS = 4
"""At once in a worker."""
LOOK_NS = 500_000_000
"""How often it is looked whether watcher and session are there still."""
NOBODY = b""
_NOW = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL

Payload: TypeAlias = bytes | memoryview


class Journal(Protocol):
    """The log, as far as this writes to it."""

    def note(self, event: str, track: int, *fields: str | int | bytes | None) -> None:
        """Write an event of workers.contract.catalogue."""
        ...


class Watcher:
    """One tap: the lane, and what of its bounds is left. why: it has ended, None while it goes on."""

    __slots__ = ("_lane", "_lost", "_until_ns", "bytes_left", "datagrams_left", "why")

    def __init__(self, lane: socket.socket, order: Tap, now_ns: int) -> None:
        self._lane = lane
        self._until_ns = now_ns + order.span_ns
        self._lost = 0
        self.datagrams_left = order.datagrams
        self.bytes_left = order.payload_bytes
        self.why: str | None = None

    def tell(self, kind: Kind, way: Way, at_ns: int, peer: bytes, body: Payload) -> None:
        """Send a message if the lane takes it now."""
        try:
            self._lane.sendmsg([HEAD.pack(kind, way, at_ns, self._lost, peer), body], [], _NOW)
        except BlockingIOError:
            self._lost += 1
        except OSError:
            self.why = "nobody listens any more"

    def copy(self, way: Way, at_ns: int, peer: bytes, payload: Payload) -> None:
        """Pass on one datagram, within the tap's bounds."""
        if self.why is not None:
            return
        if self.datagrams_left <= 0 or self.bytes_left < len(payload):
            self.why = "as many as were asked for"
            return
        self.datagrams_left -= 1
        self.bytes_left -= len(payload)
        self.tell(Kind.DATAGRAM, way, at_ns, peer, payload)

    def look(self, now_ns: int) -> None:
        """End when the time is up, or the other end says anything or is gone."""
        if self.why is not None:
            return
        if self.datagrams_left <= 0 or self.bytes_left <= 0:
            self.why = "as many as were asked for"
        elif now_ns >= self._until_ns:
            self.why = "the time is up"
        else:
            try:
                self._lane.recv(1, _NOW)
            except BlockingIOError:
                return
            except OSError:
                pass
            self.why = "nobody listens any more"

    def end(self, why: str, now_ns: int) -> None:
        """Say why, as far as there is room, and close the lane."""
        self.tell(Kind.ENDED, Way.OUT, now_ns, NOBODY, why.encode())
        self._lane.close()


class Taps:
    """One worker's. sessions: those that are watched, each with whoever watches it."""

    def __init__(self, journal: Journal) -> None:
        self.sessions: dict[Session, list[Watcher]] = {}
        self._simple: set[Session] = set()
        self._journal = journal
        self._due_ns = NEVER

    def begin(self, session: Session | None, order: Tap, now_ns: int) -> None:
        """Watch a session, None where there is none any more: through the order's lane, which is ours from now on."""
        if order.lane < 0:
            return
        lane = socket.socket(fileno=order.lane)
        watcher = Watcher(lane, order, now_ns)
        if session is None or session.sock is None:
            watcher.end("there is no such session any more", now_ns)
        elif sum(map(len, self.sessions.values())) >= MAX_TAPS:
            watcher.end(f"there are {MAX_TAPS} taps in this worker already", now_ns)
        else:
            watcher.tell(Kind.BEGUN, Way.OUT, now_ns, NOBODY, _addresses(session))
            self.sessions.setdefault(session, []).append(watcher)
            self.hold(session)
            self._due_ns = min(self._due_ns, now_ns + LOOK_NS)
            self._journal.note("tap-begun", session.track)

    def hold(self, session: Session) -> None:
        """See that a watched session's datagrams come by here, now that it has become a simple one."""
        if session.simple and session in self.sessions:
            session.simple = False
            self._simple.add(session)

    def copy(self, session: Session, way: Way, payloads: Iterable[Payload], now_ns: int, peer: bytes = NOBODY) -> None:
        """Show datagrams of a session to whoever watches it. peer: the server-side address, NOBODY: its server's."""
        for payload in payloads:
            for watcher in self.sessions[session]:
                watcher.copy(way, now_ns, peer or session.target, payload)

    def tend(self, now_ns: int) -> int:
        """End what is over; return when to come again."""
        if now_ns < self._due_ns:
            return self._due_ns
        for session, watchers in list(self.sessions.items()):
            over = "the session has ended" if session.sock is None else None
            for watcher in list(watchers):
                watcher.look(now_ns)
                why = watcher.why or over
                if why is not None:
                    watchers.remove(watcher)
                    watcher.end(why, now_ns)
                    self._journal.note("tap-ended", session.track, why)
            if not watchers:
                self._forget(session)
        self._due_ns = now_ns + LOOK_NS if self.sessions else NEVER
        return self._due_ns

    def _forget(self, session: Session) -> None:
        del self.sessions[session]
        if session in self._simple:
            self._simple.remove(session)
            session.simple = True


def _addresses(session: Session) -> bytes:
    local = from_python(4 if session.sock.family == socket.AF_INET else 6, session.sock.getsockname())
    return ADDRESSES.pack(session.client, session.destination, local, session.target)
