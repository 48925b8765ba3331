"""The generic session proxy: sessions, budgets and deadlines. Sans-I/O: clock, permits and log come in as arguments.

The caller moves the datagrams. It looks up sessions in `tables`, and tells the engine of runs of datagrams; the engine
answers how many of a run's leading datagrams may pass; `pass_known_out` and `pass_singles_in` do that for a whole batch
of flows in one loop. A session that is to end has `closing` set: the caller sends what passed, then calls `conclude`.
Every datagram the caller names is counted here, forwarded or dropped by reason.

A run is given as the payload sizes of its datagrams, in bytes, in the order of arrival; out is client to server.
Source: udp-proxy(8); K-17 to K-34, K-48, K-63 to K-87 of its requirements.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from workers.contract.slots import CLOSE_WORDS, CloseReason, DropReason
from workers.deadlines import NEVER, Deadlines
from workers.errors import EngineMisuse
from workers.session.admission import Admission, Grant
from workers.session.session import Flow, FlowKey, Session
from workers.stats import Stats

SECOND_NS = 1_000_000_000
REJECTIONS_A_SECOND = 1024
"""Rejected clients that get a record in the stats log, at most; the ACL record of each stays."""
LAST_TRACK = 99_999
"""Sessions are numbered in the log from 1 to this, and again from 1."""

_ABORTED = {
    CloseReason.DGRAMS_OUT,
    CloseReason.DGRAMS_IN,
    CloseReason.BYTES_OUT,
    CloseReason.BYTES_IN,
    CloseReason.ONE_WAY_REPLY,
}


class Journal(Protocol):
    """Where events go (workers.journal)."""

    def takes(self, event: str) -> bool:
        """Tell whether an event is written now: put must follow; otherwise it is not wanted, or shed and counted."""
        ...

    def put(self, event: str, track: int, *fields: str | int | bytes | None) -> None:
        """Log an event that takes has allowed."""
        ...

    def note(self, event: str, track: int, *fields: str | int | bytes | None) -> None:
        """Log one event of the catalogue, if it is taken."""
        ...


class Permits(Protocol):
    """The proxy's free sessions, shared by all workers."""

    def take(self) -> bool:
        """Take one; False if none is left."""
        ...

    def give(self) -> None:
        """Give one back."""
        ...


