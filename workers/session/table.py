"""The sessions of one worker: who is there, and until when. Sans-I/O: the clock is an argument.

Ending a session takes it out of its table, gives its permit and its slot back, and leaves it in `ended`, for the caller
to close what belongs to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Protocol

from workers.contract.slots import CloseReason
from workers.deadlines import NEVER, TICK_NS, Deadlines
from workers.errors import EngineMisuse
from workers.session.records import Records
from workers.session.session import FlowKey, Session
from workers.session.trails import Trails
from workers.stats import Stats

HORIZON_NS = 60_000_000_000
"""A session is looked at this often at least: deadlines need no more ticks than this holds, however long they are."""
SPENT_KEPT = 512
"""Sessions kept to be renewed, at most: answers end no more in one turn of the loop (workers.loop.MAX_EVENTS)."""
UNTIMED = -1
"""The tick of a session that lasts and has no deadline."""


class Permits(Protocol):
    """The proxy's free sessions, shared by all workers. total: how many sessions it may have."""

    total: int

    def take(self) -> bool:
        """Take one; False if none is left."""
        ...

    def take_some(self, count: int) -> int:
        """Take as many as there are, count at most; return how many."""
        ...

    def give(self, count: int = 1) -> None:
        """Give some back."""
        ...

    def untake(self, count: int) -> None:
        """Give back some that no session has had."""
        ...


class Kernel(Protocol):
    """Who knows of the kernel's part in sessions."""

    def touch(self, session: Session) -> None:
        """Bring a session up to date."""
        ...

    def reclaim(self, session: Session) -> None:
        """Bring a session up to date, and have its datagrams come to its sockets again."""
        ...


