"""From the servers to the clients: reads sessions' sockets, lets the engine decide, answers through the listeners.

A batch goes through it in slots: take a datagram from one socket after the other, decide on all of them, send them all
in one system call. Sockets in which many wait are read one by one, each with one system call; runs leave as trains.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import NamedTuple

from workers import refusals
from workers.journal import Journal
from workers.listener import Listener
from workers.net import ancillary, segments
from workers.net.ancillary import Control
from workers.net.arena import SLOTS
from workers.net.transport import Part, Transport
from workers.session.engine import Engine
from workers.session.session import Session
from workers.sockets import SessionSockets
from workers.wire.sockaddr import V4_BYTES

LONG_RUN = 16
"""A session with this many datagrams waiting at once is read by itself from then on, trains included."""
PROBED_BATCH = 8
"""Of batches this large every one is probed for depth, of smaller ones one in sixteen: a probe is a system call."""
DEEP_BYTES = 4 << 20
"""The receive buffer such a socket asks for; net.core.rmem_max may give it less."""
RUNS_DEPTH = 2.0
"""With more datagrams than this waiting in a socket on the average, all are taken at once, and leave as trains.

Otherwise one is taken a turn: recv_into costs 0.8 us where recvmmsg for one datagram costs 1.5 us."""
DUMP_BYTES = 16_384
"""Of one datagram's payload at level 9, at most, and without data-limit: a message to the parent has its bounds."""


class Message(NamedTuple):
    """A message lined up: datagrams of sizes, in slots from first on, or all of them in that one as a train."""

    session: Session
    first: int
    sizes: list[int]
    one_slot: bool

    def parts(self) -> list[Part]:
        """Return its datagrams one by one."""
        return cut(self.first, self.sizes, one_slot=self.one_slot)


def cut(first: int, sizes: list[int], *, one_slot: bool) -> list[Part]:
    """Return the datagrams of slots from first on; one_slot: all are in that one, equally long but for the last."""
    if one_slot:
        return [Part(first, index * sizes[0], size) for index, size in enumerate(sizes)]
    return [Part(slot, 0, size) for slot, size in enumerate(sizes, first)]


