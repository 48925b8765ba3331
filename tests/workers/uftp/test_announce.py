"""ANNOUNCE: the addresses are of the kind that the flags say; the signature is found."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.workers.uftp import wire
from workers.errors import DecodeError, EngineMisuse
from workers.uftp import messages
from workers.uftp.announce import Announce, AnnounceFlag
from workers.uftp.extensions import EncInfo, UnknownExtension
from workers.uftp.timestamp import Timestamp

IPV4 = "0106 00 14 00 00 0514 6b020dbd 000757b2 e6040401 e605050a"
IPV6_FIELDS = "05 14 02 00 0514 6b020dbd 000757b2 ff150000000000000000000400040001 ff150000000000000000000500050001"
IPV6 = "010c" + IPV6_FIELDS
STAMP = Timestamp(0x6B020DBD, 0x757B2)
ANNOUNCE = Announce(0, 20, 0, 1300, STAMP, bytes([230, 4, 4, 1]), bytes([230, 5, 5, 10]))
INFO = EncInfo(1, 3, 2, 6, 3, bytes(32), b"signing!", b"ecdh", b"signature___")


def test_an_open_group_over_ipv4():
    wire.holds(IPV4, ANNOUNCE)


def test_a_closed_group_over_ipv6():
    public, private = ip_address("ff15::4:4:1").packed, ip_address("ff15::5:5:1").packed
    closed = Announce(AnnounceFlag.IPV6 | AnnounceFlag.SYNC, 20, 2, 1300, STAMP, public, private, (), (0x1111, 0x2222))
    wire.holds(IPV6 + "00001111 00002222", closed)


def test_the_list_of_clients_is_whole_words():
    wire.has_a_body_of(4, IPV4)


def test_a_header_without_room_for_its_addresses_is_refused_by_that_name():
    wire.header_needs(24, IPV4)
    wire.header_needs(48, IPV6)
    with pytest.raises(DecodeError) as caught:
        messages.decode_plain(bytes.fromhex("0106" + IPV6_FIELDS))
    assert caught.value.field == "address"


def test_inconsistent_encryption_is_refused():
    raw = bytearray(replace(ANNOUNCE, extensions=(INFO,)).encode())
    raw[24 + 7] += 4
    with pytest.raises(DecodeError):
        messages.decode_plain(bytes(raw))


def test_encryption_counts_only_as_the_first_extension():
    strange = UnknownExtension(9, b"\x09\x01\0\0")
    assert replace(ANNOUNCE, extensions=(INFO, strange)).encryption == INFO
    assert replace(ANNOUNCE, extensions=(strange, INFO)).encryption is None
    assert ANNOUNCE.encryption is None


@pytest.mark.parametrize("flags", [0, AnnounceFlag.IPV6])
def test_the_signature_is_where_it_is_said_to_be(flags):
    width = 16 if flags else 4
    announce = replace(ANNOUNCE, flags=flags, public=bytes(width), private=bytes(width), extensions=(INFO,))
    raw = announce.encode()
    assert raw[announce.signature_at : announce.signature_at + len(INFO.signature)] == INFO.signature


def test_an_announce_without_encryption_has_no_signature():
    with pytest.raises(EngineMisuse):
        _ = ANNOUNCE.signature_at


def test_addresses_of_the_wrong_kind_are_a_misuse():
    with pytest.raises(EngineMisuse):
        replace(ANNOUNCE, flags=AnnounceFlag.IPV6).encode()
    with pytest.raises(EngineMisuse):
        replace(ANNOUNCE, private=b"").encode()
