"""From the servers to the clients: reads sessions' sockets, lets the engine decide, answers through the listeners.

A batch goes through it in slots: take a datagram from one socket after the other, decide on all of them, send them all
in one system call. Sockets in which many wait are read one by one, each with one system call; runs leave as trains.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from workers import refusals
from workers.answers import DUMP_BYTES, Answers, cut
from workers.contract.tapping import Way
from workers.hearing import Hearing
from workers.journal import DUMP_LEVEL, Journal
from workers.listener import Listener
from workers.net import ancillary, segments
from workers.net.ancillary import Control
from workers.net.arena import SLOTS
from workers.net.transport import Part, Transport
from workers.session.engine import Engine
from workers.session.session import Session
from workers.sockets import LASTING_READS, SessionSockets
from workers.treatment import Treatment
from workers.wire.sockaddr import V4_BYTES

LONG_RUN, SHORT_RUN = 16, 4
"""A session with this many datagrams waiting at once is read by itself from then on; with fewer than these it was in
vain: read with the others, single datagrams cost half as much."""
DEEP_READS = 8
"""So many reads in vain are granted to begin with, and one more for every long run, up to LASTING_READS."""
PROBED_BATCH = 8
"""Of batches this large every one is probed for depth, of smaller ones one in sixteen: a probe is a system call."""
DEEP_BYTES = 4 << 20
"""The receive buffer such a socket asks for; net.core.rmem_max may give it less."""
RUNS_DEPTH = 2.0
"""With more datagrams than this waiting in a socket on the average, all are taken at once, and leave as trains.

