"""One session: what is known of it while it lives, its budgets and its deadline. Arithmetic only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from workers.contract.settings import AclSettings, Limits
from workers.contract.slots import CloseReason
from workers.deadlines import NEVER

FlowKey: TypeAlias = int | bytes
"""What finds a client's session on a listener: the raw socket address the kernel gave (see workers.net.arena)."""

UNLIMITED = (1 << 60) - 1
"""A budget nothing uses up; the largest integer of two digits, so that arithmetic on it stays fast."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """A rule's limits as numbers without None, and the shortest time it gives a session."""

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
    def of(cls, limits: Limits) -> Budgets:
        """Compile a rule's limits."""
        session_ns, in_ns, out_ns, both_ns = (
            NEVER if ns is None else ns for ns in (limits.session_ns, limits.in_ns, limits.out_ns, limits.both_ns)
        )
        return cls(
            _amount(limits.max_dgrams_out),
            _amount(limits.max_dgrams_in),
            _amount(limits.max_bytes_out),
            _amount(limits.max_bytes_in),
            session_ns,
            in_ns,
            out_ns,
            both_ns,
            min(session_ns, in_ns, out_ns, both_ns),
        )


def _amount(limit: int | None) -> int:
    return UNLIMITED if limit is None else limit


class Session:
    """A client's session. Instants are monotonic nanoseconds; what is `left` counts down from the rule's budgets.

    track: its number in the log. client, destination, target: raw socket addresses; destination: where it wrote.
    reply_control: control data that sets the source of answers, empty where the listener's own address is right.
    coalesced: its socket delivers trains. trains: trains may be sent to its client and server.
    check_ns: no deadline can have passed before; a datagram that comes later asks (`deadline`).
    closing: why it ends as soon as what was passed is sent; None while it goes on.
    """

    __slots__ = (
        "budgets",
        "bytes_in_left",
        "bytes_out_left",
        "check_ns",
        "client",
        "closing",
        "coalesced",
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
        "rule",
        "slot",
        "sock",
        "target",
        "tick",
        "track",
        "trains",
        "wasted_in",
        "wasted_out",
    )

    def __init__(self, listener: int, key: FlowKey, rule: AclSettings, budgets: Budgets, now_ns: int) -> None:
        self.listener = listener
        self.key = key
        self.rule = rule
        self.budgets = budgets
        self.opened_ns = self.last_in_ns = self.last_out_ns = now_ns
        self.check_ns = now_ns + budgets.shortest_ns
        self.dgrams_out_left = budgets.dgrams_out
        self.dgrams_in_left = budgets.dgrams_in
        self.bytes_out_left = budgets.bytes_out
        self.bytes_in_left = budgets.bytes_in
        self.wasted_out = self.wasted_in = 0
        self.closing: CloseReason | None = None
        self.trains = True
        self.coalesced = False
        self.client = self.destination = self.target = self.reply_control = b""
        self.slot = self.fd = -1
        self.sock: Any = None
        self.tick = self.track = 0

    @property
    def bytes_out(self) -> int:
        """Payload bytes passed from the client to the server."""
        return self.budgets.bytes_out - self.bytes_out_left

    @property
    def bytes_in(self) -> int:
        """Payload bytes passed from the server to the client."""
        return self.budgets.bytes_in - self.bytes_in_left

    @property
    def dgrams_out(self) -> int:
        """Datagrams passed from the client to the server."""
        return self.budgets.dgrams_out - self.dgrams_out_left

    @property
    def dgrams_in(self) -> int:
        """Datagrams passed from the server to the client."""
        return self.budgets.dgrams_in - self.dgrams_in_left

    def deadline(self) -> tuple[int, CloseReason]:
        """Return when the session's time is up, and by which limit; NEVER if it has none."""
        budgets = self.budgets
        return min(
            (self.opened_ns + budgets.session_ns, CloseReason.TIMEOUT_SESSION),
            (self.last_in_ns + budgets.in_ns, CloseReason.TIMEOUT_IN),
            (self.last_out_ns + budgets.out_ns, CloseReason.TIMEOUT_OUT),
            (max(self.last_in_ns, self.last_out_ns) + budgets.both_ns, CloseReason.TIMEOUT_BOTH),
        )

    def reached(self) -> bool:
        """Tell whether both datagram limits are configured and used up, which ends a session (K-68)."""
        return self.dgrams_out_left == 0 and self.dgrams_in_left == 0
