"""How a worker tells somebody of a session's datagrams as they pass: the messages on a tap's lane, one way only.

The lane is one end of a pair of connected sockets that the asker has made; the parent hands it on and never sees what
goes through it. A message is a head and what follows it: of BEGUN the session's four addresses, of DATAGRAM the
payload, of ENDED the reason in words. Source: unix(7), SOCK_SEQPACKET.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from workers.errors import ContractError

HEAD = struct.Struct("=BB6xqQ28s")
"""Kind, way; when (CLOCK_MONOTONIC, ns); how many datagrams had no room in the lane so far; the server-side address of
a datagram (raw, zero-padded)."""
ADDRESSES = struct.Struct("=28s28s28s28s")
"""Client, its destination, the session's own address towards the server, the server: raw, zero-padded."""
MAX_BYTES = HEAD.size + 65_535
MOST_DATAGRAMS = 1 << 40
MOST_BYTES = 1 << 40
LONGEST_NS = 86_400_000_000_000
"""A day: no tap runs longer."""


class Kind(IntEnum):
    """What a message is."""

    BEGUN = 1
    DATAGRAM = 2
    ENDED = 3


class Way(IntEnum):
    """Which way a datagram went."""

    OUT = 0
    """From the client to the server."""
    IN = 1


class Message(NamedTuple):
    """A message, taken apart. peer: of a datagram, 28 bytes."""

    kind: Kind
    way: Way
    at_ns: int
    lost: int
    peer: bytes
    body: bytes


def decode(data: bytes) -> Message:
    """Take a message apart. Raises ContractError for what is none."""
    if len(data) < HEAD.size:
        raise ContractError(f"a message of {len(data)} bytes on a tap's lane")
    kind, way, at_ns, lost, peer = HEAD.unpack_from(data)
    try:
        message = Message(Kind(kind), Way(way), at_ns, lost, peer, data[HEAD.size :])
    except ValueError as error:
        raise ContractError(f"on a tap's lane: {error}") from error
    if message.kind is Kind.BEGUN and len(message.body) != ADDRESSES.size:
        raise ContractError("addresses of another length on a tap's lane")
    return message
