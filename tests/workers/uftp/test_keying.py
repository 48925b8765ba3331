"""KEYINFO, KEYINFO_ACK, ENCRYPTED."""

from __future__ import annotations

import pytest

from tests.workers.uftp import wire
from workers.errors import DecodeError, EngineMisuse
from workers.uftp import keying
from workers.uftp.header import HEADER_BYTES
from workers.uftp.keying import Encrypted, KeyEntry, KeyInfo, KeyInfoAck

KEYINFO = "0503 0000 0000000100000002"
ACK = "0604 0000 bb9193ed191971a60772ef6d"
SEALED = "0000000100000002 0004 0008 5165a1aa 0102030405060708"


def test_keys_for_two_stations():
    first, second = bytes(range(48)), bytes(range(48, 96))
    raw = KEYINFO + "00001111" + first.hex() + "00002222" + second.hex()
    wire.holds(raw, KeyInfo(0x1_0000_0002, (KeyEntry(0x1111, first), KeyEntry(0x2222, second))))
    wire.holds(KEYINFO, KeyInfo(0x1_0000_0002, ()))


def test_keys_are_whole_entries_in_a_whole_header():
    wire.has_a_body_of(52, KEYINFO)
    wire.header_needs(12, KEYINFO)


def test_a_key_of_another_length_is_a_misuse():
    with pytest.raises(EngineMisuse):
        KeyInfo(1, (KeyEntry(0x1111, bytes(47)),)).encode()


def test_a_station_confirms_the_key():
    wire.holds(ACK, KeyInfoAck(bytes.fromhex("bb9193ed191971a60772ef6d")))
    wire.has_no_body(ACK)
    wire.header_needs(16, ACK)


def test_verify_data_of_another_length_is_a_misuse():
    with pytest.raises(EngineMisuse):
        KeyInfoAck(bytes(11)).encode()


def test_a_sealed_message():
    raw = bytes.fromhex(SEALED)
    sealed = Encrypted(0x1_0000_0002, bytes.fromhex("5165a1aa"), bytes.fromhex("0102030405060708"))
    assert Encrypted.decode(raw) == sealed
    assert sealed.encode() == raw
    assert raw[sealed.signature_at :].startswith(sealed.signature)
    assert (HEADER_BYTES, HEADER_BYTES + sealed.signature_at) == (keying.COUNTER_AT, keying.SIGNATURE_AT)


def test_a_sealed_message_without_signature():
    raw = bytes.fromhex("0000000000000001 0000 0002 abcd")
    assert Encrypted.decode(raw) == Encrypted(1, b"", b"\xab\xcd")


@pytest.mark.parametrize("change", range(-len(bytes.fromhex(SEALED)), 0))
def test_a_cut_sealed_message_is_refused(change):
    with pytest.raises(DecodeError):
        Encrypted.decode(bytes.fromhex(SEALED)[:change])


def test_a_sealed_message_with_bytes_too_many_is_refused():
    with pytest.raises(DecodeError, match="4 and 8 bytes are said, 13 are there"):
        Encrypted.decode(bytes.fromhex(SEALED) + b"\0")


def test_a_payload_that_its_length_cannot_say_is_a_misuse():
    with pytest.raises(EngineMisuse):
        Encrypted(1, b"", bytes(1 << 16)).encode()
