"""One session: what is known of it while it lives, its budgets and its deadline. Arithmetic only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from workers.contract.settings import AclSettings, Limits
from workers.contract.slots import CloseReason
from workers.deadlines import NEVER

FlowKey: TypeAlias = int | bytes
"""What finds a client's session on a listener: made from raw socket addresses (workers.net.transport)."""

UNLIMITED = (1 << 60) - 1
"""A budget nothing uses up; the largest integer of two digits, so that arithmetic on it stays fast."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What every session of a rule shares: its limits as numbers without None, compiled once.

    connected: only the target's own address and port can answer, so that the kernel sorts the rest out.
    answers: what the server sends goes to the client; otherwise it ends the session.
    shortest_ns: no session ends by time before it has lasted this long.
    """

    rule: AclSettings
    connected: bool
    answers: bool
    dgrams_out: int
    dgrams_in: int
    bytes_out: int
    bytes_in: int
    session_ns: int
    in_ns: int
    out_ns: int
    both_ns: int
    shortest_ns: int

    @classmethod
    def of(cls, rule: AclSettings, *, connected: bool, answers: bool) -> Terms:
        """Compile a rule; limits on what never comes in are ignored, as the configuration's check has warned."""
        limits = rule.limits if answers else _without_in(rule.limits)
        session_ns, in_ns, out_ns, both_ns = (
            NEVER if ns is None else ns for ns in (limits.session_ns, limits.in_ns, limits.out_ns, limits.both_ns)
        )
        dgrams_out, dgrams_in, bytes_out, bytes_in = (
            UNLIMITED if amount is None else amount
            for amount in (limits.max_dgrams_out, limits.max_dgrams_in, limits.max_bytes_out, limits.max_bytes_in)
        )
        return cls(
            rule,
            connected,
            answers,
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


class Session:
    """A client's session. Instants are monotonic nanoseconds; what is `left` counts down from the rule's budgets.

    Whoever makes it says whose it is: listener, key, and the raw socket addresses client, destination (where it wrote)
    and target (where its datagrams go). slot, track: its number in shared memory, and in the log.
    check_ns: no deadline can have passed before; whoever comes later asks (`deadline`).
    closing: why it ends as soon as what was passed is sent; None while it goes on.
    The caller's own: sock and fd, the server side; client_at, where the client's address lies in shared memory;
    reply_control, control data that sets the source of answers, empty where the listener's own address is right;
    deep: many datagrams wait in the socket at once, and it delivers trains; trains: trains may be sent.
    """

    __slots__ = (
        "bytes_in_left",
        "bytes_out_left",
        "check_ns",
        "client",
        "client_at",
        "closing",
        "connected",
        "deep",
        "destination",
        "dgrams_in_left",
        "dgrams_out_left",
        "fd",
        "key",
        "last_in_ns",
        "last_out_ns",
        "listener",
        "opened_ns",
        "reply_control",
        "slot",
        "sock",
        "target",
        "terms",
        "tick",
        "track",
        "trains",
        "wasted_in",
        "wasted_out",
    )

    fd: int
    client_at: int

    listener: int
    key: FlowKey
    client: bytes
    destination: bytes
    target: bytes

    def __init__(self, terms: Terms, now_ns: int, slot: int, track: int) -> None:
        self.terms = terms
        self.connected = terms.connected
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
        self.reply_control = b""
        self.sock: Any = None
        self.trains = True
        self.deep = False

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
