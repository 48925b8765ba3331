"""The captured UFTP sessions of tests/vectors/uftp: read as datagrams, or laid out as files for other tools.

Each archive there holds the captures of one scenario, one file a place in the network; README.md beside them says what
they show. What this reads is what is there: Ethernet, no fragments, no options it would have to know.
"""

from __future__ import annotations

import functools
import struct
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "vectors" / "uftp"
UFTP_PORT = 1044

PCAP_HEADER_BYTES = 24
RECORD = struct.Struct("<IIII")
UDP = struct.Struct("!HHHH")
ETHERNET_BYTES = 14
IPV6_BYTES = 40
PROTOCOL_UDP = 17
FRAGMENT_MASK = 0x3FFF


@dataclass(frozen=True)
class Captured:
    """One datagram as it was on the wire. time_us: since 1970; source, target: address as text, and port."""

    time_us: int
    source: tuple[str, int]
    target: tuple[str, int]
    payload: bytes


def archives() -> list[str]:
    """Return the scenarios, by name."""
    return sorted(path.name.removesuffix(".tar.xz") for path in FOLDER.glob("*.tar.xz"))


@functools.cache
def files(archive: str) -> dict[str, bytes]:
    """Return the captures of a scenario: pcap files, by name without suffix."""
    with tarfile.open(FOLDER / f"{archive}.tar.xz") as tar:
        opened = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name.removesuffix(".pcap"): file.read() for name, file in opened.items() if file is not None}


@functools.cache
def captures() -> dict[str, tuple[Captured, ...]]:
    """Return the datagrams of every capture, by its name (a_plain_lanA…), in the order they were seen."""
    return {name: tuple(_datagrams(raw)) for archive in archives() for name, raw in files(archive).items()}


def lay_out(archive: str, folder: Path) -> dict[str, Path]:
    """Write a scenario's captures into a folder and return where they are, by name."""
    paths = {name: folder / f"{name}.pcap" for name in files(archive)}
    for name, path in paths.items():
        path.write_bytes(files(archive)[name])
    return paths


def _datagrams(raw: bytes) -> Iterator[Captured]:
    offset = PCAP_HEADER_BYTES
    while offset < len(raw):
        seconds, microseconds, size, _ = RECORD.unpack_from(raw, offset)
        offset += RECORD.size
        frame = raw[offset + ETHERNET_BYTES : offset + size]
        offset += size
        found = _udp(frame)
        if found is not None:
            addresses, segment = found
            source, target, length, _ = UDP.unpack_from(segment)
            if UFTP_PORT in (source, target):
                payload = segment[UDP.size : length]
                time_us = seconds * 1_000_000 + microseconds
                yield Captured(time_us, (addresses[0], source), (addresses[1], target), payload)


def _udp(frame: bytes) -> tuple[tuple[str, str], bytes] | None:
    """Return the addresses and the UDP segment of an IP datagram that is neither fragment nor of another protocol."""
    if frame[0] >> 4 == 6:
        if frame[6] != PROTOCOL_UDP:
            return None
        return (str(ip_address(frame[8:24])), str(ip_address(frame[24:40]))), frame[IPV6_BYTES:]
    start, total, fragment = (frame[0] & 0x0F) * 4, int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[6:8], "big")
    if frame[0] >> 4 != 4 or frame[9] != PROTOCOL_UDP or fragment & FRAGMENT_MASK:
        return None
    return (str(ip_address(frame[12:16])), str(ip_address(frame[16:20]))), frame[start:total]
