"""The generic session proxy: sessions, budgets and deadlines. Sans-I/O: clock, permits and log come in as arguments.

The caller moves the datagrams. It looks up sessions in `tables`, and tells the engine of runs of datagrams; the engine
answers how many of a run's leading datagrams may pass (workers.session.traffic). A session that is to end has `closing`
set: the caller sends what passed, then calls `conclude`. Every datagram the caller names is counted here, forwarded or
dropped by reason.

A run is given as the payload sizes of its datagrams, in bytes, in the order of arrival; out is client to server.
Source: udp-proxy(8); K-17 to K-55, K-58 to K-87 of its requirements.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from workers.contract.slots import CloseReason, DropReason
from workers.session.admission import Admission, NeedsName
from workers.session.records import Journal, Records
from workers.session.session import PLAIN, FlowKey, Grant, Session, Traits
from workers.session.table import Permits
from workers.session.traffic import Traffic
from workers.stats import Stats
from workers.wire.sockaddr import V4_BYTES

TRACE_LEVEL = 8
"""From this level of the log on, each search tells what decided it."""
LAST_TRACK = 99_999
"""Sessions are numbered in the log from 1 to this, and again from 1."""


class Engine(Traffic):
    """The sessions of one worker: how they begin. What may pass in them is Traffic's, how they end SessionTable's."""

    def __init__(self, admission: Admission, listeners: int, permits: Permits, journal: Journal, stats: Stats) -> None:
        super().__init__(listeners, permits, Records(journal), stats)
        self.admission = admission
        stats.rules.update(admission.tallies)
        self.draining = False
        """Whether no session may begin any more."""
        self.welcoming = listeners
        """So many of the listeners take new clients; those behind them only serve the sessions that they have."""
        self._track = 0

    def admit(
        self,
        listener: int,
        key: FlowKey,
        source: bytes,
        destination: bytes,
        sizes: list[int],
        now_ns: int,
        traits: Traits = PLAIN,
    ) -> Session | NeedsName | None:
        """Open a session for a run of datagrams of an unknown client, or drop and count the run: None.

        source, destination: raw socket addresses. The session still needs a socket: the caller makes one, and then
        calls `begin`, or `fail`, or `forbid`. Where a name decides that is not known yet, nothing is counted: the
        caller asks for it, and then comes again, or drops the run (`refuse_out`).
        """
        if self.draining or listener >= self.welcoming:
            self._drop_out(DropReason.DRAINING, sizes)
            return None
        if traits is PLAIN:
            grant = self.admission.decide(listener, source, destination)
        else:
            grant = self.admission.decide(listener, source, destination, transparent=traits.transparent, tos=traits.tos)
        if isinstance(grant, NeedsName):
            return grant
        if self._journal.taking:
            self._note_search(grant, source, destination, transparent=traits.transparent)
        else:
            self._journal.skipped += 1
        terms = grant.terms
        if terms is None or grant.refusal is not None:
            self._drop_out(DropReason.REJECTED if grant.refusal is None else grant.refusal, sizes)
            self.stats.rules["" if grant.rule is None else grant.rule.name].rejected += 1
            self._records.refused(source, destination, grant, sum(sizes), now_ns)
            return None
        terms.tally.accepted += 1
        if not self._permits.take():
            self._drop_out(DropReason.TABLE_FULL, sizes)
            terms.tally.unopened += 1
            self._records.table_full(source, destination, grant, sum(sizes), self._permits.total, now_ns)
            return None
        self._track = self._track % LAST_TRACK + 1
        session = Session(terms, now_ns, self._take_slot(), self._track)
        session.listener = listener
        session.key = key
        session.client = source
        session.destination = destination
        session.target = grant.target
        session.grant = grant
        session.transparent = traits.transparent
        return session

    def admit_each(
        self,
        listener: int,
        keys: Sequence[FlowKey],
        sources: Sequence[bytes],
        sizes: Sequence[int],
        destination: bytes,
        now_ns: int,
    ) -> list[Session]:
        """Open sessions for unknown clients, a datagram each, as long as the rule is known and no limit in the way.

        keys, sources, sizes: of each datagram; read as far as sources and the answer go. The datagrams are passed and
        counted. The sessions still need their sockets: `begin_each` for those that have one, or else `take_back`.
        """
        sessions: list[Session] = []
        if self.draining or listener >= self.welcoming or not sources:
            return sessions
        recall, known = self.admission.ordinary.get, self.tables[listener]
        address = slice(4, 8) if len(destination) == V4_BYTES else slice(8, 24)
        grant = recall(sources[0][address])
        if grant is None or (terms := grant.terms) is None:
            # Nobody is let in: other workers may need the permits.
            return sessions
        target, check_ns, counted = grant.target, now_ns + terms.shortest_ns, 0
        permits, track = self._permits.take_some(len(sources)), self._track
        spent = self._spent if not self.ended else []
        for source, key, size in zip(sources[:permits], keys, sizes):  # noqa: B905 - as in Traffic
            found = recall(source[address])
            if found is not grant:
                if found is None or found.terms is None:
                    break
                terms.tally.accepted += len(sessions) - counted
                grant, terms, target, counted = found, found.terms, found.target, len(sessions)
                check_ns = now_ns + terms.shortest_ns
            if key in known or size > terms.bytes_out:
                break
            track = track % LAST_TRACK + 1
            if spent and spent[-1].terms is terms:
                session = spent.pop()
                session.renew(now_ns, check_ns)
            else:
                session = Session(terms, now_ns, self._take_slot(), track)
            session.listener = listener
            session.track = track
            session.key = key
            session.client = source
            session.destination = destination
            session.target = target
            session.grant = grant
            session.transparent = False
            session.dgrams_out_left = terms.dgrams_out - 1
            session.bytes_out_left = terms.bytes_out - size
            known[key] = session
            sessions.append(session)
        self._track = track
        terms.tally.accepted += len(sessions) - counted
        self._permits.untake(permits - len(sessions))
        self._count_admitted(sessions, sum(sizes[: len(sessions)]))
        return sessions

    def _count_admitted(self, sessions: list[Session], total: int) -> None:
        """Count sessions that were admitted together; total: payload bytes of the datagrams that opened them."""
        count, stats = len(sessions), self.stats
        if self._journal.taking:
            for session in sessions:
                self._note_search(session.grant, session.client, session.destination)
        else:
            self._journal.skipped += count
        stats.received_out += count
        stats.forwarded_out += count
        stats.bytes_out += total

    def go_on(self, sessions: Sequence[Session]) -> None:
        """Begin with sessions that another worker began, resumed one by one: number slots and tracks behind theirs."""
        newest = max(sessions, key=attrgetter("opened_ns", "track"), default=None)
        self._track = 0 if newest is None else newest.track
        self.occupy({session.slot for session in sessions})

    def take_back(self, session: Session, size: int) -> None:
        """Make a session that admit_each opened one that still has to begin, and its datagram one still to come."""
        del self.tables[session.listener][session.key]
        session.dgrams_out_left += 1
        session.bytes_out_left += size
        self.stats.received_out -= 1
        self.stats.forwarded_out -= 1
        self.stats.bytes_out -= size

    def _note_search(self, grant: Grant, source: bytes, destination: bytes, *, transparent: bool = False) -> None:
        self._records.searched(source, destination, grant, transparent=transparent)
        if self._journal.level >= TRACE_LEVEL:
            rule = grant.rule
            items = (None, None, None) if rule is None else self.admission.decided(rule, source, destination)
            self._records.traced(grant, items)

    def fail(self, session: Session, step: str, reason: str, sizes: list[int]) -> None:
        """Give up a session whose socket could not be made, and drop the run that wanted it."""
        session.terms.tally.unopened += 1
        self._drop_out(DropReason.SETUP, sizes)
        session.wasted_out += sum(sizes)
        self._records.failed(session, step, reason)
        self._records.ended(session, CloseReason.FAILURE, session.opened_ns)
        self._release(session)

    def forbid(self, session: Session, sizes: list[int], now_ns: int) -> None:
        """Reject a session that would take its own datagrams for its client's (K-59), and drop the run."""
        session.terms.tally.unopened += 1
        self._drop_out(DropReason.REJECTED, sizes)
        self._records.forbidden(session, sum(sizes), now_ns)
        self._release(session)
