"""What leaves for servers, on sessions' own sockets: the quick way, and one by one what that has left."""

from __future__ import annotations

from workers import refusals
from workers.answers import cut
from workers.journal import Journal
from workers.net.transport import Part, Transport
from workers.session.engine import Engine
from workers.session.session import Session
from workers.sockets import SessionSockets


class Departures:
    """One worker's."""

    def __init__(self, engine: Engine, transport: Transport, sockets: SessionSockets, journal: Journal) -> None:
        self._engine = engine
        self._transport = transport
        self._sockets = sockets
        self._journal = journal

    def send_each(self, sessions: list[Session], sizes: list[int], slot: int) -> None:
        """Send slots from one on, each to its own session's server."""
        socks = [session.sock for session in sessions]
        for failed, code in self._transport.send_each(socks, sizes, slot):
            session = sessions[failed - slot]
            if code in refusals.REFUSED:
                refusals.note_error(self._journal, session, code)
            self.send_parts(session, [Part(failed, 0, sizes[failed])])

    def send_run(self, session: Session, first: int, sizes: list[int], *, one_slot: bool) -> None:
        """Send a whole run the quick way, and what that leaves one by one."""
        transport, count = self._transport, len(sizes)
        if count == 1 and session.connected:
            if not transport.send_one(session.sock, first, sizes[0]):
                self._send_rest(session, [Part(first, 0, sizes[0])])
            return
        target = self._sockets.target_at(session)
        if not one_slot:
            sent = transport.send(session.sock.fileno(), first, sizes, target, trains=session.trains)
        elif session.trains:
            transport.queue(first, 1, sizes[0], target, b"")
            sent = count * transport.flush(session.sock.fileno(), 0)
            transport.forget()
        else:
            self.send_parts(session, cut(first, sizes, one_slot=True))
            return
        if sent < count:
            self._send_rest(session, cut(first, sizes, one_slot=one_slot)[sent:])

    def _send_rest(self, session: Session, parts: list[Part]) -> None:
        """Send one by one what the quick way has just left, after a look at why."""
        code = self._transport.error
        if code in refusals.REFUSED:
            refusals.note_error(self._journal, session, code)
        elif len(parts) > 1 and code in refusals.NO_TRAINS:
            session.trains = False
        self.send_parts(session, parts)

    def send_parts(self, session: Session, parts: list[Part]) -> None:
        """Send datagrams to the server one by one; tell the engine what does not leave."""
        transport, target = self._transport, self._sockets.target_at(session)
        for part in parts:
            if transport.send_part(session.sock.fileno(), part, target, b""):
                continue
            if self._is_worth_another(session) and transport.send_part(session.sock.fileno(), part, target, b""):
                continue
            reason = refusals.note_unsent(self._journal, session, session.target, transport.error)
            self._engine.unsent_out(session, [part.size], reason)

    def _is_worth_another(self, session: Session) -> bool:
        """Tell whether what could not be sent may leave at the second attempt."""
        code = self._transport.error
        if code in refusals.REFUSED:
            refusals.note_error(self._journal, session, code)
            return True
        return code in refusals.NO_WAY and self._sockets.move(session)
