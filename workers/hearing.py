"""Datagrams on the server side that may be anybody's: each one's sender is judged before it passes.

Sockets that are connected to nobody come here: those of sessions whose server is not known yet, or never will be, and
those that sessions share. Also what a listener has heard instead of them.
Source: udp-proxy(8), Session types; K-28 to K-30, K-35 to K-47, K-51.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from workers import refusals
from workers.answers import Answers
from workers.contract.tapping import Way
from workers.journal import DUMP_LEVEL, Journal
from workers.net import ancillary
from workers.net.arena import SLOTS
from workers.net.transport import Part, Transport
from workers.serverside import Shared
from workers.session.engine import Engine
from workers.session.session import Session
from workers.sockets import SessionSockets
from workers.tap import Taps
from workers.treatment import Treatment
from workers.wire.sockaddr import V4_BYTES, host


class Hearing:
    """One worker's. taps: who watches sessions, whichever way their datagrams go."""

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        sockets: SessionSockets,
        journal: Journal,
        answers: Answers,
        treatment: Treatment,
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._sockets = sockets
        self._journal = journal
        self._answers = answers
        self._treatment = treatment
        self.taps = Taps(journal)

    def hear(self, session: Session, now_ns: int) -> None:
        """Read the socket of a session that is connected to nobody."""
        transport, version = self._transport, 4 if len(session.target) == V4_BYTES else 6
        count = transport.receive(session.sock.fileno(), version)
        if not count and transport.error:
            refusals.note_error(self._journal, session, transport.error)
        for slot, size in enumerate(transport.sizes(0, count)):
            self._take(session, slot, size, transport.source(slot, version), now_ns)
        self._answers.flush()
        if count < SLOTS and session.fixed:
            self._sockets.settle(session, now_ns)
            self.taps.hold(session)
        self._answers.conclude([session], now_ns)

    def hear_shared(self, shared: Shared, now_ns: int) -> None:
        """Read a socket that several sessions have: each datagram finds its own by who sent it."""
        transport = self._transport
        local, version = shared.place.local, 4 if shared.sock.family == socket.AF_INET else 6
        heard: list[Session] = []
        for slot, size in enumerate(transport.sizes(0, transport.receive(shared.fd, version))):
            source = transport.source(slot, version)
            session = self._engine.trails.find(local, source)
            if session is None:
                self._engine.refuse_stray([size])
            else:
                self._take(session, slot, size, source, now_ns)
                heard.append(session)
        self._answers.flush()
        self._answers.conclude(list(dict.fromkeys(heard)), now_ns)

    def hear_returned(self, session: Session, source: bytes, parts: Sequence[Part], now_ns: int) -> None:
        """Take what a session's server has sent to the client's own address, and a listener has heard.

        Sent one by one: it may lie in slots that were arranged, several in one.
        """
        for index, part in enumerate(parts):
            if session.closing is not None:
                self._engine.refuse_in(session, [size for _, _, size in parts[index:]])
                break
            if self._passes(session, part.size, source, now_ns):
                self._show(session, part, source, now_ns)
                self._answers.send_parts(session, [part], self._control(session, source))
        self._answers.conclude([session], now_ns)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _take(self, session: Session, slot: int, size: int, source: bytes, now_ns: int) -> None:
        """Decide on the datagram of a slot, and line it up if it passes."""
        if session.closing is not None:
            self._engine.refuse_in(session, [size])
            return
        if self._journal.level >= DUMP_LEVEL:
            self._answers.dump([session], [size], slot)
        if self._passes(session, size, source, now_ns):
            self._show(session, Part(slot, 0, size), source, now_ns)
            self._answers.line_up_one(session, slot, size, self._control(session, source))

    def _show(self, session: Session, part: Part, source: bytes, now_ns: int) -> None:
        if session in self.taps.sessions:
            self.taps.copy(session, Way.IN, (self._transport.payload(part),), now_ns, source)

    def _passes(self, session: Session, size: int, source: bytes, now_ns: int) -> bool:
        fixed = session.fixed
        if not self._engine.judge(session, source, size, now_ns):
            return False
        if session.fixed and not fixed:
            self._fix(session, source, now_ns)
        if session.terms.shaped and not self._treatment.allow_in(session, [size], now_ns):
            self._engine.shed_in(session, [size])
            return False
        return self._engine.pass_in(session, [size], now_ns) == 1

    def _fix(self, session: Session, source: bytes, now_ns: int) -> None:
        """Act on a session's having found its server: send there, and let its client see it."""
        self.recognise(session, source)
        self._sockets.fix(session, now_ns)

    def recognise(self, session: Session, source: bytes) -> None:
        """Where a session's client sees the server that was found, answer from there, and know it by that too."""
        face = session.face(source)
        if face != session.destination:
            seen = host(face)
            session.reply_control = self._from(session, seen)
            self._engine.trails.alias(session, self._transport.flow_key(session.client, seen))

    def _control(self, session: Session, source: bytes) -> bytes:
        """Return what an answer leaves with: in a broadcast session each has its own server's address (K-44)."""
        if session.terms.behaviour.fixes or session.face(source) == session.destination:
            return session.reply_control
        return self._from(session, host(source))

    def _from(self, session: Session, packed: bytes) -> bytes:
        return ancillary.from_address(packed, 0) + self._treatment.mark(session)
