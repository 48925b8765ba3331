"""Whom a client has written to: us, somebody else, or everybody on a network. A decision on addresses alone. Sans-I/O.

Source: udp-proxy(8), Broadcasts; K-56 to K-58, K-88 to K-93.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from workers.wire.sockaddr import V4_BYTES

LIMITED = b"\xff\xff\xff\xff"
"""255.255.255.255: everybody on the network it is sent to."""
_NOWHERE = bytes(16)
_MAPPED = bytes(10) + b"\xff\xff"
_GROUPS4, _GROUPS6 = 0xE0, 0xFF
"""The first byte from which on IPv4 addresses, and of which all IPv6 addresses, are no host's: multicast, reserved."""


class Reach(Enum):
    """What a destination is, seen from the interface that it came in by."""

    OWN = 1
    """An address of ours: the session is not transparent."""
    FOREIGN = 2
    """Another host's: transparent."""
    NEAR = 3
    """Everybody on the client's network: not transparent, though we are not all it is for."""
    FAR = 4
    """Everybody on another network that we are connected to: transparent."""
    GROUP = 5
    """A multicast group, or nothing that can be a destination: never ours to take."""

    @property
    def transparent(self) -> bool:
        """Whether a session that begins with it is a transparent one."""
        return self in (Reach.FOREIGN, Reach.FAR)

    @property
    def broadcast(self) -> bool:
        """Whether it is for everybody on a network, so that all our sockets hear it."""
        return self in (Reach.NEAR, Reach.FAR)


class Addresses(Protocol):
    """What is known of this machine's addresses (workers.net.interfaces); all are packed, 4 or 16 bytes."""

    def is_own(self, address: bytes) -> bool:
        """Tell whether it is one of ours."""
        ...

    def broadcast_of(self, address: bytes) -> int | None:
        """Return the interface whose network has this broadcast address, None if none has."""
        ...

    def interface_of(self, address: bytes) -> int | None:
        """Return the interface that has it as its own, None if none has."""
        ...

    def has_broadcast(self, interface: int, address: bytes) -> bool:
        """Tell whether it is the broadcast address of a network on an interface."""
        ...


def reach_of(known: Addresses, interface: int, destination: bytes) -> Reach:
    """Tell what a packed destination is that came in by an interface."""
    if len(destination) != len(LIMITED):
        if destination[0] == _GROUPS6:
            return Reach.GROUP
        return Reach.OWN if known.is_own(destination) else Reach.FOREIGN
    if destination == LIMITED or known.has_broadcast(interface, destination):
        return Reach.NEAR
    if known.broadcast_of(destination) is not None:
        return Reach.FAR
    if destination[0] >= _GROUPS4 or destination == bytes(4):
        return Reach.GROUP
    return Reach.OWN if known.is_own(destination) else Reach.FOREIGN


def can_answer(raw: bytes) -> bool:
    """Tell whether a raw socket address that a datagram came from can be a host's.

    Anybody can write any source. What is sent to an unspecified one comes back to the sender's own machine, and IPv4
    addresses in IPv6 form pass by what is known of IPv4 networks. Neither is on the wire of a host that is set up.
    Source: RFC 6890, 2.2.2 and 2.2.3; RFC 4291, 2.5.2 and 2.5.5.2.
    """
    if len(raw) == V4_BYTES:
        return raw[4] != 0
    host = raw[8:24]
    return host != _NOWHERE and host[:12] != _MAPPED
