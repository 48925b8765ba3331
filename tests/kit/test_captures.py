"""The captures: all are there, and are read as other tools read them."""

from __future__ import annotations

from tests.kit import captures
from tests.kit.captures import Captured


def test_every_archive_has_its_captures():
    assert len(captures.archives()) == 8
    assert sum(len(datagrams) for datagrams in captures.captures().values()) == 3035


def test_a_datagram_is_told_with_its_addresses_and_its_time():
    first = captures.captures()["a_plain_lanA"][0]
    payload = bytes.fromhex("40010000000055559473ab2c009d000001060014000005146b020dbd000757b2e6040401e605050a")
    assert first == Captured(first.time_us, ("10.99.1.1", 35445), ("230.4.4.1", 1044), payload)
    assert first.time_us // 1_000_000 == 0x6B020DBD


def test_a_datagram_over_ipv6_is_read_alike():
    first = captures.captures()["ipv6_response"][0]
    assert (first.source, first.target) == (("fd98::3", 1044), ("fd98::2", 1044))
    assert first.payload == bytes.fromhex("4010 0000 00001111 00000000 00000000 10010000")


def test_captures_are_laid_out_as_files(tmp_path):
    paths = captures.lay_out("a_plain", tmp_path)
    assert sorted(paths) == ["a_plain_lanA", "a_plain_lanB", "a_plain_lanC"]
    assert all(path.read_bytes()[:4] == b"\xd4\xc3\xb2\xa1" for path in paths.values())