class Inbound:
    """One worker's answers. listeners: all of the worker's, in the order of the settings."""

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        sockets: SessionSockets,
        journal: Journal,
        listeners: list[Listener],
        dump_bytes: int = DUMP_BYTES,
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._sockets = sockets
        self._journal = journal
        self._fds = [listener.fd for listener in listeners]
        self._wildcard = any(listener.wildcard for listener in listeners)
        self._dump_bytes = dump_bytes
        self._line = 0
        self._depth = 1.0
        self._pending: list[Message] = []

    def handle(self, ready: list[Session], now_ns: int) -> None:
        """Read the sockets of sessions that have something waiting, and answer."""
        shallow = [session for session in ready if session.connected and not session.deep]
        if len(shallow) < len(ready):
            for session in ready:
                if session.deep:
                    self._answer_deep(session, now_ns)
                elif not session.connected:
                    self._hear(session, now_ns)
        if self._depth > RUNS_DEPTH:
            while shallow:
                shallow = shallow[self._answer_runs(shallow, now_ns) :]
            return
        for first in range(0, len(shallow), SLOTS):
            batch = shallow[first : first + SLOTS] if len(shallow) > SLOTS else shallow
            self._answer_singles(batch, now_ns)
            if len(batch) >= PROBED_BATCH or not now_ns & 15:
                self._probe(batch[now_ns % len(batch)], now_ns)

    # --- one datagram a session --------------------------------------------------------------------------------------

    def _answer_singles(self, sessions: list[Session], now_ns: int) -> None:
        """Take one datagram from each of up to SLOTS sessions, the usual case, and answer all at once."""
        transport, engine = self._transport, self._engine
        sizes = transport.receive_singles([session.sock for session in sessions])
        if transport.errors:
            sessions = self._note_errors(sessions)
        if self._journal.level >= 9:
            self._dump(sessions, sizes)
        aside = engine.pass_singles_in(sessions, sizes, now_ns)
        line = sessions[0].listener if sessions else 0
        if not aside and self._uniform(sessions, line):
            self._reply(line, sessions, sizes)
        else:
            for slot, (session, size) in enumerate(zip(sessions, sizes, strict=True)):
                if slot not in aside:
                    self._line_up(session, slot, [size])
            self._flush()
        self._conclude(sessions, now_ns)

    def _uniform(self, sessions: list[Session], line: int) -> bool:
        """Tell whether all answers leave through one listener from its own address."""
        if len(self._fds) == 1 and not self._wildcard:
            return True
        return all(session.listener == line and not session.reply_control for session in sessions)

    def _reply(self, line: int, sessions: list[Session], sizes: list[int]) -> None:
        """Send every slot to its session's client."""
        clients = [session.client_at for session in sessions]
        fd, sent, total = self._fds[line], 0, len(clients)
        while True:
            sent += self._transport.reply(fd, sent, clients[sent:] if sent else clients)
            if sent >= total:
                return
            self._send_parts(sessions[sent], [Part(sent, 0, sizes[sent])])
            sent += 1

    def _note_errors(self, sessions: list[Session]) -> list[Session]:
        """Log what sockets reported instead of datagrams; return the sessions that had one."""
        errors = self._transport.errors
        for index, code in errors.items():
            if code:
                refusals.note_error(self._journal, sessions[index], code)
        return [session for index, session in enumerate(sessions) if index not in errors]

    # --- messages lined up -------------------------------------------------------------------------------------------

    def _take_line(self, listener: int) -> None:
        """See that what is lined up next leaves through a listener: what waits for another one leaves first."""
        if listener != self._line:
            self._flush()
            self._line = listener

    def _line_up(self, session: Session, first: int, sizes: list[int]) -> None:
        self._take_line(session.listener)
        pieces = segments.runs(sizes) if session.trains else [(index, 1) for index in range(len(sizes))]
        queue, client, control = self._transport.queue, session.client_at, session.reply_control
        for index, count in pieces:
            queue(first + index, count, sizes[index] if count > 1 else 0, client, control)
            run = sizes if len(pieces) == 1 else sizes[index : index + count]
            self._pending.append(Message(session, first + index, run, one_slot=False))

    def _flush(self) -> None:
        """Send the messages lined up."""
        pending, transport = self._pending, self._transport
        if not pending:
            return
        fd, sent, total = self._fds[self._line], 0, len(pending)
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
            self._send_parts(message.session, message.parts())
            sent += 1
        transport.forget()
        pending.clear()

    def _send_parts(self, session: Session, parts: list[Part]) -> None:
        """Send answers one by one where the quick way failed; tell the engine what does not leave."""
        fd, transport = self._fds[session.listener], self._transport
        for part in parts:
            if not transport.send_part(fd, part, session.client_at, session.reply_control):
                reason = refusals.note_unsent(self._journal, session, session.client, transport.error)
                self._engine.unsent_in(session, [part.size], reason)

    def _conclude(self, sessions: list[Session], now_ns: int) -> None:
        """End the sessions that were only waiting for their answers to leave."""
        if self._engine.ended:
            # Those whose time was up have ended already: without a socket they are told from those that are to end.
            self._sockets.close_ended(now_ns)
        closing = [session for session in sessions if session.closing is not None and session.sock is not None]
        if closing:
            self._engine.conclude_each(closing, now_ns)
            self._sockets.close_ended(now_ns)

    # --- a few datagrams a session -----------------------------------------------------------------------------------

    def _answer_runs(self, sessions: list[Session], now_ns: int) -> int:
        """Answer with all that waits in sessions' sockets, as far as slots go; return of how many sessions."""
        transport = self._transport
        counts = transport.receive_each([session.fd for session in sessions])
        heard, first = len(counts), 0
        sizes = transport.sizes(0, sum(counts))
        self._note_depth(len(sizes) / heard)
        for index, (session, count) in enumerate(zip(sessions, counts, strict=False)):
            if count:
                self._answer_run(session, first, sizes[first : first + count], now_ns)
                first += count
            elif transport.errors.get(index):
                refusals.note_error(self._journal, session, transport.errors[index])
        self._flush()
        self._conclude(sessions[:heard], now_ns)
        return heard

    def _answer_run(self, session: Session, first: int, sizes: list[int], now_ns: int) -> None:
        if self._journal.level >= 9:
            self._dump([session] * len(sizes), sizes, first)
        passed = self._engine.pass_in(session, sizes, now_ns)
        if passed:
            self._line_up(session, first, sizes if passed == len(sizes) else sizes[:passed])
        if len(sizes) >= LONG_RUN:
            self._deepen(session)

    def _probe(self, session: Session, now_ns: int) -> None:
        """Look how much more waits in a socket of which one datagram was taken."""
        if session.sock is not None:
            self._note_depth(1 + self._answer_deep(session, now_ns))

    def _note_depth(self, depth: float) -> None:
        self._depth += (depth - self._depth) / 16

    # --- many datagrams of one session -------------------------------------------------------------------------------

    def _deepen(self, session: Session) -> None:
        """Read a session's socket by itself from now on, and let it deliver trains."""
        if not session.deep and session.sock is not None:
            session.deep = True
            with suppress(OSError):  # as for listeners
                session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DEEP_BYTES)
                session.sock.setsockopt(socket.IPPROTO_UDP, ancillary.UDP_GRO, 1)

    def _answer_deep(self, session: Session, now_ns: int) -> int:
        """Answer with all that waits in one session's socket, trains and single datagrams alike; return how many."""
        transport = self._transport
        count = transport.receive(session.fd, 4 if len(session.target) == V4_BYTES else 6)
        if not count:
            if transport.error:
                refusals.note_error(self._journal, session, transport.error)
            return 0
        sizes, extras = transport.sizes(0, count), transport.extras(0, count)
        if extras:
            self._answer_trains(session, sizes, extras, now_ns)
        else:
            self._answer_run(session, 0, sizes, now_ns)
        self._flush()
        self._conclude([session], now_ns)
        return count

    def _answer_trains(self, session: Session, sizes: list[int], extras: dict[int, Control], now_ns: int) -> None:
        if self._journal.level >= 9:
            self._dump([session] * len(sizes), sizes)
        for slot, size in enumerate(sizes):
            datagrams = segments.split(size, extras[slot].train_bytes if slot in extras else 0)
            if session.closing is not None:
                self._engine.refuse_in(session, datagrams)
            else:
                self._line_up_train(session, slot, datagrams, self._engine.pass_in(session, datagrams, now_ns))

    def _line_up_train(self, session: Session, slot: int, datagrams: list[int], passed: int) -> None:
        self._take_line(session.listener)
        message = Message(session, slot, datagrams[:passed], one_slot=True)
        if passed == len(datagrams) and (passed == 1 or session.trains):
            train = datagrams[0] if passed > 1 else 0
            self._transport.queue(slot, 1, train, session.client_at, session.reply_control)
            self._pending.append(message)
        elif passed:
            self._flush()
            self._send_parts(session, message.parts())

    # --- other kinds, other levels -----------------------------------------------------------------------------------

    def _hear(self, session: Session, now_ns: int) -> None:
        """Read an unconnected socket: every datagram's sender is judged."""
        transport, version = self._transport, 4 if len(session.target) == V4_BYTES else 6
        count = transport.receive(session.fd, version)
        sizes = transport.sizes(0, count)
        for slot, size in enumerate(sizes):
            if session.closing is not None:
                self._engine.refuse_in(session, sizes[slot:])
                break
            self._engine.judge(session, transport.source(slot, version), size, now_ns)
        self._conclude([session], now_ns)

    def _dump(self, sessions: list[Session], sizes: list[int], first: int = 0) -> None:
        for slot, (session, size) in enumerate(zip(sessions, sizes, strict=True), first):
            payload = bytes(self._transport.arena.payload(slot, min(size, self._dump_bytes)))
            self._journal.note_large("payload", session.track, "in", session.target, size, payload)
