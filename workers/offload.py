"""Which sessions the kernel carries: busy simple ones are offered to the parent, counted by their records, taken back.

The program on the interfaces counts what it passes in a record for each slot (workers.contract.offload); from there a
session's budgets, its times and the worker's counters are brought up to date: in every sweep, and whenever it is asked
whether a session's time is up. Nobody has to be asked to take a session back: without its epoch in the record the next
datagram comes to the sockets again.
A session with a data limit lends the kernel half of what is left; what comes to the worker may use what is left beside
that. It is looked at with every datagram that does, and taken back where the limit is near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Protocol

from workers.contract.messages import Offered, Withdrawn
from workers.contract.offload import (
    BYTES,
    BYTES_LIMIT,
    COUNTED_BYTES,
    COUNTED_DATAGRAMS,
    DATAGRAMS,
    DATAGRAMS_LIMIT,
    DIRECTION_BYTES,
    LAST_NS,
    RECORD_BYTES,
    WORD_BYTES,
    Records,
)
from workers.deadlines import NEVER
from workers.journal import DUMP_LEVEL
from workers.session.session import UNLIMITED, Carriage, Session
from workers.stats import Stats

BUSY_DATAGRAMS = 4
"""A session that has had fewer is not worth the parent's time: entering one costs as much as some ten datagrams."""
PAUSE_NS = 10_000_000
"""From one message to the next: entering all sessions of a busy proxy at once would hold everything up."""
CREDIBLE = 1 << 48
"""Nobody has passed so many datagrams or bytes between two sweeps."""
RUN_DATAGRAMS, RUN_BYTES = 1_024, 4_194_240
"""No more comes to a worker between two looks at a session, 64 slots of a datagram each or a train of 128 in one: with
so much left beside what the kernel is lent, both may go on passing."""
LAST_DATAGRAMS, LAST_BYTES = 128, 131_072
"""With less of a limited budget left than this, a train may come to the worker instead: the kernel is lent anew."""
AGAIN_NS = 60_000_000_000
"""After so long a session is offered again that could not be carried: its way may be another one by now."""
BATCH = 32
"""Sessions in one message."""
WITHDRAWN_BATCH = 512
_RECORD, _IN = RECORD_BYTES // WORD_BYTES, DIRECTION_BYTES // WORD_BYTES
_DATAGRAMS, _DATAGRAMS_LIMIT, _BYTES, _BYTES_LIMIT, _LAST = (
    offset // WORD_BYTES for offset in (DATAGRAMS, DATAGRAMS_LIMIT, BYTES, BYTES_LIMIT, LAST_NS)
)
_COUNTED_DATAGRAMS, _COUNTED_BYTES = COUNTED_DATAGRAMS // WORD_BYTES, COUNTED_BYTES // WORD_BYTES
_NOBODY = 0


class Channel(Protocol):
    """The way to the parent."""

    def send(self, message: Offered | Withdrawn) -> bool:
        """Send without blocking; False: there is no room now."""
        ...


class Log(Protocol):
    """The log, as far as this looks at it: its level."""

    level: int


