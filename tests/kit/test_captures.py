"""The captures: all are there, and are read as other tools read them."""

from __future__ import annotations

from tests.kit import captures
from tests.kit.captures import Captured

COUNTS = {
    "a_plain_lanA": 183,
    "a_plain_lanB": 183,
    "a_plain_lanC": 183,
    "b_gcm_ecdh_ecdsa_lanA": 186,
    "b_gcm_ecdh_ecdsa_lanB": 186,
    "b_gcm_ecdh_ecdsa_lanC": 185,
    "b_hmac_rsa_lanA": 186,
    "b_hmac_rsa_lanB": 186,
    "b_hmac_rsa_lanC": 185,
    "c_nat_inside": 388,
    "c_nat_internet": 388,
    "d_response_proxy_lan": 204,
    "ipv6_response": 65,
    "tfmcc_direct": 290,
    "vec_gcm_ecdh_lanC": 37,
}
"""As capinfos(1) counts them."""


def test_no_datagram_of_a_capture_is_passed_over():
    counted = {name: len(datagrams) for name, datagrams in captures.captures().items()}
    assert {name: counted[name] for name in COUNTS} == COUNTS


def test_every_archive_has_a_line_in_the_readme():
    readme = (captures.FOLDER / "README.md").read_text()
    assert all(f"| `{archive}` |" in readme for archive in captures.archives())


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
