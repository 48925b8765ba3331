"""What parent and children say to each other: typed, bounded, one message a datagram of the channel.

A child's word is untrusted input for the parent: everything is decoded with its type and its bounds checked.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

MAX_MESSAGE_BYTES = 60_000
MAX_BATCH_RECORDS = 512


class LogRecord(msgspec.Struct, frozen=True, array_like=True):
    """One event of workers.contract.catalogue: its name, the session's track number (0: none), its fields in order.

    A field is text, a number, the raw bytes of a socket address (struct sockaddr_in or sockaddr_in6), or None.
    Its type is checked by workers.contract.channel: the decoder knows no union of text and bytes.
    """

    event: str
    track: int
    fields: tuple[Any, ...]


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
    """The current addresses of configuration names, (version, value) pairs; a name not listed has none."""

    addresses: dict[str, list[tuple[int, bytes]]]


NO_NAMES = Names({})
"""What a configuration without host names has."""

FromChild: TypeAlias = LogBatch | Ready | Failed | Names
ToChild: TypeAlias = Names
