"""One session: what is known of it while it lives, its budgets and its deadline. Arithmetic only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from workers.contract.settings import AclSettings, Limits, SessionKind
from workers.contract.slots import CloseReason, DropReason
from workers.deadlines import NEVER
from workers.session.kinds import BEHAVIOURS, Behaviour
from workers.stats import RuleTally

FlowKey: TypeAlias = int | bytes
"""What finds a client's session on a listener: made from raw socket addresses (workers.net.transport)."""

UNLIMITED = (1 << 60) - 1
"""A budget nothing uses up; the largest integer of two digits, so that arithmetic on it stays fast."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What every session of a rule shares: its limits as numbers without None, compiled once.

    simple: from the first datagram on there is nothing to do but to count: the kernel knows the session's server, and
    no queue holds a rate. shaped: one does. plain: it is found by its client alone, and never by its server side.
    bare: its socket has neither options nor an address of its own. ordinary: simple, plain and bare.
    shortest_ns: no session ends by time before it has lasted this long. tally: what the rule has decided so far.
    """

    rule: AclSettings
    behaviour: Behaviour
    simple: bool
    shaped: bool
    plain: bool
    bare: bool
    ordinary: bool
    dgrams_out: int
    dgrams_in: int
    bytes_out: int
    bytes_in: int
    session_ns: int
    in_ns: int
    out_ns: int
    both_ns: int
    shortest_ns: int
    tally: RuleTally = field(default_factory=RuleTally, compare=False)

    @classmethod
    def of(cls, rule: AclSettings, *, shaped: bool = False) -> Terms:
        """Compile a rule; limits on what never comes in are ignored, as the configuration's check has warned.

        shaped: one of its queues has a rate.
        """
        behaviour = BEHAVIOURS[rule.kind]
        limits = rule.limits if behaviour.answers else _without_in(rule.limits)
        session_ns, in_ns, out_ns, both_ns = (
            NEVER if ns is None else ns for ns in (limits.session_ns, limits.in_ns, limits.out_ns, limits.both_ns)
        )
        dgrams_out, dgrams_in, bytes_out, bytes_in = (
            UNLIMITED if amount is None else amount
            for amount in (limits.max_dgrams_out, limits.max_dgrams_in, limits.max_bytes_out, limits.max_bytes_in)
        )
        simple, plain = behaviour.connected and not shaped, behaviour.connected and rule.source_port is None
        special = (
            rule.source_address,
            rule.queue_to_client,
            rule.queue_to_server,
            rule.tos_to_client,
            rule.tos_to_server,
        )
        bare = rule.kind is not SessionKind.BROADCAST and all(value is None for value in special)
        return cls(
            rule,
            behaviour,
            simple,
            shaped,
            plain,
            bare,
            simple and plain and bare,
            dgrams_out,
            dgrams_in,
            bytes_out,
            bytes_in,
            session_ns,
            in_ns,
            out_ns,
            both_ns,
            min(session_ns, in_ns, out_ns, both_ns),
        )


def _without_in(limits: Limits) -> Limits:
    return Limits(
        max_dgrams_out=limits.max_dgrams_out,
        max_bytes_out=limits.max_bytes_out,
        session_ns=limits.session_ns,
        out_ns=limits.out_ns,
        both_ns=limits.both_ns,
    )


class Grant(NamedTuple):
    """What the rules say of a session that wants to begin: the rule that decided, None for none.

    refusal: why there is no session, or None and then terms and target.
    user: who sits at the client's address, as rules name him. client_name, server_name: the names of the peers, as far
    as they are known; for the log.
    """

    rule: AclSettings | None
    refusal: DropReason | None
    terms: Terms | None = None
    target: bytes = b""
    user: str | None = None
    client_name: str | None = None
    server_name: str | None = None


class Traits(NamedTuple):
    """What of a datagram matters to the rules beside its addresses.

    transparent: it was not sent to an address of ours, nor to a broadcast address of the client's own network.
    tos: its type-of-service byte.
    """

    transparent: bool = False
    tos: int = 0


PLAIN = Traits()


class Trail:
    """By what else than its client's key a session is found (workers.session.trails), None: not by that.

    alias: another key on its listener. echo: its own datagrams as they come back. local: the raw address its server
    side is bound to, where its server's datagrams may arrive elsewhere than on a socket of its own.
    fixed: its server has answered, and nobody else counts any more.
    The caller's own: settled_ns, from when on nothing but that server's datagrams can come to its socket.
    """

    __slots__ = ("alias", "echo", "fixed", "local", "settled_ns")

    def __init__(self) -> None:
        self.alias: FlowKey | None = None
        self.echo: bytes | None = None
        self.local: bytes | None = None
        self.fixed = False
        self.settled_ns = NEVER


@dataclass(slots=True)
class Carriage:
    """The kernel's part in a session (workers.offload).

    epoch: under which it may pass datagrams, 0: it cannot carry this one for now. limited: the session has data limits.
    moved_ns: when it last passed more than before, or was found not to.
    """

    epoch: int
    limited: bool
    moved_ns: int = 0


