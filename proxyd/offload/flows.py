"""What the program's tables say of a session: both its directions, readdressed. Pure.

A session is carried where its client and its server are both on other machines, or both on this one, and of one IP
version: between here and elsewhere the kernel would take its own address for a forged one.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Protocol

from proxyd.offload.program import FLOW
from proxyd.offload.ways import Way
from workers.wire.sockaddr import V4_BYTES, host

_INTERFACE = struct.Struct("=I")
_STAYS = 0


class Offer(NamedTuple):
    """A session that a worker would have carried: its place, and which of the slot's sessions it is."""

    worker: int
    slot: int
    epoch: int


class Ends(NamedTuple):
    """The four raw addresses of a session: client, what it wrote to, our own towards the server, the server.

    ttl: the time to live of what leaves to the server.
    """

    client: bytes
    destination: bytes
    local: bytes
    server: bytes
    ttl: int

    @property
    def version(self) -> int:
        """The IP version of all four, 0 where they differ."""
        if len({len(raw) for raw in self[:4]}) > 1:
            return 0
        return 4 if len(self.client) == V4_BYTES else 6


class Entry(NamedTuple):
    """One entry of the table of flows."""

    key: bytes
    value: bytes


class Routes(Protocol):
    """Who knows ways."""

    def to(self, address: bytes) -> Way | None:
        """Return the way to a packed address."""
        ...


def entries(offer: Offer, ends: Ends, routes: Routes) -> tuple[Entry, Entry] | None:
    """Return both directions of a session, None where the kernel cannot carry it."""
    client, server = routes.to(host(ends.client)), routes.to(host(ends.server))
    ours = [routes.to(host(raw)) for raw in (ends.destination, ends.local)]
    if not ends.version or client is None or server is None or client.local is not server.local:
        return None
    if not all(way is not None and way.local for way in ours):
        return None
    there, back = (ends.client, ends.destination), (ends.server, ends.local)
    return (
        Entry(_key(*there, client), _value(offer, 0, ends.ttl, server) + _addresses(ends.local, ends.server)),
        Entry(_key(*back, server), _value(offer, 1, ends.ttl, client) + _addresses(ends.destination, ends.client)),
    )


def _key(source: bytes, destination: bytes, way: Way) -> bytes:
    return _addresses(source, destination) + _INTERFACE.pack(way.interface)


def _value(offer: Offer, direction: int, ttl: int, way: Way) -> bytes:
    leave_by = _STAYS if way.local else way.interface
    return FLOW.pack(offer.worker, offer.slot, offer.epoch, direction, leave_by, way.longest, ttl)


def _addresses(source: bytes, destination: bytes) -> bytes:
    return host(source) + host(destination) + source[2:4] + destination[2:4]
