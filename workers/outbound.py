"""From the clients to the servers: reads the listeners, finds or opens sessions, sends through their sockets.

Datagrams of many clients go through in one loop a stage: find the session and count, then send. Where clients send
several datagrams at once, each flow's run is decided and sent as one, as a train where sizes are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workers.answers import DUMP_BYTES, cut
from workers.contract.slots import CloseReason, DropReason
from workers.contract.tapping import Way
from workers.departures import Departures
from workers.hearing import Hearing
from workers.journal import DUMP_LEVEL, Journal
from workers.listener import Listener
from workers.net import segments
from workers.net.ancillary import Control
from workers.net.arena import SLOTS
from workers.net.transport import FlowKey, Part, Stored, Transport
from workers.net.upstream import FEW_SESSIONS
from workers.origin import WORDS, Origins
from workers.session.admission import NeedsName
from workers.session.engine import Engine
from workers.session.session import Session
from workers.sockets import SessionSockets
from workers.treatment import Treatment
from workers.waiting import Waiter, Waiting

ROUNDS = 4
"""Full batches read from one listener in a turn, at most: the others must not starve."""


class Outbound:
    """One worker's forwarding. hearing: takes what comes from servers after all.

    waiting: where clients wait for a name that decides on them; set by who makes both, where rules need names.
    dump_bytes: of one datagram's payload, at level 9. taps: who watches sessions.
    """

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        sockets: SessionSockets,
        journal: Journal,
        origins: Origins,
        hearing: Hearing,
        treatment: Treatment,
    ) -> None:
        self.waiting: Waiting | None = None
        self.dump_bytes = DUMP_BYTES
        self._departures = Departures(engine, transport, sockets, journal)
        self._origins = origins
        self._hearing = hearing
        self.taps = hearing.taps
        self._treatment = treatment
        self._engine = engine
        self._transport = transport
        self._sockets = sockets
        self._journal = journal

    def resume(self, waiters: Iterable[Waiter], now_ns: int) -> None:
        """Decide again on clients that waited for a name; the datagram of each lies in slot 0 while it is its turn."""
        for waiter in waiters:
            listener, key, _ = waiter.datagram
            self._forward(listener, key, 0, [waiter.size], now_ns, 0)

    def take_waited(self, listener: Listener, now_ns: int, waited: Stored) -> None:
        """Forward what came to a listener while no worker was there, as if it had just been received alone."""
        transport, version = self._transport, listener.version
        transport.restore(waited)
        keys = transport.flow_keys(1, version, listener.usual) if listener.wildcard else transport.keys(1, version)
        sizes = transport.sizes(0, 1)
        if self._journal.level >= DUMP_LEVEL:
            self._dump(listener, sizes)
        self._forward_trains(listener, keys, sizes, transport.extras(0, 1, listener.usual), now_ns)

    def handle(self, listener: Listener, now_ns: int) -> None:
        """Read a listener and forward what passes."""
        transport = self._transport
        for _ in range(ROUNDS):
            count = transport.receive(listener.fd, listener.version)
            if not count:
                return
            if listener.wildcard:
                keys = transport.flow_keys(count, listener.version, listener.usual)
            else:
                keys = transport.keys(count, listener.version)
            sizes, extras = transport.sizes(0, count), transport.extras(0, count, listener.usual)
            if self._journal.level >= DUMP_LEVEL:
                self._dump(listener, sizes)
            if extras:
                self._forward_trains(listener, keys, sizes, extras, now_ns)
            elif count > 1 and 2 * len(set(keys)) <= count:
                self._forward_runs(listener, keys, sizes, now_ns)
            elif count == 1 and keys[0] in self._engine.tables[listener.index]:
                self._forward(listener, keys[0], 0, sizes, now_ns, 0)
            else:
                self._forward_singles(listener, keys, sizes, now_ns)
            if count < SLOTS:
                return

    def _forward_singles(self, listener: Listener, keys: Sequence[FlowKey], sizes: list[int], now_ns: int) -> None:
        """Forward datagram by datagram: the usual case of many clients."""
        engine, slot, count = self._engine, 0, len(keys)
        find = engine.tables[listener.index].get
        while slot < count:
            if slot:
                sessions = engine.pass_known_out(listener.index, keys[slot:], sizes[slot:], now_ns)
            else:
                sessions = engine.pass_known_out(listener.index, keys, sizes, now_ns)
            if sessions:
                self._departures.send_each(sessions, sizes, slot)
                slot += len(sessions)
                if slot == count:
                    return
            stopped = keys[slot]
            if find(stopped) is not None:
                self._forward(listener, stopped, slot, [sizes[slot]], now_ns, slot)
                slot += 1
                continue
            opened = self._forward_firsts(listener, keys, sizes, slot, now_ns) if count - slot > FEW_SESSIONS else 0
            if not opened:
                self._forward_first(listener, stopped, slot, sizes[slot], now_ns)
            slot += opened or 1

    def _forward_firsts(
        self, listener: Listener, keys: Sequence[FlowKey], sizes: list[int], slot: int, now_ns: int
    ) -> int:
        """Open the sessions of unknown clients from a slot on, all in one go; return how many it was quick to open."""
        # Where servers answer to listeners, an unknown sender may be one of them.
        one_by_one = listener.wildcard or self._engine.trails.sharing or not self._engine.admission.ordinary
        room = 0 if one_by_one else self._sockets.rested(listener.version, now_ns)
        if not room:
            return 0
        sources = self._transport.sources(slot, min(len(keys), slot + room), listener.version)
        if slot:
            keys, waiting = keys[slot:], sizes[slot:]
        else:
            waiting = sizes
        sessions = self._engine.admit_each(listener.index, keys, sources, waiting, listener.raw, now_ns)
        if not sessions:
            return 0
        opened = self._sockets.open_each(sessions, now_ns)
        self._departures.send_each(sessions[:opened], sizes, slot)
        for late, session in enumerate(sessions[opened:], slot + opened):
            self._engine.take_back(session, sizes[late])
            if self._sockets.open(session, [sizes[late]], now_ns):
                self._forward_opened(session, late, sizes[late], now_ns)
        return len(sessions)

    def _forward_first(self, listener: Listener, key: FlowKey, slot: int, size: int, now_ns: int) -> None:
        """Open an unknown client's session, and forward the datagram that wants it."""
        if self._engine.trails.sharing and self._give_back(listener, slot, [Part(slot, 0, size)], now_ns):
            return
        session = self._open(listener, key, slot, [size], now_ns)
        if session is not None:
            self._forward_opened(session, slot, size, now_ns)

    def _forward_opened(self, session: Session, slot: int, size: int, now_ns: int) -> None:
        """Forward the datagram that opened a session."""
        if session.terms.shaped and not self._treatment.allow_out(session, [size], now_ns):
            self._engine.shed_out(session, [size])
            return
        if self._engine.first_out(session, size, now_ns) and not (
            session.connected and self._transport.send_one(session.sock, slot, size)
        ):
            self._departures.send_parts(session, [Part(slot, 0, size)])
        if session.closing is not None:
            self._engine.conclude(session, now_ns)
            self._sockets.close_ended(now_ns)

    def _forward_runs(self, listener: Listener, keys: Sequence[FlowKey], sizes: list[int], now_ns: int) -> None:
        """Forward flow by flow, each flow's datagrams in the order they came."""
        flows: dict[FlowKey, list[int]] = {}
        for slot, key in enumerate(keys):
            if key in flows:
                flows[key].append(slot)
            else:
                flows[key] = [slot]
        order = [slot for slots in flows.values() for slot in slots]
        sizes = [sizes[slot] for slot in order]
        self._transport.arrange(order, sizes)
        first = 0
        for key, slots in flows.items():
            last = first + len(slots)
            self._forward(listener, key, SLOTS + first, sizes[first:last], now_ns, slots[0])
            first = last

    def _forward_trains(
        self,
        listener: Listener,
        keys: Sequence[FlowKey],
        sizes: list[int],
        extras: dict[int, Control],
        now_ns: int,
    ) -> None:
        """Forward a batch with trains in it, slot by slot; note what the listener's queue has lost."""
        for slot, key in enumerate(keys):
            train = 0
            if slot in extras:
                train, overflow = extras[slot].train_bytes, extras[slot].overflow
                if overflow is not None:
                    self._engine.stats.overflow += listener.note_overflow(overflow)
            self._forward(listener, key, slot, segments.split(sizes[slot], train), now_ns, slot)

    def _forward(
        self, listener: Listener, key: FlowKey, first: int, sizes: list[int], now_ns: int, origin: int
    ) -> None:
        """Forward one flow's run; what is left when its session ends opens another one.

        first: the slot of the first datagram; the others follow it, or lie in it, if it is not an arranged one and
        there are several. origin: the slot whose sender and destination are the flow's.
        """
        engine = self._engine
        done, count = 0, len(sizes)
        one_slot = count > 1 and first < SLOTS
        while done < count:
            session = engine.tables[listener.index].get(key)
            rest = sizes[done:] if done else sizes
            if session is not None and now_ns >= session.check_ns and engine.lapse(session, now_ns):
                # At once: its slot is free for the next one, and nothing may be read from its socket any more.
                self._sockets.close_ended(now_ns)
                session = None
            if session is None:
                if engine.trails.sharing:
                    parts = cut(first, sizes, one_slot=one_slot)[done:]
                    if self._give_back(listener, origin, parts, now_ns):
                        return
                session = self._open(listener, key, origin, rest, now_ns, begun=done > 0)
                if session is None:
                    return
            if not session.simple:
                rest, dropped = self._admissible(session, listener, origin, rest, now_ns)
                done += dropped
                if dropped:
                    continue
                if session in self.taps.sessions:
                    self._show(session, cut(first, sizes, one_slot=one_slot)[done : done + len(rest)], now_ns)
            passed = engine.pass_out(session, rest, now_ns)
            if passed == len(sizes):
                self._departures.send_run(session, first, sizes, one_slot=one_slot)
            else:
                self._departures.send_parts(session, cut(first, sizes, one_slot=one_slot)[done : done + passed])
            done += passed
            if session.closing is not None:
                done += session.closing is not CloseReason.DGRAMS_REACHED
                engine.conclude(session, now_ns)
                self._sockets.close_ended(now_ns)

    def _open(
        self, listener: Listener, key: FlowKey, slot: int, sizes: list[int], now_ns: int, *, begun: bool = False
    ) -> Session | None:
        """Open a session for an unknown client's run, with its socket; None if it may not have one, or not yet.

        begun: the first of the run does not lie in the slot any more: an earlier session has taken it.
        """
        origin, index = self._origins.of(listener, slot), listener.index
        if isinstance(origin, DropReason):
            if origin is not DropReason.NOT_OURS:
                self._journal.note("not-taken", 0, self._transport.source(slot, listener.version), WORDS[origin])
            self._engine.refuse_out(sizes, origin)
            return None
        source, destination, traits = origin.source, origin.destination, origin.traits
        session = self._engine.admit(index, key, source, destination, sizes, now_ns, traits)
        while isinstance(session, NeedsName):
            if begun or self.waiting is None:
                self._engine.refuse_out(sizes, DropReason.NAME_PENDING)
                return None
            if self.waiting.defer(listener, key, slot, sizes, session.address, now_ns):
                return None
            session = self._engine.admit(index, key, source, destination, sizes, now_ns, traits)
        if session is None or not self._sockets.open(session, sizes, now_ns, origin.interface):
            return None
        session.reply_control = origin.control + self._treatment.mark(session)
        return session

    def _give_back(self, listener: Listener, slot: int, parts: list[Part], now_ns: int) -> bool:
        """Take a run for a server's answer if it has come to an address that a session sends from; tell if it was.

        slot: one whose sender and destination are the run's.
        """
        origin = self._origins.of(listener, slot)
        if isinstance(origin, DropReason):
            return False
        session = self._engine.trails.find(origin.destination, origin.source)
        if session is None:
            return False
        self._hearing.hear_returned(session, origin.source, parts, now_ns)
        return True

    def _admissible(
        self, session: Session, listener: Listener, slot: int, sizes: list[int], now_ns: int
    ) -> tuple[list[int], int]:
        """Return how much of a run may go on now; or nothing, and how many datagrams had to be dropped.

        All of what is our own is dropped; of what goes beyond the rate of the session's queue, the first one.
        """
        trail = session.trail
        if trail is not None and trail.echo is not None and self._origins.is_echo(listener, slot):
            self._engine.refuse_out(sizes, DropReason.OWN)
            return [], len(sizes)
        if not session.terms.shaped:
            return sizes, 0
        allowed = self._treatment.allow_out(session, sizes, now_ns)
        if allowed:
            return sizes[:allowed], 0
        self._engine.shed_out(session, sizes[:1])
        return [], 1

    def _show(self, session: Session, parts: list[Part], now_ns: int) -> None:
        self.taps.copy(session, Way.OUT, map(self._transport.payload, parts), now_ns)

    def _dump(self, listener: Listener, sizes: list[int]) -> None:
        for slot, size in enumerate(sizes):
            payload = bytes(self._transport.arena.payload(slot, min(size, self.dump_bytes)))
            source = self._transport.source(slot, listener.version)
            self._journal.note_large("payload", 0, "out", source, size, payload)
