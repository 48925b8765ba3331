"""What the requirements say of sessions, written datagram by datagram and as plainly as possible: no budgets, no ticks,
no batches, no caches. Slow on purpose; the engine is compared with it (tests/property/test_engine.py).

One liberty, which is the datapath's: datagrams of one flow that arrive together are decided on before the first of them
is sent, so a send that fails gives its datagram back only then.
Source: udp-proxy(8); K-15 to K-55, K-63 to K-87.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from workers.contract.settings import AclSettings, SessionKind, SourcePortMode
from workers.contract.slots import CloseReason, DropReason


class Datagram(NamedTuple):
    """number: which one it is. fate: why it cannot be sent if it passes; None: it can. source: who sends it."""

    number: int
    size: int
    fate: DropReason | None = None
    source: bytes = b""


class Key(NamedTuple):
    """Whose session it is (K-23)."""

    worker: int
    listener: int
    client: bytes
    destination: bytes


class Choice(NamedTuple):
    """What the rules say: a refusal, or a rule and its target; transparent: the destination is not the proxy's own."""

    refusal: DropReason | None
    rule: AclSettings | None = None
    target: bytes = b""
    transparent: bool = False


class Sent(NamedTuple):
    """A datagram that left: its number, whom it went to, and whom it seems to come from (out: the proxy, b"")."""

    number: int
    to: bytes
    seems_from: bytes = b""


class End(NamedTuple):
    """The record of a session's end: bytes passed in, received out, received in, passed out; time in ns."""

    client: bytes
    target: bytes
    reason: CloseReason
    bytes_cin: int
    bytes_cout: int
    bytes_sin: int
    bytes_sout: int
    duration_ns: int


class Broken(Exception):
    """Sessions exist that should not, or the other way round."""


class _Way:
    """One direction of a session: its limits, what passed, what was received, when the last datagram came."""

    def __init__(self, max_dgrams: int | None, max_bytes: int | None, idle_ns: int | None, now_ns: int) -> None:
        self.max_dgrams, self.max_bytes, self.idle_ns = max_dgrams, max_bytes, idle_ns
        self.last_ns = now_ns
        self.dgrams = self.bytes = self.bytes_received = 0

    @property
    def reached(self) -> bool:
        return self.max_dgrams is not None and self.dgrams == self.max_dgrams

    def count(self, size: int, times: int = 1) -> None:
        self.dgrams += times
        self.bytes += times * size


@dataclass
class ModelSession:
    """One session."""

    key: Key
    target: bytes
    rule: AclSettings
    transparent: bool
    opened_ns: int

    def __post_init__(self) -> None:
        self.kind, self.limits = self.rule.kind, self.rule.limits
        self.fixed = self.kind is SessionKind.NORMAL
        self.alias: Key | None = None
        self.since = 0
        self.local = _forced_source(self.rule, self.key.client)
        limits = self.limits
        self.out = _Way(limits.max_dgrams_out, limits.max_bytes_out, limits.out_ns, self.opened_ns)
        # Nothing is ever passed in, so limits on it mean nothing (2.12, constraint 4).
        into = (
            (None, None, None)
            if self.kind is SessionKind.ONE_WAY
            else (limits.max_dgrams_in, limits.max_bytes_in, limits.in_ns)
        )
        self.into = _Way(*into, self.opened_ns)
        self.closing: CloseReason | None = None

    def expiry(self) -> tuple[int, CloseReason] | None:
        """Return the first time limit that will have passed if nothing comes any more (K-75 to K-81)."""
        last_ns = max(self.out.last_ns, self.into.last_ns)
        possible = (
            (self.limits.session_ns, self.opened_ns, CloseReason.TIMEOUT_SESSION),
            (self.into.idle_ns, self.into.last_ns, CloseReason.TIMEOUT_IN),
            (self.out.idle_ns, self.out.last_ns, CloseReason.TIMEOUT_OUT),
            (self.limits.both_ns, last_ns, CloseReason.TIMEOUT_BOTH),
        )
        return min(((since + limit, reason) for limit, since, reason in possible if limit is not None), default=None)

    def listens_to(self, source: bytes) -> int:
        """Tell whether a datagram from source is its server's: 3 its one sock, 2 its host, 1 anybody will do, 0 no."""
        if self.fixed:
            return 3 if source == self.target else 0
        # The port is bytes 2 and 3 of a raw socket address.
        if source[4:] == self.target[4:]:
            return 2
        return 0 if self.kind in (SessionKind.ONE_WAY, SessionKind.ANY_PORT) else 1

    def face(self, source: bytes) -> bytes:
        """Return what sock the client sees an answer come from (K-33, K-37, K-40, K-44)."""
        destination = self.key.destination
        genuine = self.kind is SessionKind.BROADCAST or (self.kind is SessionKind.ANY_SOCK and self.transparent)
        return source[:2] + destination[2:4] + source[4:] if genuine else destination

    def expired(self, now_ns: int) -> bool:
        """Tell whether a time limit has passed; at the very instant it has."""
        expiry = self.expiry()
        return expiry is not None and expiry[0] <= now_ns

    def take(self, way: _Way, size: int, now_ns: int) -> bool:
        """Receive a datagram in one direction; tell whether it passes (K-63 to K-74)."""
        way.last_ns = now_ns
        way.bytes_received += size
        out = way is self.out
        if way.reached:
            self.closing = CloseReason.DGRAMS_OUT if out else CloseReason.DGRAMS_IN
            return False
        if way.max_bytes is not None and way.bytes + size > way.max_bytes:
            self.closing = CloseReason.BYTES_OUT if out else CloseReason.BYTES_IN
            return False
        way.count(size)
        if self.out.reached and self.into.reached:
            self.closing = CloseReason.DGRAMS_REACHED
        return True

    def give_back(self, way: _Way, size: int) -> None:
        """Take back a datagram that passed and was not sent: only what is really passed counts (K-73)."""
        way.count(size, -1)
        if self.closing is CloseReason.DGRAMS_REACHED and not (self.out.reached and self.into.reached):
            self.closing = None