class SessionTable:
    """All sessions of one worker.

    tables: for each listener, its sessions by flow key, some by two. ended: sessions that are over, whose sockets the
    caller closes. lasting: sessions that have lived for a moment, TICK_NS at most, for the caller to keep safe; some of
    them have ended since. trails: what else sessions are found by.
    Sessions of one question and one answer are renewed when others come: whoever has one must let go of it before it is
    taken out of `ended`, unless it has a tick, or is not simple.
    kernel: to be asked about sessions that have a carriage; set by whoever gives them one.
    """

    kernel: Kernel

    def __init__(self, listeners: int, permits: Permits, records: Records, stats: Stats) -> None:
        self.tables: tuple[dict[FlowKey, Session], ...] = tuple({} for _ in range(listeners))
        self.ended: list[Session] = []
        self.lasting: list[Session] = []
        self.stats = stats
        self.trails = Trails(self.tables)
        self._permits = permits
        self._records = records
        self._journal = records.journal
        self._deadlines: Deadlines[Session] = Deadlines()
        self._fresh: list[Session] = []
        self._fresh_ns = 0
        self._spent: list[Session] = []
        self._free_slots: list[int] = []
        self._top_slot = 0

    @property
    def sessions(self) -> int:
        """Return how many sessions are open."""
        return sum(map(len, self.tables)) - self.trails.aliases

    def everybody(self) -> Iterator[Session]:
        """Return every open session once."""
        return (session for table in self.tables for key, session in table.items() if key == session.key)

    def begin(self, session: Session) -> None:
        """Put a session with its socket in the table; from now on it has deadlines."""
        self.tables[session.listener][session.key] = session
        if not self._fresh:
            self._fresh_ns = session.opened_ns
        self._fresh.append(session)
        self.stats.sessions_opened += 1
        if self._journal.taking:
            self._records.started(session)
        else:
            self._journal.skipped += 1

    def begin_each(self, sessions: list[Session]) -> None:
        """Begin with sessions that are in the table, and have their sockets now."""
        if sessions and not self._fresh:
            self._fresh_ns = sessions[0].opened_ns
        self._fresh += sessions
        self.stats.sessions_opened += len(sessions)
        if self._journal.taking:
            for session in sessions:
                self._records.started(session)
        else:
            self._journal.skipped += len(sessions)

    def lapse(self, session: Session, now_ns: int) -> bool:
        """End a session whose time is up; otherwise find out when to ask again. Cheap to call after check_ns only."""
        if session.carriage is not None:
            self.kernel.touch(session)
        deadline_ns, reason = session.deadline()
        if now_ns < deadline_ns:
            # Limits of which the kernel may use something meanwhile are looked at with every datagram.
            session.check_ns = 0 if session.carriage is not None and session.carriage.limited else deadline_ns
            return False
        self.end(session, reason, now_ns)
        return True

    def conclude(self, session: Session, now_ns: int) -> None:
        """End a session that is closing, now that what it passed is sent."""
        if session.closing is not None:
            self.end(session, session.closing, now_ns)

    def conclude_each(self, sessions: list[Session], now_ns: int) -> None:
        """End sessions that are closing."""
        tables, closes, spent, free = self.tables, self.stats.closes, self._spent, self._free_slots
        for session in sessions:
            if session.tick or not session.simple or session.trail is not None:
                self._forget(session)
                free.append(session.slot)
            else:
                spent.append(session)
            if tables[session.listener].pop(session.key, None) is not session:
                raise EngineMisuse("a session ended twice")
        reasons = [session.closing for session in sessions]
        for reason in set(reasons):
            if reason is None:
                raise EngineMisuse("a session that goes on was concluded")
            closes[reason] += reasons.count(reason)
        if self._journal.taking:
            for session, reason in zip(sessions, reasons, strict=True):
                if reason is not None:
                    self._records.ended(session, reason, now_ns)
        else:
            self._journal.skipped += len(sessions)
        if len(spent) > SPENT_KEPT:
            free += [session.slot for session in spent[SPENT_KEPT:]]
            del spent[SPENT_KEPT:]
        self._permits.give(len(sessions))
        self.ended += sessions

    def end(self, session: Session, reason: CloseReason, now_ns: int) -> None:
        """End a session: out of the table, its permit given back, its end logged; then the caller's to close."""
        if self.tables[session.listener].pop(session.key, None) is not session:
            raise EngineMisuse("a session ended twice")
        session.closing = reason
        self._forget(session)
        self.stats.closes[reason] += 1
        if self._journal.taking:
            self._records.ended(session, reason, now_ns)
        else:
            self._journal.skipped += 1
        self._permits.give()
        self._free_slots.append(session.slot)
        self.ended.append(session)

    def reclaim(self, session: Session) -> None:
        """Have all of a session's datagrams come to its sockets, and be counted here, whoever passed them before."""
        if session.carriage is not None:
            self.kernel.reclaim(session)

    def _forget(self, session: Session) -> None:
        self.reclaim(session)
        if session.trail is not None:
            self.trails.forget(session)
        if session.tick > 0:
            self._deadlines.cancel(session, session.tick)

    def expire(self, now_ns: int) -> None:
        """End every session whose time is up."""
        self.place_fresh(now_ns)
        for session in self._deadlines.due(now_ns):
            if not self.lapse(session, now_ns):
                due_ns = session.check_ns or session.deadline()[0]
                session.tick = self._deadlines.set(session, min(due_ns, now_ns + HORIZON_NS))

    def next_deadline_ns(self) -> int:
        """Return when `expire` should be called next."""
        next_ns = self._deadlines.next_ns()
        return min(next_ns, self._fresh_ns + TICK_NS) if self._fresh else next_ns

    def place_fresh(self, now_ns: int) -> None:
        """Give new sessions their deadlines, unless they have ended already: many never need one."""
        for session in dict.fromkeys(self._fresh):  # One that was renewed is there more than once.
            if self.tables[session.listener].get(session.key) is session:
                self._place(session, now_ns)
                self.lasting.append(session)
        self._fresh.clear()

    def _place(self, session: Session, now_ns: int) -> None:
        session.tick = UNTIMED
        if session.check_ns < NEVER:
            session.tick = self._deadlines.set(session, min(session.check_ns, now_ns + HORIZON_NS))

    def take_lasting(self) -> list[Session]:
        """Return the sessions that have come to last since the last call."""
        found, self.lasting = self.lasting, []
        return found

    def resume(self, session: Session, now_ns: int) -> None:
        """Go on with a session that another worker began. `occupy` must follow when all are there."""
        self.tables[session.listener][session.key] = session
        self._place(session, now_ns)

    def occupy(self, slots: Set[int]) -> None:
        """Take these slots, of sessions gone on with, for the only ones in use."""
        self._top_slot = max(slots, default=-1) + 1
        self._free_slots = [slot for slot in reversed(range(self._top_slot)) if slot not in slots]

    def end_all(self, reason: CloseReason, now_ns: int) -> None:
        """End every session."""
        for table in self.tables:
            for session in dict.fromkeys(table.values()):
                self.end(session, reason, now_ns)

    def _take_slot(self) -> int:
        if self._free_slots:
            return self._free_slots.pop()
        if self._spent:
            return self._spent.pop().slot
        self._top_slot += 1
        return self._top_slot - 1

    def _release(self, session: Session) -> None:
        self.trails.forget(session)
        self._permits.give()
        self._free_slots.append(session.slot)
