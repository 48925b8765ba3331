"""Control data of datagrams: packet information, train size, queue overflow, time to live, type of service.

Pure decoding and encoding of bytes.

Source: cmsg(3), ip(7), ipv6(7), udp(7), socket(7); struct layouts of 64-bit Linux.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from workers.errors import DecodeError

SOL_SOCKET, IPPROTO_IP, IPPROTO_UDP, IPPROTO_IPV6 = 1, 0, 17, 41
SO_RXQ_OVFL, IP_PKTINFO, IPV6_PKTINFO, UDP_SEGMENT, UDP_GRO = 40, 8, 50, 103, 104

_HEADER = struct.Struct("=QII")
_PKTINFO4 = struct.Struct("=I4s4s")
_PKTINFO6 = struct.Struct("=16sI")
_TRAIN = struct.Struct("=i")
_OVERFLOW = struct.Struct("=I")
_SEGMENT = struct.Struct("=H")
_INT = struct.Struct("=i")

USUAL_ITEMS: dict[int, tuple[tuple[int, int, int], ...]] = {
    4: ((IPPROTO_IP, IP_PKTINFO, 12), (IPPROTO_IP, 12, 4), (IPPROTO_IP, 13, 1)),
    6: ((IPPROTO_IPV6, 49, 20), (IPPROTO_IPV6, 66, 4)),
}
"""Options that make every datagram carry an item, and how many bytes it has: packet information, time to live, type of
service, by IP version. The kernel puts them in this order, behind the train's."""


class PacketInfo(NamedTuple):
    """Where a datagram arrived. destination: as its sender wrote it; local: our own address that answers it."""

    interface: int
    local: bytes
    destination: bytes


class Control(NamedTuple):
    """What is known of one received datagram, or train of datagrams of train_bytes each; 0 and None: nothing.

    overflow: datagrams the socket's queue has lost so far, modulo 2**32. ttl: its time to live. tos: its type of
    service, or traffic class.
    """

    packet: PacketInfo | None = None
    train_bytes: int = 0
    overflow: int | None = None
    ttl: int | None = None
    tos: int = 0


def split(raw: bytes | memoryview) -> Iterator[tuple[int, int, bytes]]:
    """Yield (level, type, data) of each item. Raises DecodeError where a length does not fit."""
    offset = 0
    while offset + _HEADER.size <= len(raw):
        length, level, kind = _HEADER.unpack_from(raw, offset)
        if length < _HEADER.size or offset + length > len(raw):
            raise DecodeError("control length", offset, f"{length} in {len(raw) - offset} bytes")
        yield level, kind, bytes(raw[offset + _HEADER.size : offset + length])
        offset += (length + 7) & ~7


def decode(items: Iterator[tuple[int, int, bytes]]) -> Control:
    """Gather the items of one datagram; unknown ones are passed over."""
    packet, train, overflow = None, 0, None
    ttl, tos = None, 0
    for level, kind, data in items:
        match level, kind:
            case (0, 8) if len(data) >= _PKTINFO4.size:
                interface, local, destination = _PKTINFO4.unpack_from(data)
                packet = PacketInfo(interface, local, destination)
            case (41, 50) if len(data) >= _PKTINFO6.size:
                destination, interface = _PKTINFO6.unpack_from(data)
                packet = PacketInfo(interface, destination, destination)
            case (17, 104) if len(data) >= _TRAIN.size:
                train = _TRAIN.unpack_from(data)[0]
            case (1, 40) if len(data) >= _OVERFLOW.size:
                overflow = _OVERFLOW.unpack_from(data)[0]
            case (0, 2) if len(data) >= _INT.size:
                ttl = _INT.unpack_from(data)[0]
            case (0, 1) if data:
                tos = data[0]
            case (41, 67) if len(data) >= _INT.size:
                tos = _INT.unpack_from(data)[0]
    return Control(packet, train, overflow, ttl, tos)


def item(level: int, kind: int, data: bytes) -> bytes:
    """Encode one item, padded to the next one."""
    length = _HEADER.size + len(data)
    return (_HEADER.pack(length, level, kind) + data).ljust((length + 7) & ~7, b"\0")


def space(size: int) -> int:
    """Return how many bytes an item of this many bytes takes."""
    return _HEADER.size + (size + 7) // 8 * 8


def reply_from(packet: PacketInfo) -> bytes:
    """Encode control data that makes an answer leave from the address that answers a received datagram."""
    return from_address(packet.local, packet.interface)


def from_address(local: bytes, interface: int) -> bytes:
    """Encode control data that makes a datagram leave from a packed address; only a link-local one has an interface."""
    if len(local) == 4:
        return item(IPPROTO_IP, IP_PKTINFO, _PKTINFO4.pack(0, local, bytes(4)))
    return item(IPPROTO_IPV6, IPV6_PKTINFO, _PKTINFO6.pack(local, interface if is_link_local(local) else 0))


def is_link_local(address: bytes) -> bool:
    """Tell whether a packed address is an IPv6 one that means something on one interface only."""
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


def segment(size: int) -> bytes:
    """Encode control data that makes one message leave as datagrams of size bytes each."""
    return item(IPPROTO_UDP, UDP_SEGMENT, _SEGMENT.pack(size))
