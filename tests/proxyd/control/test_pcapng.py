"""Capture files, read by those who are to read them: tshark and tcpdump find every field as it was written."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from proxyd.control.pcapng import INBOUND, OUTBOUND, End, datagram, foot, head
from tests.kit.requirement import requires_program

NOW = 1_800_000_000_123_456_789
V4 = End(bytes((10, 0, 0, 1)), 4000), End(bytes((10, 0, 0, 2)), 7777)
V6 = End(bytes.fromhex("20010db8" + "0" * 23 + "1"), 4000), End(bytes.fromhex("20010db8" + "0" * 23 + "2"), 7777)
PAYLOADS = (b"", b"x", b"hello", bytes(1400), bytes(range(256)) * 255, b"\xff\xff" * 9)
ALL = 65_535


def written(folder: Path, *blocks: bytes) -> Path:
    path = folder / "x.pcapng"
    path.write_bytes(head("proxyctl", "0.1.abcde", "client side") + b"".join(blocks) + foot(NOW, len(blocks), 3))
    return path


def read(path: Path, *fields: str) -> list[list[str]]:
    """Return the fields as tshark sees them, a row a datagram."""
    names = [word for field in fields for word in ("-e", field)]
    checks = ("-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    done = subprocess.run(
        ["tshark", "-r", path, *checks, "-T", "fields", *names], check=True, capture_output=True, text=True
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


@requires_program("tshark")
@pytest.mark.parametrize("ends", [V4, V6], ids=["IPv4", "IPv6"])
def test_tshark_reads_every_datagram_with_right_checksums_times_and_directions(
    tmp_path: Path, ends: tuple[End, End]
) -> None:
    source, target = ends
    blocks = [
        datagram(*(ends if number % 2 else (target, source)), payload, NOW + number, 1 + number % 2, number, ALL)
        for number, payload in enumerate(PAYLOADS)
    ]
    fields = ("udp.srcport", "udp.length", "udp.checksum.status", "frame.time_epoch", "frame.packet_flags_direction")
    rows = read(written(tmp_path, *blocks), *fields, "frame.drop_count", "ip.checksum.status")
    for number, (payload, row) in enumerate(zip(PAYLOADS, rows, strict=True)):
        assert row[:2] == [str(source.port if number % 2 else target.port), str(8 + len(payload))]
        assert row[2] == "1", "the checksum is good"
        assert row[3] == f"1800000000.{123_456_789 + number}"
        assert int(row[4], 16) == (OUTBOUND if number % 2 else INBOUND)
        assert row[5:] == [str(number or ""), "1" if ends is V4 else ""]


@requires_program("tshark")
def test_what_is_cut_says_how_long_it_was(tmp_path: Path) -> None:
    path = written(tmp_path, datagram(*V4, b"secret" * 100, NOW, INBOUND, 0, 4))
    assert read(path, "frame.cap_len", "frame.len", "udp.length") == [["32", "628", "608"]]
    assert b"secrets" not in path.read_bytes()


@requires_program("tcpdump")
def test_tcpdump_reads_them_without_complaint(tmp_path: Path) -> None:
    path = written(tmp_path, *(datagram(*ends, b"hello", NOW, INBOUND, 0, ALL) for ends in (V4, V6)))
    done = subprocess.run(["tcpdump", "-nn", "-vv", "-r", path], check=True, capture_output=True, text=True)
    assert done.stdout.count("[udp sum ok] UDP, length 5") == 2
    assert "10.0.0.1.4000 > 10.0.0.2.7777" in done.stdout
    assert "2001:db8::1.4000 > 2001:db8::2.7777" in done.stdout
    assert done.stderr.splitlines()[0].endswith("link-type RAW (Raw IP), snapshot length 262144")


def test_every_block_says_its_length_at_both_ends_and_is_whole_words() -> None:
    for size in range(9):
        block = datagram(*V4, bytes(size), NOW, INBOUND, 1, ALL)
        kind, length = struct.unpack_from("=II", block)
        assert (kind, length, length % 4) == (6, len(block), 0)
        assert block[-4:] == block[4:8]


def test_a_checksum_of_zero_is_sent_as_the_other_zero() -> None:
    """Found by search: with this payload the sum comes out as zero."""
    block = next(
        found
        for number in range(65_536)
        if (found := datagram(*V4, number.to_bytes(2), NOW, INBOUND, 0, ALL))[28 + 26 : 28 + 28] == b"\xff\xff"
    )
    assert struct.unpack_from("!H", block, 28 + 26) == (0xFFFF,)
