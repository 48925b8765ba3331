"""What leaves for clients: messages lined up until one system call sends them all, and the slow way for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from workers import refusals
from workers.journal import Journal
from workers.listener import Listener
from workers.net import segments
from workers.net.transport import Part, Transport
from workers.net.upstream import FEW_SESSIONS
from workers.session.engine import Engine
from workers.session.session import Session
from workers.sockets import SessionSockets

DUMP_BYTES = 16_384
"""Of one datagram's payload at level 9, at most, and without data-limit: a message to the parent has its bounds."""


class Message(NamedTuple):
    """A message lined up: datagrams of sizes, in slots from first on, or all of them in that one as a train.

    control: what it leaves with: where it seems to come from, and the like.
    """

    session: Session
    first: int
    sizes: list[int]
    one_slot: bool
    control: bytes

    def parts(self) -> list[Part]:
        """Return its datagrams one by one."""
        return cut(self.first, self.sizes, one_slot=self.one_slot)


def cut(first: int, sizes: list[int], *, one_slot: bool) -> list[Part]:
    """Return the datagrams of slots from first on; one_slot: all are in that one, equally long but for the last."""
    if one_slot:
        return [Part(first, index * sizes[0], size) for index, size in enumerate(sizes)]
    return [Part(slot, 0, size) for slot, size in enumerate(sizes, first)]


class Answers:
    """One worker's. listeners: all of the worker's, in the order of the settings; answers leave through them."""

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        sockets: SessionSockets,
        journal: Journal,
        listeners: list[Listener],
        dump_bytes: int = DUMP_BYTES,
    ) -> None:
        self.fds = [listener.fd for listener in listeners]
        self._engine = engine
        self._transport = transport
        self._sockets = sockets
        self._journal = journal
        self._dump_bytes = dump_bytes
        self._line = 0
        self._pending: list[Message] = []

    def _take_line(self, listener: int) -> None:
        """See that what is lined up next leaves through a listener: what waits for another one leaves first."""
        if listener != self._line:
            self.flush()
            self._line = listener

    def line_up(self, session: Session, first: int, sizes: list[int]) -> None:
        """Line up a session's datagrams, in slots from first on: as trains where they can be."""
        self._take_line(session.listener)
        pieces = segments.runs(sizes) if session.trains else [(index, 1) for index in range(len(sizes))]
        queue, client, control = self._transport.queue, session.client_at, session.reply_control
        for index, count in pieces:
            queue(first + index, count, sizes[index] if count > 1 else 0, client, control)
            run = sizes if len(pieces) == 1 else sizes[index : index + count]
            self._pending.append(Message(session, first + index, run, one_slot=False, control=control))

    def flush(self) -> None:
        """Send the messages lined up."""
        pending, transport = self._pending, self._transport
        if not pending:
            return
        fd, sent, total = self.fds[self._line], 0, len(pending)
        while True:
            left = transport.flush(fd, sent)
            sent += left
            if sent >= total:
                break
            if left:
                continue  # Only a call that sent nothing says why.
            message = pending[sent]
            if len(message.sizes) > 1 and transport.error in refusals.NO_TRAINS:
                message.session.trains = False
            self.send_parts(message.session, message.parts(), message.control)
            sent += 1
        transport.forget()
        pending.clear()

    def send_parts(self, session: Session, parts: list[Part], control: bytes) -> None:
        """Send answers one by one where the quick way failed; tell the engine what does not leave."""
        fd, transport = self.fds[session.listener], self._transport
        for part in parts:
            if not transport.send_part(fd, part, session.client_at, control):
                reason = refusals.note_unsent(self._journal, session, session.client, transport.error)
                self._engine.unsent_in(session, [part.size], reason)

    def conclude(self, sessions: list[Session], now_ns: int) -> None:
        """End the sessions that were only waiting for their answers to leave."""
        if self._engine.ended:
            # Those whose time was up have ended already: without a socket they are told from those that are to end.
            self._sockets.close_ended(now_ns)
        closing = [session for session in sessions if session.closing is not None and session.sock is not None]
        if len(closing) > FEW_SESSIONS:
            self._engine.conclude_each(closing, now_ns)
        else:
            for session in closing:
                self._engine.conclude(session, now_ns)
        if closing:
            self._sockets.close_ended(now_ns)

    def line_up_one(self, session: Session, slot: int, size: int, control: bytes) -> None:
        """Line up one datagram that leaves with control data of its own."""
        self._take_line(session.listener)
        self._transport.queue(slot, 1, 0, session.client_at, control)
        self._pending.append(Message(session, slot, [size], one_slot=False, control=control))

    def line_up_train(self, session: Session, slot: int, datagrams: list[int], passed: int) -> None:
        """Line up the first datagrams of a train in one slot: as one, if all of them pass."""
        self._take_line(session.listener)
        message = Message(session, slot, datagrams[:passed], one_slot=True, control=session.reply_control)
        if passed == len(datagrams) and (passed == 1 or session.trains):
            train = datagrams[0] if passed > 1 else 0
            self._transport.queue(slot, 1, train, session.client_at, session.reply_control)
            self._pending.append(message)
        elif passed:
            self.flush()
            self.send_parts(session, message.parts(), message.control)

    def dump(self, sessions: Sequence[Session], sizes: list[int], first: int = 0) -> None:
        """Write payloads to the log, of slots from first on, one a session."""
        for slot, (session, size) in enumerate(zip(sessions, sizes, strict=True), first):
            payload = bytes(self._transport.arena.payload(slot, min(size, self._dump_bytes)))
            self._journal.note_large("payload", session.track, "in", session.target, size, payload)