Otherwise one is taken a turn: recv_into costs 0.6 us where recvmmsg for one datagram costs 1.5 us."""


class Inbound:
    """One worker's answers. listeners: all of the worker's, in the order of the settings.

    hearing: what decides on datagrams that may be anybody's.
    """

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        sockets: SessionSockets,
        journal: Journal,
        listeners: list[Listener],
        treatment: Treatment,
        dump_bytes: int = DUMP_BYTES,
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._sockets = sockets
        self._journal = journal
        self._answers = Answers(engine, transport, sockets, journal, listeners, dump_bytes)
        self.hearing = Hearing(engine, transport, sockets, journal, self._answers, treatment)
        self._taps = self.hearing.taps
        self._alike = len(listeners) == 1 and not listeners[0].wildcard and not treatment.marks
        self._treatment = treatment
        self._depth = 1.0

    def handle(self, ready: list[Session], now_ns: int) -> None:
        """Read the sockets of sessions that have something waiting, and answer."""
        shallow = [session for session in ready if session.simple and not session.deep]
        if len(shallow) < len(ready):
            for session in ready:
                if not session.connected:
                    self.hearing.hear(session, now_ns)
                elif session.deep or not session.simple:
                    self._answer_deep(session, now_ns)
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
        if self._journal.level >= DUMP_LEVEL:
            self._answers.dump(sessions, sizes)
        aside = engine.pass_singles_in(sessions, sizes, now_ns)
        line = sessions[0].listener if sessions else 0
        if not aside and self._uniform(sessions, line):
            self._reply(line, sessions, sizes)
        else:
            for slot, (session, size) in enumerate(zip(sessions, sizes, strict=True)):
                if slot not in aside:
                    self._answers.line_up(session, slot, [size])
            self._answers.flush()
        self._answers.conclude(sessions, now_ns)

    def _uniform(self, sessions: list[Session], line: int) -> bool:
        """Tell whether all answers leave through one listener from its own address."""
        if self._alike:
            return True
        return all(session.listener == line and not session.reply_control for session in sessions)

    def _reply(self, line: int, sessions: list[Session], sizes: list[int]) -> None:
        """Send every slot to its session's client."""
        clients = [session.client_at for session in sessions]
        fd, sent, total = self._answers.fds[line], 0, len(clients)
        while True:
            sent += self._transport.reply(fd, sent, clients[sent:] if sent else clients)
            if sent >= total:
                return
            session = sessions[sent]
            self._answers.send_parts(session, [Part(sent, 0, sizes[sent])], session.reply_control)
            sent += 1

    def _note_errors(self, sessions: list[Session]) -> list[Session]:
        """Log what sockets reported instead of datagrams; return the sessions that had one."""
        errors = self._transport.errors
        for index, code in errors.items():
            if code:
                refusals.note_error(self._journal, sessions[index], code)
        return [session for index, session in enumerate(sessions) if index not in errors]

    # --- a few datagrams a session -----------------------------------------------------------------------------------

    def _answer_runs(self, sessions: list[Session], now_ns: int) -> int:
        """Answer with all that waits in sessions' sockets, as far as slots go; return of how many sessions."""
        transport = self._transport
        counts = transport.receive_each([session.sock.fileno() for session in sessions])
        heard, first = len(counts), 0
        sizes = transport.sizes(0, sum(counts))
        self._note_depth(len(sizes) / heard)
        for index, (session, count) in enumerate(zip(sessions, counts, strict=False)):
            if count:
                self._answer_run(session, first, sizes[first : first + count], now_ns)
                first += count
            elif transport.errors.get(index):
                refusals.note_error(self._journal, session, transport.errors[index])
        self._answers.flush()
        self._answers.conclude(sessions[:heard], now_ns)
        return heard

    def _answer_run(self, session: Session, first: int, sizes: list[int], now_ns: int) -> None:
        if self._journal.level >= DUMP_LEVEL:
            self._answers.dump([session] * len(sizes), sizes, first)
        if session.simple:
            self._pass(session, first, sizes, now_ns)
        else:
            self._pass_pieces(session, first, sizes, now_ns)
        if len(sizes) >= LONG_RUN:
            self._deepen(session)

    def _pass(self, session: Session, first: int, sizes: list[int], now_ns: int) -> int:
        """Line up what of a run passes; return how many that are."""
        passed = self._engine.pass_in(session, sizes, now_ns)
        if passed:
            self._answers.line_up(session, first, sizes if passed == len(sizes) else sizes[:passed])
        return passed

    def _pass_pieces(self, session: Session, first: int, sizes: list[int], now_ns: int) -> None:
        """Line up what of a run the session's queue lets through, which may have gaps."""
        done = 0
        while done < len(sizes):
            allowed = self._admissible(session, first + done, sizes[done:], now_ns)
            if not allowed:
                done += 1
                continue
            passed = self._pass(session, first + done, allowed, now_ns)
            done += len(allowed)
            if passed < len(allowed) or session.closing is not None:
                self._engine.refuse_in(session, sizes[done:])
                return

    def _admissible(
        self, session: Session, first: int, sizes: list[int], now_ns: int, *, one_slot: bool = False
    ) -> list[int]:
        """Return how much of a run may go on, and show that to whoever watches the session. first, one_slot: as cut.

        Where that is nothing, the first is dropped, or the whole train.
        """
        if session.terms.shaped:
            sizes = self._shape(session, sizes, now_ns, one_slot=one_slot)
        if session in self._taps.sessions:
            parts = cut(first, sizes, one_slot=one_slot)
            self._taps.copy(session, Way.IN, map(self._transport.payload, parts), now_ns)
        return sizes

    def _shape(self, session: Session, sizes: list[int], now_ns: int, *, one_slot: bool) -> list[int]:
        """Return as many leading datagrams as the session's queue lets through; drop those behind, if it is a train.

        Its datagrams are equally long but for the last. Of others, one is dropped where none may pass.
        """
        allowed = self._treatment.allow_in(session, sizes, now_ns)
        if one_slot or not allowed:
            self._engine.shed_in(session, sizes[allowed:] if one_slot else sizes[:1])
        return sizes[:allowed]

    def _probe(self, session: Session, now_ns: int) -> None:
        """Look how much more waits in a socket of which one datagram was taken."""
        if session.sock is not None:
            self._note_depth(1 + self._answer_deep(session, now_ns))

    def _note_depth(self, depth: float) -> None:
        self._depth += (depth - self._depth) / 16

    # --- many datagrams of one session -------------------------------------------------------------------------------

    def _deepen(self, session: Session) -> None:
        """Read a session's socket by itself from now on, as long as it is worth it."""
        if session.deep or session.sock is None:
            return
        session.deep = DEEP_READS
        if not session.stretched:
            session.stretched = True
            with suppress(OSError):  # as for listeners
                session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DEEP_BYTES)

    def _weigh(self, session: Session, count: int) -> None:
        """Note how many datagrams were found in a socket that is read by itself, or where it is to be so."""
        if session.deep >= LASTING_READS or session.sock is None:
            return
        if count < SHORT_RUN:
            session.deep -= 1
        elif count >= LONG_RUN:
            session.deep += 1
            if session.deep == LASTING_READS:
                with suppress(OSError):  # kernels before 5.0
                    session.sock.setsockopt(socket.IPPROTO_UDP, ancillary.UDP_GRO, 1)

    def _answer_deep(self, session: Session, now_ns: int) -> int:
        """Answer with all that waits in one session's socket, trains and single datagrams alike; return how many."""
        transport = self._transport
        count = transport.receive(session.sock.fileno(), 4 if len(session.target) == V4_BYTES else 6)
        if not count:
            if transport.error:
                refusals.note_error(self._journal, session, transport.error)
            return 0
        sizes, extras = transport.sizes(0, count), transport.extras(0, count, 0)
        if extras:
            self._answer_trains(session, sizes, extras, now_ns)
        else:
            self._answer_run(session, 0, sizes, now_ns)
        self._answers.flush()
        self._answers.conclude([session], now_ns)
        if session.deep:
            self._weigh(session, count)
        return count

    def _answer_trains(self, session: Session, sizes: list[int], extras: dict[int, Control], now_ns: int) -> None:
        if self._journal.level >= DUMP_LEVEL:
            self._answers.dump([session] * len(sizes), sizes)
        for slot, size in enumerate(sizes):
            datagrams = segments.split(size, extras[slot].train_bytes if slot in extras else 0)
            if session.closing is not None:
                self._engine.refuse_in(session, datagrams)
            else:
                if not session.simple:
                    allowed = self._admissible(session, slot, datagrams, now_ns, one_slot=True)
                else:
                    allowed = datagrams
                passed = self._engine.pass_in(session, allowed, now_ns) if allowed else 0
                self._answers.line_up_train(session, slot, datagrams, passed)