class Session:
    """A client's session. Instants are monotonic nanoseconds; what is `left` counts down from the rule's budgets.

    Whoever makes it says whose it is: listener, key, and the raw socket addresses client, destination (where it wrote)
    and target (where its datagrams go); transparent: the destination was not one of ours; grant: what the rules said.
    slot, track: its number in shared memory, and in the log.
    simple: there is nothing to do for a datagram but to count; connected: its socket has its target as its peer.
    trail: None for a session that is found by its client alone.
    check_ns: no deadline can have passed before; whoever comes later asks (`deadline`).
    closing: why it ends as soon as what was passed is sent; None while it goes on.
    The caller's own: sock, the server side; client_at, where the client's address lies in shared memory;
    reply_control, control data that sets the source of answers, empty where the listener's own address is right;
    carriage, the kernel's part in it, None where it has none;
    deep: how many reads are in store for a socket in which many datagrams wait at once, 0 for every other one;
    stretched: its socket was changed for that, and can serve no other session; trains: trains may be sent.
    """

    __slots__ = (
        "bytes_in_left",
        "bytes_out_left",
        "carriage",
        "check_ns",
        "client",
        "client_at",
        "closing",
        "connected",
        "deep",
        "destination",
        "dgrams_in_left",
        "dgrams_out_left",
        "grant",
        "key",
        "last_in_ns",
        "last_out_ns",
        "listener",
        "opened_ns",
        "reply_control",
        "simple",
        "slot",
        "sock",
        "stretched",
        "target",
        "terms",
        "tick",
        "track",
        "trail",
        "trains",
        "transparent",
        "wasted_in",
        "wasted_out",
    )

    client_at: int

    listener: int
    key: FlowKey
    client: bytes
    destination: bytes
    target: bytes
    transparent: bool
    grant: Grant

    def __init__(self, terms: Terms, now_ns: int, slot: int, track: int) -> None:
        self.terms = terms
        self.simple = terms.simple
        self.connected = terms.behaviour.connected
        self.trail: Trail | None = None if terms.plain else Trail()
        self.opened_ns = self.last_in_ns = self.last_out_ns = now_ns
        self.check_ns = now_ns + terms.shortest_ns
        self.dgrams_out_left = terms.dgrams_out
        self.dgrams_in_left = terms.dgrams_in
        self.bytes_out_left = terms.bytes_out
        self.bytes_in_left = terms.bytes_in
        self.slot = slot
        self.track = track
        self.wasted_out = self.wasted_in = self.tick = 0
        self.closing: CloseReason | None = None
        self.carriage: Carriage | None = None
        self.reply_control = b""
        self.sock: Any = None
        self.trains = True
        self.deep = 0
        self.stretched = False

    def renew(self, now_ns: int, check_ns: int) -> None:
        """Make a session that is over and that nobody has any more a new one of the same terms, in the same slot.

        It was simple, without a trail, and without a deadline so far (SessionTable). Whose it is, its track and what it
        may send yet are the caller's to say. check_ns: when it is now as far as its terms say, for all alike.
        """
        terms = self.terms
        self.opened_ns = self.last_in_ns = self.last_out_ns = now_ns
        self.check_ns = check_ns
        self.dgrams_in_left = terms.dgrams_in
        self.bytes_in_left = terms.bytes_in
        self.wasted_out = self.wasted_in = 0
        self.closing = None
        self.reply_control = b""
        self.trains = True
        self.deep = 0
        self.stretched = False

    @property
    def fixed(self) -> bool:
        """Whether its server has answered and nobody else counts any more, in a kind of session where that is open."""
        return self.trail is not None and self.trail.fixed

    def face(self, source: bytes) -> bytes:
        """Return the raw address the client is to see an answer come from, which source sent (K-33, K-37 to K-44).

        A client of another IP version cannot see its server's own address.
        """
        destination = self.destination
        if self.terms.behaviour.genuine[self.transparent] and source[:2] == destination[:2]:
            return source[:2] + destination[2:4] + source[4:]
        return destination

    @property
    def bytes_out(self) -> int:
        """Payload bytes passed from the client to the server."""
        return self.terms.bytes_out - self.bytes_out_left

    @property
    def bytes_in(self) -> int:
        """Payload bytes passed from the server to the client."""
        return self.terms.bytes_in - self.bytes_in_left

    @property
    def dgrams_out(self) -> int:
        """Datagrams passed from the client to the server."""
        return self.terms.dgrams_out - self.dgrams_out_left

    @property
    def dgrams_in(self) -> int:
        """Datagrams passed from the server to the client."""
        return self.terms.dgrams_in - self.dgrams_in_left

    def deadline(self) -> tuple[int, CloseReason]:
        """Return when the session's time is up, and by which limit; NEVER or later if it has none."""
        terms = self.terms
        return min(
            (self.opened_ns + terms.session_ns, CloseReason.TIMEOUT_SESSION),
            (self.last_in_ns + terms.in_ns, CloseReason.TIMEOUT_IN),
            (self.last_out_ns + terms.out_ns, CloseReason.TIMEOUT_OUT),
            (max(self.last_in_ns, self.last_out_ns) + terms.both_ns, CloseReason.TIMEOUT_BOTH),
        )

    def reached(self) -> bool:
        """Tell whether both datagram limits are configured and used up, which ends a session (K-68)."""
        return self.dgrams_out_left == 0 and self.dgrams_in_left == 0
