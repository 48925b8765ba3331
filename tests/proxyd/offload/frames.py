"""Ethernet frames made by hand, and what a program makes of them: BPF_PROG_TEST_RUN runs it without any interface.

Checksums are computed here from the whole, not from what has changed. Source: RFC 791, RFC 768, RFC 8200, RFC 1071;
linux/bpf.h, struct __sk_buff and union bpf_attr.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import platform
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pytest

from proxyd.offload import kernel
from proxyd.offload.ebpf import Assembler
from proxyd.offload.errors import OffloadError

LOOPBACK = 1
"""The interface that a frame comes in by unless it is said otherwise: every namespace has it."""
NUMBER = 0x1234
"""The identification of IPv4 that datagrams have here."""
_NO_INTERFACE = 0x7FFF_FFFF
_ENODEV = 19
_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361}
_TEST_RUN = 10
_ATTR = struct.Struct("=IIIIQQIIIIQQIII4x")
_CONTEXT_BYTES, _SEGMENTS, _SEGMENT_BYTES, _MAC_BYTES = 192, 164, 176, 12
_ROOM = 65_536
_libc = ctypes.CDLL(None, use_errno=True)


class Outcome(NamedTuple):
    """What a program said, and the frame as it left it."""

    answer: int
    frame: bytes


@dataclass(frozen=True)
class Datagram:
    """A UDP datagram; what is None is what it should be. mark: the type of service, or the traffic class."""

    source: str
    destination: str
    source_port: int
    destination_port: int
    payload: bytes = b"payload"
    ttl: int = 64
    mark: int = 0
    flow_label: int = 0
    fragment: int = 0
    options: bytes = b""
    protocol: int = 17
    udp_length: int | None = None
    ip_length: int | None = None
    udp_sum: int | None = None
    padding: bytes = b""

    @property
    def version(self) -> int:
        return ipaddress.ip_address(self.source).version

    def frame(self) -> bytes:
        """Return it as an Ethernet frame."""
        source, destination = (ipaddress.ip_address(text).packed for text in (self.source, self.destination))
        body = self._udp(source, destination) + self.payload
        if self.version == 4:
            return bytes(_MAC_BYTES) + b"\x08\x00" + self._header4(source, destination, len(body)) + body + self.padding
        length = len(self.options) + len(body) if self.ip_length is None else self.ip_length
        first = 6 << 28 | self.mark << 20 | self.flow_label
        header = struct.pack("!IHBB", first, length, self.protocol, self.ttl) + source + destination
        return bytes(_MAC_BYTES) + b"\x86\xdd" + header + self.options + body + self.padding

    def leaving(self, source: str, destination: str, source_port: int, destination_port: int, ttl: int) -> Datagram:
        """Return it as the proxy sends it on."""
        ends = {"source": source, "destination": destination, "source_port": source_port}
        return replace(self, **ends, destination_port=destination_port, ttl=ttl, mark=0, flow_label=0, fragment=0)  # type: ignore[arg-type]

    def _udp(self, source: bytes, destination: bytes) -> bytes:
        length = 8 + len(self.payload) if self.udp_length is None else self.udp_length
        ports = struct.pack("!HHH", self.source_port, self.destination_port, length)
        if self.udp_sum is not None:
            return ports + struct.pack("!H", self.udp_sum)
        pseudo = source + destination + struct.pack("!II", length, 17)
        return ports + struct.pack("!H", ones_sum(pseudo + ports + self.payload) or 0xFFFF)

    def _header4(self, source: bytes, destination: bytes, body: int) -> bytes:
        words = 5 + len(self.options) // 4
        length = 4 * words + body if self.ip_length is None else self.ip_length
        start = struct.pack("!BBHHHBB", 0x40 | words, self.mark, length, NUMBER, self.fragment, self.ttl, self.protocol)
        rest = source + destination + self.options
        return start + struct.pack("!H", ones_sum(start + b"\0\0" + rest)) + rest


def renumbered(frame: bytes) -> bytes:
    """Return a frame of IPv4, whose header must be right, with NUMBER as its identification."""
    assert ones_sum(frame[14:34]) == 0
    start, rest = frame[14:18] + struct.pack("!H", NUMBER) + frame[20:24], frame[26:34]
    return frame[:14] + start + struct.pack("!H", ones_sum(start + b"\0\0" + rest)) + rest + frame[34:]


def ones_sum(octets: bytes) -> int:
    """Return the Internet checksum of octets."""
    octets += bytes(len(octets) % 2)
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def run(program: int, frame: bytes, *, interface: int = LOOPBACK, segments: int = 0, segment_bytes: int = 0) -> Outcome:
    """Run a program on a frame. segments, segment_bytes: it is a train."""
    context = bytearray(_CONTEXT_BYTES)
    struct.pack_into("=I", context, 40, interface)
    struct.pack_into("=I", context, _SEGMENTS, segments)
    struct.pack_into("=I", context, _SEGMENT_BYTES, segment_bytes)
    data, out = ctypes.create_string_buffer(frame, len(frame)), ctypes.create_string_buffer(_ROOM)
    given = ctypes.create_string_buffer(bytes(context), len(context))
    places = ctypes.addressof(data), ctypes.addressof(out)
    attr = _ATTR.pack(
        program, 0, len(frame), _ROOM, *places, 1, 0, len(context), 0, ctypes.addressof(given), 0, 0, 0, 0
    )
    held = ctypes.create_string_buffer(attr, len(attr))
    if _libc.syscall(_NUMBERS[platform.machine()], _TEST_RUN, held, len(attr)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    _, answer, _, size, *_ = _ATTR.unpack(held.raw)
    return Outcome(answer - (1 << 32) if answer >> 31 else answer, out.raw[:size])


def links() -> list[int]:
    """Return the interface of every program that this process has attached, 0 for one that is gone."""
    found = []
    for item in Path("/proc/self/fdinfo").iterdir():
        try:
            text = item.read_text()
        except OSError:  # that of the directory itself
            continue
        if "link_type:\ttcx" in text and (index := re.search(r"^ifindex:\t(\d+)", text, re.M)) is not None:
            found.append(int(index[1]))
    return sorted(found)


def _can_attach() -> bool:
    """Tell whether we may, and this kernel can, attach a program to an interface (Linux 6.6)."""
    code = Assembler()
    code.leave(-1)
    try:
        program = kernel.load_program(code.code())
    except OffloadError:
        return False
    try:
        kernel.attach(program, _NO_INTERFACE)
    except OffloadError as error:
        return error.code == _ENODEV
    finally:
        os.close(program)
    return False


requires_tcx = pytest.mark.skipif(not _can_attach(), reason="missing: root, and tcx (Linux 6.6)")
