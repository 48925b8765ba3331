"""Raw socket addresses: struct sockaddr_in and sockaddr_in6 as the kernel reads and writes them.

The datapath never looks inside; this is for the moments when a session is made. Linux's numbers, in the byte order of
this machine for the family and the scope, in the network's for the rest. Source: ip(7), ipv6(7).
"""

from __future__ import annotations

import struct
import sys

from workers.contract.settings import Address
from workers.errors import DecodeError

FAMILY = struct.Struct("=H")
V4 = struct.Struct("!2xH4s8x")
V6 = struct.Struct("!2xHI16s4x")
SCOPE = struct.Struct("=I")
V4_BYTES, V6_BYTES = 16, 28
AF_INET, AF_INET6 = 2, 10
ADDRESS_BYTES = {4: 4, 6: 16}


def encode(address: Address, port: int, scope: int = 0) -> bytes:
    """Return the raw form: 16 bytes for IPv4, 28 for IPv6. scope: the interface index of a link-local address."""
    packed = address.value.to_bytes(ADDRESS_BYTES[address.version], "big")
    if address.version == 4:
        return FAMILY.pack(AF_INET) + V4.pack(port, packed)[2:]
    return FAMILY.pack(AF_INET6) + V6.pack(port, 0, packed)[2:24] + SCOPE.pack(scope)


def decode(raw: bytes) -> tuple[Address, int]:
    """Return address and port; an IPv4-mapped IPv6 address stays IPv6. Raises DecodeError on any other family."""
    family = int.from_bytes(raw[:2], sys.byteorder)
    if family == AF_INET and len(raw) >= V4_BYTES:
        port, packed = V4.unpack_from(raw)
        return Address(4, int.from_bytes(packed, "big")), port
    if family == AF_INET6 and len(raw) >= V6_BYTES:
        port, _, packed = V6.unpack_from(raw)
        return Address(6, int.from_bytes(packed, "big")), port
    raise DecodeError("socket address", 0, f"family {family} in {len(raw)} bytes")


def host(raw: bytes) -> bytes:
    """Return the packed address in a raw socket address: 4 or 16 bytes."""
    return raw[4:8] if len(raw) == V4_BYTES else raw[8:24]


def scope_of(raw: bytes) -> int:
    """Return the interface index of an IPv6 address, 0 for none and for IPv4."""
    return int(SCOPE.unpack_from(raw, 24)[0]) if len(raw) >= V6_BYTES else 0
