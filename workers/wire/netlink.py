"""Netlink messages as bytes: what a route socket is asked, and what it answers. Pure.

Numbers are in the byte order of this machine, addresses in the network's.
Source: netlink(7), rtnetlink(7); linux/netlink.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from workers.errors import DecodeError

ERROR, DONE = 2, 3
NEW_ADDRESS, DELETED_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, GET_ROUTE, NEW_RULE, GET_RULE = 24, 26, 32, 34
INTERRUPTED = 0x10
"""Flag of a part of a dump: what is dumped has changed meanwhile."""

_REQUEST, _DUMP = 0x1, 0x300
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_REST = bytes(15)
"""Enough for the fixed part of every request here: only the family in its first byte counts."""
_DESTINATION = 1
"""The attribute of a route that is its destination."""
_KIND_MASK = 0x3FFF
"""The two highest bits of an attribute's kind are flags."""


class Message(NamedTuple):
    """One message; sequence tells to which request it belongs, 0 for none."""

    kind: int
    flags: int
    sequence: int
    body: bytes


def dump_request(kind: int, family: int, sequence: int, rest: bytes = _REST) -> bytes:
    """Encode the wish for everything of a kind, of one family or all (0).

    rest: what follows the family in the fixed part, where only some of it is wanted.
    """
    body = bytes((family,)) + rest
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | _DUMP, sequence, 0) + body


def route_request(family: int, address: bytes, sequence: int) -> bytes:
    """Encode the question which route an address has."""
    fixed = bytes((family, 8 * len(address))) + bytes(10)
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address), _DESTINATION) + address
    body = fixed + attribute
    return _HEADER.pack(_HEADER.size + len(body), GET_ROUTE, _REQUEST, sequence, 0) + body


def messages(raw: bytes) -> Iterator[Message]:
    """Yield the messages of what was received at once. Raises DecodeError where a length does not fit."""
    offset = 0
    while offset < len(raw):
        if len(raw) - offset < _HEADER.size:
            raise DecodeError("message", offset, f"{len(raw) - offset} bytes are no header")
        length, kind, flags, sequence, _ = _HEADER.unpack_from(raw, offset)
        if not _HEADER.size <= length <= len(raw) - offset:
            raise DecodeError("message length", offset, f"{length} in {len(raw) - offset} bytes")
        yield Message(kind, flags, sequence, raw[offset + _HEADER.size : offset + length])
        offset += length + 3 & ~3


def attributes(body: bytes, start: int) -> dict[int, bytes]:
    """Return the attributes that follow a fixed part of start bytes, by their kind; of equal ones the last.

    Raises DecodeError where a length does not fit.
    """
    found: dict[int, bytes] = {}
    offset = start
    while offset < len(body):
        if len(body) - offset < _ATTRIBUTE.size:
            raise DecodeError("attribute", offset, f"{len(body) - offset} bytes are no header")
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if not _ATTRIBUTE.size <= length <= len(body) - offset:
            raise DecodeError("attribute length", offset, f"{length} in {len(body) - offset} bytes")
        found[kind & _KIND_MASK] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3
    return found