class SessionModel:
    """All sessions of a proxy, whatever worker has them.

    choose: what the rules say on a client and the destination it wrote. aliases: sessions by the addresses their
    servers really have (K-41). sent: the datagrams that left, by worker and direction. received, drops: counted by
    worker and direction, and reason. ends, starts: since last asked.
    """

    def __init__(self, capacity: int, choose: Callable[[bytes, bytes], Choice]) -> None:
        self.capacity = capacity
        self.choose = choose
        self.sessions: dict[Key, ModelSession] = {}
        self.aliases: dict[Key, ModelSession] = {}
        self.sent: dict[tuple[int, str], list[Sent]] = {}
        self.received: Counter[tuple[int, str]] = Counter()
        self.drops: Counter[tuple[int, str, DropReason]] = Counter()
        self.starts: list[tuple[bytes, bytes]] = []
        self.ends: list[End] = []
        self._settled = 0

    # --- datagrams ---------------------------------------------------------------------------------------------------

    def client_run(self, key: Key, datagrams: Sequence[Datagram], now_ns: int, *, sockets: bool = True) -> None:
        """Let datagrams of one client arrive. sockets: whether a new session gets its socket."""
        rest = list(datagrams)
        self.received[key.worker, "out"] += len(rest)
        while rest:
            session = self._alive(key, now_ns)
            if session is None:
                session = self._open(key, rest, now_ns, sockets=sockets)
            if session is None:
                return
            passed = []
            while rest and session.closing is None:
                datagram = rest.pop(0)
                if session.take(session.out, datagram.size, now_ns):
                    passed.append(datagram)
                else:
                    self._drop(key, "out", DropReason.LIMIT)
            self._deliver(session, "out", [(datagram, b"") for datagram in passed])
            self._conclude(session, now_ns)

    def find_return(self, worker: int, local: bytes, source: bytes) -> ModelSession | None:
        """Return whose datagram it is that came to a source the proxy uses for clients: the newest of those that fit
        best (K-24)."""
        fitting = [
            (session.listens_to(source), session.since, session)
            for session in self.sessions.values()
            if session.key.worker == worker and session.local == local and session.listens_to(source)
        ]
        return max(fitting, key=lambda entry: entry[:2])[2] if fitting else None

    def stray(self, worker: int, datagrams: Sequence[Datagram]) -> None:
        """Let datagrams of a server arrive that belong to no session (K-25)."""
        self.received[worker, "in"] += len(datagrams)
        self.drops[worker, "in", DropReason.NO_SESSION] += len(datagrams)

    def server_run(self, key: Key, datagrams: Sequence[Datagram], now_ns: int) -> None:
        """Let datagrams arrive on the server-side socket of a session, which may be over."""
        self.received[key.worker, "in"] += len(datagrams)
        session = self._alive(key, now_ns)
        passed = []
        for datagram in datagrams:
            if session is None:
                self._drop(key, "in", DropReason.EXPIRED)
            elif session.closing is not None:
                session.into.bytes_received += datagram.size
                self._drop(key, "in", DropReason.NO_SESSION)
            elif self._answers(session, datagram) and session.take(session.into, datagram.size, now_ns):
                passed.append((datagram, session.face(datagram.source)))
            elif session.closing is not CloseReason.ONE_WAY_REPLY and session.closing is not None:
                self._drop(key, "in", DropReason.LIMIT)
        if session is not None:
            self._deliver(session, "in", passed)
            self._conclude(session, now_ns)

    def _answers(self, session: ModelSession, datagram: Datagram) -> bool:
        """Tell whether a datagram is its server's and its client's; otherwise drop it (K-28 to K-47)."""
        expected = session.listens_to(datagram.source) > 0
        if expected and session.kind is not SessionKind.ONE_WAY:
            self._fix(session, datagram.source)
            return True
        session.into.bytes_received += datagram.size
        if expected:
            session.closing = CloseReason.ONE_WAY_REPLY
            self._drop(session.key, "in", DropReason.ONE_WAY)
        else:
            self._drop(session.key, "in", DropReason.WRONG_SOURCE)
        return False

    def _fix(self, session: ModelSession, source: bytes) -> None:
        """Take the first server that answers for the only one, where that is the kind's way (K-36, K-39, K-41)."""
        if session.fixed or session.kind not in (SessionKind.ANY_PORT, SessionKind.ANY_SOCK):
            return
        session.fixed, session.target = True, source
        self._settle(session)
        alias = session.key._replace(destination=session.face(source))
        if alias not in self.sessions and alias not in self.aliases:
            session.alias = alias
            self.aliases[alias] = session

    # --- time --------------------------------------------------------------------------------------------------------

    def reconcile(self, worker: int, kept: set[Key], now_ns: int, late_ns: int) -> None:
        """Learn which sessions a worker still has after it looked for expired ones.

        Raises Broken if one is gone before its time or still there late_ns after it.
        """
        for key, session in list(self.sessions.items()):
            if key.worker != worker:
                continue
            expiry = session.expiry()
            if key not in kept:
                if expiry is None or expiry[0] > now_ns:
                    raise Broken(f"{session} is gone before its time")
                self._end(session, expiry[1], now_ns)
            elif expiry is not None and expiry[0] + late_ns <= now_ns:
                raise Broken(f"{session} is still there")

    def end_all(self, worker: int, now_ns: int) -> None:
        """End all of a worker's sessions because it stops."""
        for session in [session for key, session in self.sessions.items() if key.worker == worker]:
            self._end(session, CloseReason.SHUTDOWN, now_ns)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _alive(self, key: Key, now_ns: int) -> ModelSession | None:
        """Return the session; one whose time is up is gone even if nobody has noticed yet (K-82)."""
        session = self.sessions.get(key) or self.aliases.get(key)
        if session is not None and session.expired(now_ns):
            expiry = session.expiry()
            if expiry is not None:
                self._end(session, expiry[1], now_ns)
            return None
        return session

    def _open(self, key: Key, rest: list[Datagram], now_ns: int, *, sockets: bool) -> ModelSession | None:
        refusal, rule, target, transparent = self.choose(key.client, key.destination)
        if refusal is None and len(self.sessions) >= self.capacity:
            refusal = DropReason.TABLE_FULL
        if refusal is None and not sockets:
            refusal = DropReason.SETUP
            size = sum(datagram.size for datagram in rest)
            self.ends.append(End(key.client, target, CloseReason.FAILURE, 0, size, 0, 0, 0))
        if refusal is not None or rule is None:
            for _ in rest:
                self._drop(key, "out", DropReason.REJECTED if refusal is None else refusal)
            return None
        session = ModelSession(key, target, rule, transparent, now_ns)
        self.sessions[key] = session
        self._settle(session)
        self.starts.append((key.client, target))
        return session

    def _settle(self, session: ModelSession) -> None:
        """Note that a session has begun to expect its server, or has found it: the last to do so gets the answers."""
        self._settled += 1
        session.since = self._settled

    def _deliver(self, session: ModelSession, direction: str, passed: list[tuple[Datagram, bytes]]) -> None:
        way, to = (session.out, session.target) if direction == "out" else (session.into, session.key.client)
        for datagram, face in passed:
            if datagram.fate is None:
                sent = Sent(datagram.number, to, face)
                self.sent.setdefault((session.key.worker, direction), []).append(sent)
            else:
                session.give_back(way, datagram.size)
                self._drop(session.key, direction, datagram.fate)

    def _drop(self, key: Key, direction: str, reason: DropReason) -> None:
        self.drops[key.worker, direction, reason] += 1

    def _conclude(self, session: ModelSession, now_ns: int) -> None:
        if session.closing is not None:
            self._end(session, session.closing, now_ns)

    def _end(self, session: ModelSession, reason: CloseReason, now_ns: int) -> None:
        del self.sessions[session.key]
        if session.alias is not None:
            del self.aliases[session.alias]
        out, into = session.out, session.into
        self.ends.append(
            End(
                session.key.client,
                session.target,
                reason,
                into.bytes,
                out.bytes_received,
                into.bytes_received,
                out.bytes,
                now_ns - session.opened_ns,
            )
        )


def _forced_source(rule: AclSettings, client: bytes) -> bytes | None:
    """Return the sock that a session's datagrams leave from, where the rule forces one (K-54)."""
    if rule.source_port is None:
        return None
    port = client[2:4] if rule.source_port.mode is SourcePortMode.CLIENT else rule.source_port.port.to_bytes(2, "big")
    return client[:2] + port + client[4:]
