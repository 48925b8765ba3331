"""Capture files of datagrams that no network interface has seen as they are here: pcapng, for tshark and tcpdump.

Each datagram gets IP and UDP headers made for it, with right checksums, so that one file shows one conversation.
Source: draft-ietf-opsawg-pcapng (blocks and options), LINKTYPE_RAW of tcpdump.org; RFC 791, 768, 8200 (headers).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

LINKTYPE_RAW = 101
INBOUND, OUTBOUND = 1, 2
"""Seen from the proxy: it has received, or sent."""
LONGEST_UDP = 0xFFFF
_SECTION, _INTERFACE, _DATAGRAM, _STATISTICS = 0x0A0D0D0A, 1, 6, 5
_MAGIC, _VERSION, _UNKNOWN_LENGTH = 0x1A2B3C4D, (1, 0), -1
_NAME, _DESCRIPTION, _RESOLUTION, _NANOSECONDS = 2, 3, 9, 9
_FLAGS, _DROPPED = 2, 4
_RECEIVED_IN_ALL, _DROPPED_IN_ALL = 4, 5
_APPLICATION = 4
_UDP = 17
_LIVES = 64


class End(NamedTuple):
    """An address and a port. raw: 4 or 16 bytes."""

    raw: bytes
    port: int


def head(program: str, name: str, description: str) -> bytes:
    """Return what a file begins with: what wrote it, and the one interface it has."""
    section = struct.pack("=IHHq", _MAGIC, *_VERSION, _UNKNOWN_LENGTH) + _options((_APPLICATION, program.encode()))
    about = _options(
        (_NAME, name.encode()), (_DESCRIPTION, description.encode()), (_RESOLUTION, bytes((_NANOSECONDS,)))
    )
    return _block(_SECTION, section) + _block(_INTERFACE, struct.pack("=HHI", LINKTYPE_RAW, 0, 0) + about)


def datagram(source: End, target: End, payload: bytes, at_ns: int, flags: int, lost: int, snap: int) -> bytes:
    """Return a datagram as a block. at_ns: since 1970; flags: INBOUND or OUTBOUND; lost: missing before this one.

    snap: how many bytes of payload are kept, at most; the checksum is that of all.
    """
    headers = _headers(source, target, payload)
    kept = headers + payload[:snap]
    length = len(headers) + len(payload)
    fixed = struct.pack("=IIIII", 0, at_ns >> 32, at_ns & 0xFFFF_FFFF, len(kept), length)
    options = [(_FLAGS, struct.pack("=I", flags))]
    if lost:
        options.append((_DROPPED, struct.pack("=Q", lost)))
    return _block(_DATAGRAM, fixed + _padded(kept) + _options(*options))


def foot(at_ns: int, received: int, lost: int) -> bytes:
    """Return what a complete file ends with: how many datagrams there were, and how many of them are missing."""
    counts = _options((_RECEIVED_IN_ALL, struct.pack("=Q", received)), (_DROPPED_IN_ALL, struct.pack("=Q", lost)))
    return _block(_STATISTICS, struct.pack("=III", 0, at_ns >> 32, at_ns & 0xFFFF_FFFF) + counts)


def _headers(source: End, target: End, payload: bytes) -> bytes:
    length = min(8 + len(payload), LONGEST_UDP)
    udp = struct.pack("!HHHH", source.port, target.port, length, 0)
    pseudo = source.raw + target.raw + struct.pack("!II", _UDP, length)
    checksum = _checksum(pseudo + udp + payload) or 0xFFFF  # 0 would say that there is none
    udp = udp[:6] + checksum.to_bytes(2)
    if len(source.raw) == 16:
        return struct.pack("!IHBB", 6 << 28, length, _UDP, _LIVES) + source.raw + target.raw + udp
    total = min(20 + length, LONGEST_UDP)
    plain = struct.pack("!BBHHHBBH", 0x45, 0, total, 0, 0, _LIVES, _UDP, 0) + source.raw + target.raw
    return plain[:10] + _checksum(plain).to_bytes(2) + plain[12:] + udp


def _checksum(data: bytes) -> int:
    """Return the Internet checksum: as 2**16 is 1 modulo 65535, the sum of all words is the whole number's rest."""
    total = int.from_bytes(data + b"\0" * (len(data) % 2)) % 0xFFFF
    return 0xFFFF - total if total or not any(data) else 0


def _options(*options: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack("=HH", code, len(value)) + _padded(value) for code, value in options) + bytes(4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("=I", 12 + len(body))
    return struct.pack("=I", kind) + length + body + length
