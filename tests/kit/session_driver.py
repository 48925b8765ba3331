"""A worker's datapath without the network: calls the engine as workers.outbound and workers.inbound do, and keeps
instead of sockets the list of what left. Datagrams say themselves whether they can be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count, takewhile
from typing import NamedTuple

from tests.kit.session_model import Datagram
from tests.kit.session_parts import MONDAY_NOON, PROXY, Diary, Pool, server
from workers.contract.settings import AclSettings, Address
from workers.contract.slots import CloseReason, Counter, DropReason
from workers.policy.hostset import UNASKED
from workers.policy.timecond import CivilTime
from workers.session.admission import Admission, NeedsName
from workers.session.engine import Engine
from workers.session.session import PLAIN, Session, Traits
from workers.session.sources import choose
from workers.stats import Stats


class Arrival(NamedTuple):
    """One slot of a listener's batch: several datagrams are a train."""

    client: bytes
    destination: bytes
    datagrams: tuple[Datagram, ...]


class Leaving(NamedTuple):
    """A datagram that left: to the session's target, or to its client, who sees it come from face."""

    datagram: Datagram
    peer: bytes
    face: bytes = b""


class Driver:
    """One worker. sockets: sessions by their descriptor. have_sockets: whether new sessions get one. rested: how many
    clients' sessions may be opened in one go; if any, sessions are ended in one go, too.

    out, into: what left in each direction. Destinations in the servers' network are not the proxy's own.
    """

    def __init__(
        self,
        rules: Sequence[AclSettings],
        pool: Pool,
        *,
        listeners: int = 1,
        civil_time: Callable[[], CivilTime] = lambda: MONDAY_NOON,
    ) -> None:
        self.diary = Diary()
        self.stats = Stats()
        self.permits, self._words = pool.permits()
        self.names: dict[Address, str | None] = {}
        admission = Admission(tuple(rules), civil_time, reverse=lambda address: self.names.get(address, UNASKED))
        self.engine = Engine(admission, listeners, self.permits, self.diary.journal, self.stats)
        self.sockets: dict[int, Session] = {}
        self.have_sockets = True
        self.rested = 0
        self.out: list[Leaving] = []
        self.into: list[Leaving] = []
        self._fds = count(3)

    @property
    def permits_held(self) -> int:
        """How many permits the worker holds, as shared memory says."""
        return self._words[Counter.PERMITS]

    @property
    def sessions(self) -> list[Session]:
        """All open sessions."""
        return [session for table in self.engine.tables for key, session in table.items() if key == session.key]

    # --- from clients ------------------------------------------------------------------------------------------------

    def hear_clients(self, listener: int, arrivals: Sequence[Arrival], now_ns: int) -> list[Arrival]:
        """Handle one batch of a listener in the way its likes are handled; return it in the order it was handled."""
        order = list(arrivals)
        keys = [(client, destination) for client, destination, _ in order]
        if any(len(datagrams) != 1 for _, _, datagrams in order):
            for arrival in order:
                self._forward(listener, arrival, now_ns)
        elif len(order) > 1 and 2 * len(set(keys)) <= len(order):
            flows: dict[tuple[bytes, bytes], list[Datagram]] = {}
            for client, destination, datagrams in order:
                flows.setdefault((client, destination), []).extend(datagrams)
            order = [Arrival(*key, tuple(run)) for key, run in flows.items()]
            for arrival in order:
                self._forward(listener, arrival, now_ns)
        else:
            self._forward_singles(listener, order, now_ns)
        self.permits.settle()
        return order

    def _forward_singles(self, listener: int, arrivals: list[Arrival], now_ns: int) -> None:
        slot = 0
        while slot < len(arrivals):
            rest = arrivals[slot:]
            keys, sizes = [_key(arrival) for arrival in rest], [arrival.datagrams[0].size for arrival in rest]
            for session in self.engine.pass_known_out(listener, keys, sizes, now_ns):
                self._send_out(session, arrivals[slot].datagrams)
                slot += 1
            if slot == len(arrivals):
                return
            if self.engine.tables[listener].get(_key(arrivals[slot])) is not None:
                self._forward(listener, arrivals[slot], now_ns)
                slot += 1
                continue
            opened = self._forward_firsts(listener, arrivals[slot:], now_ns)
            if not opened:
                self._forward_first(listener, arrivals[slot], now_ns)
            slot += opened or 1

    def _forward_firsts(self, listener: int, arrivals: list[Arrival], now_ns: int) -> int:
        """Open the sessions of unknown clients in one go; return of how many."""
        if arrivals[0].destination != PROXY:
            return 0
        run = list(takewhile(lambda arrival: arrival.destination == PROXY, arrivals))[: self.rested]
        keys, sources = [_key(arrival) for arrival in run], [arrival.client for arrival in run]
        sizes = [arrival.datagrams[0].size for arrival in run]
        sessions = self.engine.admit_each(listener, keys, sources, sizes, PROXY, now_ns)
        ready = sessions if self.have_sockets else []
        for session in ready:
            self._give_socket(session)
        self.engine.begin_each(ready)
        for session, arrival in zip(sessions, run, strict=False):
            size = arrival.datagrams[0].size
            if ready:
                self._send_out(session, arrival.datagrams)
            else:
                self.engine.take_back(session, size)
                self.engine.fail(session, "connect", "Network is unreachable", [size])
        return len(sessions)

    def _forward_first(self, listener: int, arrival: Arrival, now_ns: int) -> None:
        session = self._open(listener, arrival, list(arrival.datagrams), now_ns)
        if session is None:
            return
        if self.engine.first_out(session, arrival.datagrams[0].size, now_ns):
            self._send_out(session, arrival.datagrams)
        if session.closing is not None:
            self.engine.conclude(session, now_ns)
            self._close_ended()

    def _forward(self, listener: int, arrival: Arrival, now_ns: int) -> None:
        engine, key, rest = self.engine, _key(arrival), list(arrival.datagrams)
        while rest:
            session = engine.tables[listener].get(key)
            if session is not None and now_ns >= session.check_ns and engine.lapse(session, now_ns):
                self._close_ended()
                session = None
            if session is None:
                session = self._open(listener, arrival, rest, now_ns)
                if session is None:
                    return
            passed = engine.pass_out(session, [datagram.size for datagram in rest], now_ns)
            self._send_out(session, rest[:passed])
            if session.closing is not None:
                passed += session.closing is not CloseReason.DGRAMS_REACHED
                engine.conclude(session, now_ns)
                self._close_ended()
            del rest[:passed]

    def _open(self, listener: int, arrival: Arrival, run: list[Datagram], now_ns: int) -> Session | None:
        sizes = [datagram.size for datagram in run]
        client, destination, _ = arrival
        traits = Traits(transparent=True) if is_foreign(destination) else PLAIN
        session = self.engine.admit(listener, _key(arrival), client, destination, sizes, now_ns, traits)
        if isinstance(session, NeedsName):
            self.engine.refuse_out(sizes, DropReason.NAME_PENDING)
            return None
        if session is None:
            return None
        if not self.have_sockets:
            self.engine.fail(session, "socket", "Too many open files", sizes)
            return None
        self._give_socket(session)
        source = choose(session.terms.rule, session.client, session.target)
        if source is not None and source.forced:
            self.engine.trails.share(session, source.local)
        self.engine.begin(session)
        return session

    def _give_socket(self, session: Session) -> None:
        session.sock = next(self._fds)
        self.sockets[session.sock] = session

    def _send_out(self, session: Session, datagrams: Iterable[Datagram]) -> None:
        for datagram in datagrams:
            if datagram.fate is None:
                self.out.append(Leaving(datagram, session.target))
            else:
                self.engine.unsent_out(session, [datagram.size], datagram.fate)

    # --- from servers ------------------------------------------------------------------------------------------------

    def hear_singles(self, heard: list[tuple[Session, Datagram]], now_ns: int) -> None:
        """Handle a datagram from each of several sessions' servers."""
        sessions = [session for session, _ in heard]
        aside = self.engine.pass_singles_in(sessions, [datagram.size for _, datagram in heard], now_ns)
        for slot, (session, datagram) in enumerate(heard):
            if slot not in aside:
                self._send_in(session, [datagram])
        self._conclude(sessions, now_ns)

    def hear_runs(self, heard: list[tuple[Session, Sequence[Datagram]]], now_ns: int) -> None:
        """Handle all that waits in several sessions' sockets."""
        passed = [self.engine.pass_in(session, [size for _, size, *_ in run], now_ns) for session, run in heard]
        for (session, run), number in zip(heard, passed, strict=True):
            self._send_in(session, run[:number])
        self._conclude([session for session, _ in heard], now_ns)

    def hear_trains(self, session: Session, trains: Sequence[Sequence[Datagram]], now_ns: int) -> None:
        """Handle one session's trains, all of which can be sent."""
        for train in trains:
            sizes = [datagram.size for datagram in train]
            if session.closing is not None:
                self.engine.refuse_in(session, sizes)
            else:
                self._send_in(session, train[: self.engine.pass_in(session, sizes, now_ns)])
        self._conclude([session], now_ns)

    def hear_strangers(self, session: Session, datagrams: Sequence[Datagram], now_ns: int) -> None:
        """Handle what came to an unconnected socket."""
        passed = []
        for index, datagram in enumerate(datagrams):
            if session.closing is not None:
                self.engine.refuse_in(session, [size for _, size, *_ in datagrams[index:]])
                break
            if self._judge(session, datagram, now_ns):
                passed.append(datagram)
        self._send_in(session, passed)
        self._conclude([session], now_ns)

    def hear_return(self, local: bytes, datagrams: Sequence[Datagram], now_ns: int) -> None:
        """Handle what one server sent to a source that sessions share, or that a listener heard instead of them."""
        session = self.engine.trails.find(local, datagrams[0].source)
        if session is None:
            self.engine.refuse_stray([size for _, size, *_ in datagrams])
        else:
            self.hear_strangers(session, datagrams, now_ns)

    def rest(self) -> None:
        """Let time pass until nobody but the servers that are fixed can be in their sessions' sockets."""
        for session in self.sessions:
            if session.fixed:
                session.connected = session.simple = True

    def _judge(self, session: Session, datagram: Datagram, now_ns: int) -> bool:
        """Decide on a datagram that may be anybody's."""
        fixed = session.fixed
        if not self.engine.judge(session, datagram.source, datagram.size, now_ns):
            return False
        if session.fixed and not fixed:
            self.engine.trails.alias(session, session.client + session.face(datagram.source))
        return self.engine.pass_in(session, [datagram.size], now_ns) == 1

    def _send_in(self, session: Session, datagrams: Iterable[Datagram]) -> None:
        for datagram in datagrams:
            if datagram.fate is None:
                face = session.face(datagram.source or session.target)
                self.into.append(Leaving(datagram, session.client, face))
            else:
                self.engine.unsent_in(session, [datagram.size], datagram.fate)

    # --- ends --------------------------------------------------------------------------------------------------------

    def tend(self, now_ns: int) -> None:
        """Do what is due, as the loop does after each turn."""
        if self.engine.next_deadline_ns() <= now_ns:
            self.engine.expire(now_ns)
            self._close_ended()
        self.permits.settle()
        self.diary.journal.tend(now_ns)

    def stop(self, now_ns: int) -> None:
        """End every session."""
        self.engine.end_all(CloseReason.SHUTDOWN, now_ns)
        self._close_ended()
        self.permits.settle()

    def _conclude(self, sessions: list[Session], now_ns: int) -> None:
        self._close_ended()
        closing = [session for session in sessions if session.closing is not None and session.sock is not None]
        if self.rested:
            self.engine.conclude_each(closing, now_ns)
        else:
            for session in closing:
                self.engine.conclude(session, now_ns)
        self._close_ended()
        self.permits.settle()

    def _close_ended(self) -> None:
        for session in self.engine.ended:
            del self.sockets[session.sock]
            session.sock = None
        self.engine.ended.clear()


def is_foreign(destination: bytes) -> bool:
    """Tell whether a raw address is not one of the proxy's own: it lies in the network of the servers."""
    return destination[4:7] == server()[4:7]


def _key(arrival: Arrival) -> bytes:
    return arrival.client + arrival.destination


def datagrams(*sizes: int, source: bytes = b"") -> tuple[Datagram, ...]:
    """Return datagrams of these sizes that can all be sent."""
    return tuple(Datagram(number, size, None, source) for number, size in enumerate(sizes))


def from_client(client: bytes, *sizes: int) -> Arrival:
    """Return a run of datagrams of one client, to the proxy's own address."""
    return Arrival(client, PROXY, datagrams(*sizes))
