"""What parent and children say to each other: typed, bounded, one message a datagram of the channel.

A child's word is untrusted input for the parent: everything is decoded with its type and its bounds checked.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

MAX_MESSAGE_BYTES = 60_000
MAX_BATCH_RECORDS = 512
MAX_NAME_CHARS = 253
"""Of a host name. Source: RFC 1035 section 2.3.4, written without the final dot."""
MAX_TTL_S = 2**31
LATEST_EPOCH = 2**63 - 1


class LogRecord(msgspec.Struct, frozen=True, array_like=True):
    """One event of workers.contract.catalogue: its name, the session's track number (0: none), its fields in order.

    A field is text, a number, the raw bytes of a socket address (struct sockaddr_in or sockaddr_in6), or None.
    Its type is checked by workers.contract.channel: the decoder knows no union of text and bytes.
    at_ns: when it happened, CLOCK_MONOTONIC, as far as its writer knows; 0: as it is read.
    """

    event: str
    track: int
    fields: tuple[Any, ...]
    at_ns: int = 0


class LogBatch(msgspec.Struct, frozen=True, tag="log", array_like=True):
    """Records in the order they were written, and how many were shed since the last batch."""

    records: list[LogRecord]
    shed: int


class Ready(msgspec.Struct, frozen=True, tag="ready", array_like=True):
    """A child has dropped its privileges, proved it, and serves."""


class Failed(msgspec.Struct, frozen=True, tag="failed", array_like=True):
    """A child cannot start: the step and the reason, for the administrator. Its exit status says the rest."""

    step: str
    reason: str


class Names(msgspec.Struct, frozen=True, tag="names", array_like=True):
    """The current addresses of configuration names, (version, value) pairs; a name not listed has none.

    first, last: whether the table begins and ends with this part of it (workers.contract.naming); whole by default.
    """

    addresses: dict[str, list[tuple[int, bytes]]]
    first: bool = True
    last: bool = True


NO_NAMES = Names({})
"""What a configuration without host names has."""


class Users(msgspec.Struct, frozen=True, tag="users", array_like=True):
    """A part of the table of out-of-band users: (IP version, address, user, groups) entries.

    first: the table begins with it, and what was gathered of another one is void. last: the table ends with it.
    """

    first: bool
    last: bool
    entries: list[tuple[int, bytes, str, list[str]]]


class Lookup(msgspec.Struct, frozen=True, tag="lookup", array_like=True):
    """A worker wants the name of an address; the parent passes it to the resolver.

    worker: whose question it is; the parent believes the channel it came by, not this number.
    """

    worker: int
    version: int
    value: bytes


class Looked(msgspec.Struct, frozen=True, tag="looked", array_like=True):
    """The answer to a Lookup. name: lower case, no trailing dot, confirmed by its addresses; None: there is none.

    ttl_s: how many seconds it may be believed.
    """

    worker: int
    version: int
    value: bytes
    name: str | None
    ttl_s: int


class Moved(msgspec.Struct, frozen=True, tag="moved", array_like=True):
    """The UFTP worker that sees heartbeats has a new downstream address, raw; the parent passes it to the others."""

    downstream: bytes


class Offered(msgspec.Struct, frozen=True, tag="offered", array_like=True):
    """A worker's sessions that the kernel may carry, (slot, epoch) pairs: their records say how much it may pass."""

    sessions: list[tuple[int, int]]


class Withdrawn(msgspec.Struct, frozen=True, tag="withdrawn", array_like=True):
    """The slots of a worker's sessions that the kernel is not to carry any more."""

    slots: list[int]


class Kill(msgspec.Struct, frozen=True, tag="kill", array_like=True):
    """A worker is to end these sessions, (slot, beginning in nanoseconds) pairs; those that are over do not matter."""

    sessions: list[tuple[int, int]]


class Drain(msgspec.Struct, frozen=True, tag="drain", array_like=True):
    """A worker is to begin no session any more."""


class Freeze(msgspec.Struct, frozen=True, tag="freeze", array_like=True):
    """A worker is to leave everything saved for its replacement, ending no session, and to exit with FROZEN."""


class Tap(msgspec.Struct, frozen=True, tag="tap", array_like=True):
    """A worker is to copy a session's datagrams to the lane that comes with the message (workers.contract.tapping).

    It ends with the session, when the lane's other end is gone, or after so many datagrams, bytes of payload or
    nanoseconds. lane: the descriptor, in whichever process the message is; whoever has taken it closes it.
    """

    slot: int
    opened_ns: int
    datagrams: int
    payload_bytes: int
    span_ns: int
    lane: int = -1


class Level(msgspec.Struct, frozen=True, tag="level", array_like=True):
    """A worker's debug log is to have this level."""

    level: int


FromChild: TypeAlias = LogBatch | Ready | Failed | Names | Lookup | Looked | Moved | Offered | Withdrawn
ToChild: TypeAlias = Names | Users | Lookup | Looked | Moved | Kill | Drain | Freeze | Tap | Level
