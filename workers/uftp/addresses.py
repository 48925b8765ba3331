"""Multicast addresses of an ANNOUNCE as raw socket addresses, and what kind of address one is.

Raw addresses here are in the family of the proxy's one socket: on an IPv6 socket an IPv4 group is its mapped address.
Source: UFTP 4.10.2, observed; RFC 5771 (224.0.0.0/4, 232.0.0.0/8), RFC 4291 section 2.7.
"""

from __future__ import annotations

from workers.contract.settings import Address
from workers.errors import PeerError
from workers.wire import sockaddr

_PORT = slice(2, 4)
_V4_HOST = slice(4, 8)
_V6_HOST = slice(8, 24)
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_V4_CLASS_BITS, _V4_MULTICAST, _V4_SSM = 4, 0xE, 232
_V6_MULTICAST, _V6_SSM_FLAGS = 0xFF, 0x30
"""4.10.2 takes ff1x, ff2x and ff3x for source-specific; the standard only has ff3x."""


def raw_group(address: bytes, port: int, version: int) -> bytes:
    """Return the raw address of 4 or 16 bytes out of an ANNOUNCE; all zero: b"", there is none.

    version: of the proxy's socket. Raises PeerError: an IPv6 address on an IPv4 socket.
    """
    if not any(address):
        return b""
    if len(address) > 4 and version == 4:
        raise PeerError("an IPv6 group, and this proxy uses IPv4")
    if len(address) == 4 and version == 6:
        address = _MAPPED_PREFIX + address
    return sockaddr.encode(Address(version, int.from_bytes(address)), port)


def host_of(raw: bytes) -> bytes:
    """Return the bytes of a raw address that say which host it is, without its port."""
    return raw[_V6_HOST] if len(raw) >= sockaddr.V6_BYTES else raw[_V4_HOST]


def port_of(raw: bytes) -> bytes:
    """Return the two bytes of a raw address that are its port."""
    return raw[_PORT]


def is_multicast(address: bytes) -> bool:
    """Tell whether an address of 4 or 16 bytes is a multicast group."""
    if len(address) == 4:
        return address[0] >> _V4_CLASS_BITS == _V4_MULTICAST
    return address[0] == _V6_MULTICAST


def is_source_specific(address: bytes) -> bool:
    """Tell whether an address of 4 or 16 bytes is one that can be joined for single sources only."""
    if len(address) == 4:
        return address[0] == _V4_SSM
    return address[0] == _V6_MULTICAST and bool(address[1] & _V6_SSM_FLAGS)