class Offload:
    """One worker's. count: the sessions that the kernel may carry now.

    turn_to: told the listener whose datagrams are counted next.
    """

    def __init__(
        self,
        records: Records,
        channel: Channel,
        log: Log,
        stats: Stats,
        turn_to: Callable[[int], None],
        now_ns: int,
    ) -> None:
        self.count = 0
        self._words = records.words
        self._slots = records.slots
        self._channel = channel
        self._log = log
        self._stats = stats
        self._turn_to = turn_to
        self._epoch = now_ns
        self._withdrawn: dict[int, None] = {}
        self._candidates: dict[Session, None] = {}
        self._due_ns = 0

    def consider(self, sessions: Iterable[Session], since_ns: int) -> None:
        """Have the sessions offered that are busy, and whose datagrams the kernel can pass without us.

        since_ns: those that have been silent since then are not busy.
        """
        if self._log.level >= DUMP_LEVEL:
            return
        for session in sessions:
            if _is_busy(session, since_ns) and self._fits(session):
                self._candidates[session] = None

    def sweep(self, sessions: Iterable[Session], since_ns: int) -> None:
        """Bring sessions up to date; give those up whose datagrams come to us instead; offer others.

        since_ns: when the sweep before this one began.
        """
        waiting: list[Session] = []
        for session in sessions:
            carriage = session.carriage
            if carriage is None:
                waiting.append(session)
            elif carriage.epoch and self._log.level >= DUMP_LEVEL:
                self.reclaim(session)
            elif carriage.epoch:
                self._settle(session, carriage)
                if carriage.moved_ns < since_ns <= _heard_ns(session):
                    self._give_up(session, carriage)
            elif carriage.moved_ns < since_ns - AGAIN_NS:
                session.carriage = None
        self.consider(waiting, since_ns)

    def touch(self, session: Session) -> None:
        """Bring a session up to date of which somebody wants to know, or of which a datagram has come here.

        One with limits is taken back where they are near, or where little is left of what the kernel was lent.
        """
        carriage = session.carriage
        if carriage is not None and carriage.epoch:
            self._settle(session, carriage)
            if carriage.limited and not self._may_go_on(session):
                self.reclaim(session)

    def reclaim(self, session: Session) -> None:
        """Have all of a session's datagrams come to its sockets again."""
        carriage = session.carriage
        if carriage is None or not carriage.epoch:
            return
        self._words[session.slot * _RECORD] = _NOBODY
        self._settle(session, carriage)
        session.carriage = None
        self._withdrawn[session.slot] = None
        self.count -= 1

    def recover(self, sessions: Iterable[Session], now_ns: int) -> None:
        """Count what the kernel has passed of a dead worker's sessions that it has not counted any more.

        Where a record says what cannot be, nothing is counted.
        """
        for session in sessions:
            halves = (session.slot * _RECORD, session.slot * _RECORD + _IN)
            if session.slot < self._slots and all(self._is_credible(at, now_ns) for at in halves):
                self._settle(session, Carriage(0, limited=False))

    def _is_credible(self, at: int, now_ns: int) -> bool:
        words = self._words
        datagrams = words[at + _DATAGRAMS] - words[at + _COUNTED_DATAGRAMS]
        octets = words[at + _BYTES] - words[at + _COUNTED_BYTES]
        return 0 <= datagrams < CREDIBLE and 0 <= octets < CREDIBLE and words[at + _LAST] <= now_ns

    def tend(self, now_ns: int) -> int:
        """Tell the parent what it need not keep entered, then what it may enter; return when to call again."""
        if not self._withdrawn and not self._candidates:
            return NEVER
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + PAUSE_NS
            self._withdraw()
            self._offer(now_ns)
        return self._due_ns

    def _withdraw(self) -> None:
        while self._withdrawn:
            batch = list(islice(self._withdrawn, WITHDRAWN_BATCH))
            if not self._channel.send(Withdrawn(batch)):
                return
            for slot in batch:
                del self._withdrawn[slot]

    def _offer(self, now_ns: int) -> None:
        offers: list[tuple[int, int]] = []
        lent: list[Session] = []
        for session in list(islice(self._candidates, 0 if self._withdrawn else BATCH)):
            del self._candidates[session]
            if self._fits(session):
                offers.append((session.slot, self._lend(session, now_ns)))
                lent.append(session)
        if offers and not self._channel.send(Offered(offers)):
            for session in lent:
                self.reclaim(session)

    def _fits(self, session: Session) -> bool:
        """Tell whether the kernel could pass a session's datagrams, and there are enough of them left to pass."""
        terms = session.terms
        return (
            session.carriage is None
            and session.simple
            and session.sock is not None
            and session.closing is None
            and session.tick != 0
            and session.trail is None
            and terms.bare
            and not session.transparent
            and session.slot < self._slots
            and len(session.client) == len(session.target)
            and _share(session.dgrams_out_left) >= RUN_DATAGRAMS <= _share(session.dgrams_in_left)
            and _share(session.bytes_out_left) >= RUN_BYTES <= _share(session.bytes_in_left)
        )

    def _lend(self, session: Session, now_ns: int) -> int:
        """Let the kernel pass a part of what a session may have yet; return the epoch under which it may."""
        words, start, terms = self._words, session.slot * _RECORD, session.terms
        self._epoch += 1
        limits = terms.dgrams_out, terms.dgrams_in, terms.bytes_out, terms.bytes_in
        carriage = session.carriage = Carriage(self._epoch, any(limit != UNLIMITED for limit in limits))
        for at, datagrams, octets in (
            (start, session.dgrams_out_left, session.bytes_out_left),
            (start + _IN, session.dgrams_in_left, session.bytes_in_left),
        ):
            self._uncounted(at)
            words[at + _DATAGRAMS_LIMIT] = words[at + _DATAGRAMS] + _share(datagrams)
            words[at + _BYTES_LIMIT] = words[at + _BYTES] + _share(octets)
        carriage.moved_ns = now_ns
        if carriage.limited:
            session.check_ns = 0
        words[start] = self._epoch
        self.count += 1
        return self._epoch

    def _may_go_on(self, session: Session) -> bool:
        """Tell whether a settled session's limits hold for a while, though both the kernel and we pass datagrams."""
        words, start = self._words, session.slot * _RECORD
        for at, datagrams, octets in (
            (start, session.dgrams_out_left, session.bytes_out_left),
            (start + _IN, session.dgrams_in_left, session.bytes_in_left),
        ):
            lent = words[at + _DATAGRAMS_LIMIT] - words[at + _COUNTED_DATAGRAMS]
            lent_bytes = words[at + _BYTES_LIMIT] - words[at + _COUNTED_BYTES]
            if lent < LAST_DATAGRAMS or lent_bytes < LAST_BYTES:
                return False
            if datagrams - lent < RUN_DATAGRAMS or octets - lent_bytes < RUN_BYTES:
                return False
        return True

    def _settle(self, session: Session, carriage: Carriage) -> None:
        """Count what the kernel has passed since the last time."""
        words, start = self._words, session.slot * _RECORD
        out, back = self._uncounted(start), self._uncounted(start + _IN)
        if out == back == (0, 0):
            return
        self._turn_to(session.listener)
        stats = self._stats
        count, total = out
        if count:
            session.last_out_ns = max(session.last_out_ns, words[start + _LAST])
        session.dgrams_out_left -= count
        session.bytes_out_left -= total
        stats.received_out += count
        stats.forwarded_out += count
        stats.bytes_out += total
        count, total = back
        if count:
            session.last_in_ns = max(session.last_in_ns, words[start + _IN + _LAST])
        session.dgrams_in_left -= count
        session.bytes_in_left -= total
        stats.received_in += count
        stats.forwarded_in += count
        stats.bytes_in += total
        carriage.moved_ns = _heard_ns(session)

    def _uncounted(self, at: int) -> tuple[int, int]:
        """Return datagrams and bytes that the kernel has passed in one direction since the last call."""
        words = self._words
        datagrams, octets = words[at + _DATAGRAMS], words[at + _BYTES]
        found = datagrams - words[at + _COUNTED_DATAGRAMS], octets - words[at + _COUNTED_BYTES]
        if found != (0, 0):
            words[at + _COUNTED_DATAGRAMS], words[at + _COUNTED_BYTES] = datagrams, octets
        return found

    def _give_up(self, session: Session, carriage: Carriage) -> None:
        """Take a session back for a while: the kernel cannot carry it, or the parent would not enter it."""
        self.reclaim(session)
        carriage.epoch, carriage.limited, carriage.moved_ns = 0, False, _heard_ns(session)
        session.carriage = carriage


def _heard_ns(session: Session) -> int:
    """Return when a session's client or server was heard last."""
    return max(session.last_in_ns, session.last_out_ns)


def _is_busy(session: Session, since_ns: int) -> bool:
    return _heard_ns(session) >= since_ns and session.dgrams_out + session.dgrams_in >= BUSY_DATAGRAMS


def _share(left: int) -> int:
    """Return how much of a budget the kernel is lent: half of it, the other half is ours meanwhile."""
    return left // 2