class Engine:
    """All sessions of one worker.

    tables: for each listener, its sessions by flow key. ended: sessions that are over, whose sockets the caller closes.
    """

    def __init__(self, admission: Admission, listeners: int, permits: Permits, journal: Journal, stats: Stats) -> None:
        self.tables: tuple[dict[FlowKey, Session], ...] = tuple({} for _ in range(listeners))
        self.ended: list[Session] = []
        self.stats = stats
        self.admission = admission
        self._permits = permits
        self._journal = journal
        self._deadlines: Deadlines[Session] = Deadlines()
        self._free_slots: list[int] = []
        self.top_slot = 0
        self._track = 0
        self._table_full_ns = -SECOND_NS
        self._rejections: set[bytes] = set()
        self._rejections_ns = 0

    @property
    def sessions(self) -> int:
        """Return how many sessions are open."""
        return sum(map(len, self.tables))

    # --- beginning ---------------------------------------------------------------------------------------------------

    def admit(
        self, listener: int, key: FlowKey, source: bytes, destination: bytes, sizes: list[int], now_ns: int
    ) -> Session | None:
        """Open a session for a run of datagrams of an unknown client, or drop and count the run.

        source, destination: raw socket addresses. The session still needs a socket: the caller makes one, and then
        calls `begin`, or `fail`.
        """
        grant = self.admission.decide(listener, source, destination)
        rule, terms = grant.rule, grant.terms
        if self._journal.takes("acl"):
            verdict = "REJECTED" if rule is None or not rule.accept else "ACCEPTED"
            self._journal.put("acl", 0, source, destination, 0, None, None if rule is None else rule.name, verdict)
        if terms is None or grant.refusal is not None:
            self._refuse(source, destination, grant, sizes, now_ns)
            return None
        if not self._permits.take():
            self._table_full(source, sizes, now_ns)
            return None
        self._track = self._track % LAST_TRACK + 1
        slot = self._free_slots.pop() if self._free_slots else self._new_slot()
        flow = Flow(listener, key, source, destination, grant.target)
        return Session(flow, terms, now_ns, slot, self._track)

    def begin(self, session: Session) -> None:
        """Put a session with its socket in the table; from now on it has deadlines."""
        self.tables[session.listener][session.key] = session
        if session.check_ns < NEVER:
            session.tick = self._deadlines.set(session, session.check_ns)
        self.stats.sessions_opened += 1
        if self._journal.takes("session-start"):
            kind = session.terms.rule.kind.value
            self._journal.put("session-start", session.track, session.client, session.target, 0, None, kind)

    def fail(self, session: Session, step: str, reason: str, sizes: list[int]) -> None:
        """Give up a session whose socket could not be made, and drop the run that wanted it."""
        self.stats.received_out += len(sizes)
        self.stats.drops_out[DropReason.SETUP] += len(sizes)
        session.wasted_out += sum(sizes)
        self._journal.note("session-failed", session.track, session.client, session.target, step, reason)
        self._note_end(session, CloseReason.FAILURE, session.opened_ns)
        self._release(session)

    # --- traffic -----------------------------------------------------------------------------------------------------

    def pass_known_out(
        self, listener: int, arrivals: Iterator[tuple[FlowKey, int]], now_ns: int
    ) -> tuple[list[Session], FlowKey | None]:
        """Pass single datagrams as long as nothing but counting is needed.

        arrivals: key and size of each datagram; read as far as the answer goes. Returns the sessions of those that
        pass, all connected and none closing, and the key of the one behind them that needs more (`admit`, `lapse` or
        `pass_out`), None if there is none.
        """
        get, stats = self.tables[listener].get, self.stats
        sessions: list[Session] = []
        total, stopped = 0, None
        for key, size in arrivals:
            session = get(key)
            if session is None or now_ns >= session.check_ns or not session.connected:
                stopped = key
                break
            left = session.dgrams_out_left - 1
            bytes_left = session.bytes_out_left - size
            if left <= 0 or bytes_left < 0:
                stopped = key
                break
            session.dgrams_out_left = left
            session.bytes_out_left = bytes_left
            session.last_out_ns = now_ns
            sessions.append(session)
            total += size
        if sessions:
            count = len(sessions)
            stats.received_out += count
            stats.forwarded_out += count
            stats.bytes_out += total
        return sessions, stopped

    def pass_out(self, session: Session, sizes: list[int], now_ns: int) -> int:
        """Return how many leading datagrams of a client's run pass.

        The caller has made sure with `lapse` that the session's time is not up. If fewer pass than there are,
        the session is closing: the next datagram of the run is the one that exceeded a limit, dropped and counted,
        unless the session closed by reaching both limits; what comes after belongs to a new session.
        """
        count, total = len(sizes), sum(sizes)
        left = session.dgrams_out_left - count
        bytes_left = session.bytes_out_left - total
        session.last_out_ns = now_ns
        if left < 0 or bytes_left < 0:
            return self._ration_out(session, sizes)
        session.dgrams_out_left = left
        session.bytes_out_left = bytes_left
        stats = self.stats
        stats.received_out += count
        stats.forwarded_out += count
        stats.bytes_out += total
        if left == 0 and session.dgrams_in_left == 0:
            session.closing = CloseReason.DGRAMS_REACHED
        return count

    def pass_singles_in(self, sessions: list[Session], sizes: list[int], now_ns: int) -> set[int]:
        """Pass one datagram from each session's server; return which of them (by number) were dropped and counted."""
        aside: set[int] = set()
        count = total = 0
        for index, session in enumerate(sessions):
            size = sizes[index]
            left = session.dgrams_in_left - 1
            bytes_left = session.bytes_in_left - size
            if left < 0 or bytes_left < 0 or now_ns >= session.check_ns:
                if not self.pass_in(session, [size], now_ns):
                    aside.add(index)
                continue
            session.dgrams_in_left = left
            session.bytes_in_left = bytes_left
            session.last_in_ns = now_ns
            if not left and not session.dgrams_out_left:
                session.closing = CloseReason.DGRAMS_REACHED
            count += 1
            total += size
        stats = self.stats
        stats.received_in += count
        stats.forwarded_in += count
        stats.bytes_in += total
        return aside

    def pass_in(self, session: Session, sizes: list[int], now_ns: int) -> int:
        """Return how many leading datagrams of one server's run pass; the others are dropped and counted.

        If fewer pass than there are, the session is closing, or has just ended.
        """
        if now_ns >= session.check_ns and self.lapse(session, now_ns):
            self._drop_in(session, DropReason.EXPIRED, sizes)
            return 0
        count, total = len(sizes), sum(sizes)
        left = session.dgrams_in_left - count
        bytes_left = session.bytes_in_left - total
        session.last_in_ns = now_ns
        if left < 0 or bytes_left < 0:
            return self._ration_in(session, sizes)
        session.dgrams_in_left = left
        session.bytes_in_left = bytes_left
        stats = self.stats
        stats.received_in += count
        stats.forwarded_in += count
        stats.bytes_in += total
        if left == 0 and session.dgrams_out_left == 0:
            session.closing = CloseReason.DGRAMS_REACHED
        return count

    def judge(self, session: Session, source: bytes, size: int, now_ns: int) -> bool:
        """Tell whether a datagram on an unconnected server-side socket is the session's; if not, drop and count it.

        source: raw address of the sender. Any datagram from its target's address ends a one-way session (K-29, K-30).
        """
        if now_ns >= session.check_ns and self.lapse(session, now_ns):
            self._drop_in(session, DropReason.EXPIRED, [size])
            return False
        answers = session.terms.answers
        if answers and source == session.target:
            return True
        if not answers and _same_host(source, session.target):
            self._drop_in(session, DropReason.ONE_WAY, [size])
            session.closing = CloseReason.ONE_WAY_REPLY
            return False
        self._drop_in(session, DropReason.WRONG_SOURCE, [size])
        self._journal.note("wrong-source", session.track, source, session.target)
        return False

    def refuse_in(self, session: Session, sizes: list[int]) -> None:
        """Drop and count what a server sent behind the datagram that ended its session."""
        self._drop_in(session, DropReason.NO_SESSION, sizes)

    def unsent_out(self, session: Session, sizes: list[int], reason: DropReason) -> None:
        """Take back datagrams that `pass_out` let through and that could not be sent."""
        count, total = len(sizes), sum(sizes)
        self.stats.forwarded_out -= count
        self.stats.bytes_out -= total
        self.stats.drops_out[reason] += count
        session.dgrams_out_left += count
        session.bytes_out_left += total
        session.wasted_out += total
        self._reconsider(session)

    def unsent_in(self, session: Session, sizes: list[int], reason: DropReason) -> None:
        """Take back datagrams that `pass_in` let through and that could not be sent."""
        count, total = len(sizes), sum(sizes)
        self.stats.forwarded_in -= count
        self.stats.bytes_in -= total
        self.stats.drops_in[reason] += count
        session.dgrams_in_left += count
        session.bytes_in_left += total
        session.wasted_in += total
        self._reconsider(session)

    # --- ending ------------------------------------------------------------------------------------------------------

    def lapse(self, session: Session, now_ns: int) -> bool:
        """End a session whose time is up; otherwise find out when to ask again. Cheap to call after check_ns only."""
        deadline_ns, reason = session.deadline()
        if now_ns < deadline_ns:
            session.check_ns = deadline_ns
            return False
        self.end(session, reason, now_ns)
        return True

    def conclude(self, session: Session, now_ns: int) -> None:
        """End a session that is closing, now that what it passed is sent."""
        if session.closing is not None:
            self.end(session, session.closing, now_ns)

    def end(self, session: Session, reason: CloseReason, now_ns: int) -> None:
        """End a session: out of the table, its permit given back, its end logged; then the caller's to close."""
        if self.tables[session.listener].pop(session.key, None) is not session:
            raise EngineMisuse("a session ended twice")
        session.closing = reason
        self._deadlines.cancel(session, session.tick)
        self.stats.closes[reason] += 1
        self._note_end(session, reason, now_ns)
        self._release(session)
        self.ended.append(session)

    def expire(self, now_ns: int) -> None:
        """End every session whose time is up."""
        for session in self._deadlines.due(now_ns):
            if not self.lapse(session, now_ns):
                session.tick = self._deadlines.set(session, session.check_ns)

    def next_deadline_ns(self) -> int:
        """Return when `expire` should be called next."""
        return self._deadlines.next_ns()

    def end_all(self, reason: CloseReason, now_ns: int) -> None:
        """End every session."""
        for table in self.tables:
            for session in list(table.values()):
                self.end(session, reason, now_ns)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _refuse(self, source: bytes, destination: bytes, grant: Grant, sizes: list[int], now_ns: int) -> None:
        refusal = DropReason.REJECTED if grant.refusal is None else grant.refusal
        self.stats.received_out += len(sizes)
        self.stats.drops_out[refusal] += len(sizes)
        name = None if grant.rule is None else grant.rule.name
        if refusal is DropReason.NO_PLUG_TO:
            self._journal.note("no-plug-to", 0, source, name)
        elif refusal is DropReason.NO_TARGET:
            self._journal.note("session-failed", 0, source, destination, "target", "its name has no address")
        if self._rare_rejection(source, now_ns):
            denied = refusal is DropReason.REJECTED
            status, result = ("REJECTED", "OK") if denied else ("ACCEPTED", "FAILED")
            self._journal.note("rejected", 0, source, destination, None, status, result, name, 0, sum(sizes), 0, 0, 0)

    def _rare_rejection(self, source: bytes, now_ns: int) -> bool:
        """Tell whether this client has not been recorded as rejected within this second."""
        if now_ns - self._rejections_ns >= SECOND_NS:
            self._rejections.clear()
            self._rejections_ns = now_ns
        if source in self._rejections or len(self._rejections) >= REJECTIONS_A_SECOND:
            return False
        self._rejections.add(source)
        return True

    def _table_full(self, source: bytes, sizes: list[int], now_ns: int) -> None:
        self.stats.received_out += len(sizes)
        self.stats.drops_out[DropReason.TABLE_FULL] += len(sizes)
        if now_ns - self._table_full_ns >= SECOND_NS:
            self._table_full_ns = now_ns
            self._journal.note("table-full", 0, self.sessions, source)

    def _new_slot(self) -> int:
        self.top_slot += 1
        return self.top_slot - 1

    def _ration_out(self, session: Session, sizes: list[int]) -> int:
        """Pass a run datagram by datagram, up to the first that exceeds a limit or completes both."""
        stats = self.stats
        for passed, size in enumerate(sizes):
            excess = _excess(session.dgrams_out_left, session.bytes_out_left, size)
            if excess is not None:
                session.closing = (CloseReason.DGRAMS_OUT, CloseReason.BYTES_OUT)[excess]
                session.wasted_out += size
                stats.received_out += 1
                stats.drops_out[DropReason.LIMIT] += 1
                return passed
            session.dgrams_out_left -= 1
            session.bytes_out_left -= size
            stats.received_out += 1
            stats.forwarded_out += 1
            stats.bytes_out += size
            if session.reached():
                session.closing = CloseReason.DGRAMS_REACHED
                return passed + 1
        return len(sizes)

    def _ration_in(self, session: Session, sizes: list[int]) -> int:
        stats = self.stats
        for passed, size in enumerate(sizes):
            excess = _excess(session.dgrams_in_left, session.bytes_in_left, size)
            if excess is not None:
                session.closing = (CloseReason.DGRAMS_IN, CloseReason.BYTES_IN)[excess]
                self._drop_in(session, DropReason.LIMIT, [size])
                self._drop_in(session, DropReason.NO_SESSION, sizes[passed + 1 :])
                return passed
            session.dgrams_in_left -= 1
            session.bytes_in_left -= size
            stats.received_in += 1
            stats.forwarded_in += 1
            stats.bytes_in += size
            if session.reached():
                session.closing = CloseReason.DGRAMS_REACHED
                self._drop_in(session, DropReason.NO_SESSION, sizes[passed + 1 :])
                return passed + 1
        return len(sizes)

    def _drop_in(self, session: Session, reason: DropReason, sizes: list[int]) -> None:
        self.stats.received_in += len(sizes)
        self.stats.drops_in[reason] += len(sizes)
        session.wasted_in += sum(sizes)

    def _reconsider(self, session: Session) -> None:
        """Let a session go on that was to end by reaching its limits, if it has not reached them after all."""
        if session.closing is CloseReason.DGRAMS_REACHED and not session.reached():
            session.closing = None

    def _note_end(self, session: Session, reason: CloseReason, now_ns: int) -> None:
        if not self._journal.takes("session-end"):
            return
        failed = reason is CloseReason.FAILURE
        result = "FAILED" if failed else "ABORTED" if reason in _ABORTED else "OK"
        self._journal.put(
            "session-end",
            session.track,
            session.client,
            session.target,
            0,
            None,
            CLOSE_WORDS[reason],
            "FAILED" if failed else "ACCEPTED",
            "ACCEPTED",
            result,
            session.terms.rule.name,
            session.bytes_in,
            session.bytes_out + session.wasted_out,
            session.bytes_in + session.wasted_in,
            session.bytes_out,
            now_ns - session.opened_ns,
        )

    def _release(self, session: Session) -> None:
        self._permits.give()
        self._free_slots.append(session.slot)


def _excess(dgrams_left: int, bytes_left: int, size: int) -> int | None:
    """Return which limit a datagram exceeds: 0 datagrams, 1 bytes, None neither. Both: datagrams (K-74)."""
    if dgrams_left < 1:
        return 0
    return 1 if size > bytes_left else None


def _same_host(one: bytes, other: bytes) -> bool:
    """Compare raw socket addresses without their ports."""
    return one[:2] == other[:2] and one[4:] == other[4:]
