"""Header extensions: known ones decoded, strange ones kept, none longer or shorter than it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.errors import DecodeError, EngineMisuse
from workers.uftp import extensions
from workers.uftp.extensions import CongestionFlag, EncInfo, FreeSpace, TfmccAck, TfmccData, UnknownExtension
from workers.uftp.timestamp import Timestamp
from workers.wire.reader import Reader

RANDOM = bytes(range(32))
ENC_INFO = EncInfo(1, 3, 2, 6, 3, RANDOM, b"keykey!!", b"ecdh", b"signed__")
KNOWN = [
    ("0110 01 32 06 03 0008 0004 0008" + RANDOM.hex() + b"keykey!!ecdhsigned__".hex(), ENC_INFO),
    ("010d 00 11 06 03 0008 0000 0000" + RANDOM.hex() + b"keykey!!".hex(), EncInfo(0, 1, 1, 6, 3, RANDOM, b"keykey!!")),
    ("0202 1f35 0007 7b26", TfmccData(0x1F35, 7, 0x7B26)),
    (
        "0305 06 00 0002 7b26 00001111 6b020dbd 000757b2",
        TfmccAck(CongestionFlag.RTT | CongestionFlag.START, 2, 0x7B26, 0x1111, Timestamp(0x6B020DBD, 0x757B2)),
    ),
    ("0703 0000 00000013 df6bb000", FreeSpace(0x13DF6BB000)),
    ("c802 aabbccddeeff", UnknownExtension(200, bytes.fromhex("c802 aabbccddeeff"))),
    ("0401 0000", UnknownExtension(4, bytes.fromhex("0401 0000"))),
]


def decode(wire: bytes) -> tuple[extensions.Extension, ...]:
    return extensions.decode(Reader(wire))


@pytest.mark.parametrize(("wire", "extension"), KNOWN)
def test_bytes_and_extension_are_each_other(wire, extension):
    raw = bytes.fromhex(wire)
    assert decode(raw) == (extension,)
    assert extensions.encode((extension,)) == raw


def test_several_are_decoded_in_their_order():
    raw = b"".join(bytes.fromhex(wire) for wire, _ in KNOWN)
    assert decode(raw) == tuple(extension for _, extension in KNOWN)
    assert extensions.encode(decode(raw)) == raw


def test_more_than_any_message_needs_are_refused():
    one = bytes.fromhex("0401 0000")
    assert len(decode(one * extensions.MOST)) == extensions.MOST
    with pytest.raises(DecodeError, match="more than 16"):
        decode(one * (extensions.MOST + 1))


@pytest.mark.parametrize(("wire", "_"), KNOWN)
def test_a_cut_extension_is_refused(wire, _):
    raw = bytes.fromhex(wire)
    for size in range(1, len(raw)):
        with pytest.raises(DecodeError):
            decode(raw[:size])


@pytest.mark.parametrize(("wire", "_"), KNOWN[:5])
@pytest.mark.parametrize("words", [-1, 1])
def test_a_known_extension_of_another_length_is_refused(wire, _, words):
    raw = bytearray(bytes.fromhex(wire) + bytes(4))
    raw[1] += words
    with pytest.raises(DecodeError):
        decode(bytes(raw[: raw[1] * 4]))


@pytest.mark.parametrize("wire", ["0100", "c800 0000", "0202 1f35 0007 7b26 c800"])
def test_an_extension_without_length_is_refused(wire):
    with pytest.raises(DecodeError, match="0 words"):
        decode(bytes.fromhex(wire))


def test_no_extension_is_no_error():
    assert decode(b"") == ()


@pytest.mark.parametrize(
    "broken",
    [
        replace(ENC_INFO, random=RANDOM[:-1]),
        replace(ENC_INFO, key_blob=b"odd"),
        replace(ENC_INFO, key_blob=bytes(1020)),
        replace(ENC_INFO, signature_type=16),
        replace(ENC_INFO, key_exchange=16),
        FreeSpace(1 << 64),
        TfmccData(1 << 16, 0, 0),
    ],
)
def test_what_does_not_fit_is_a_misuse(broken):
    with pytest.raises(EngineMisuse):
        extensions.encode((broken,))


def test_the_first_of_a_kind_is_found():
    several = (UnknownExtension(9, b"\x09\x01\0\0"), FreeSpace(1), FreeSpace(2))
    assert extensions.find(several, FreeSpace) == FreeSpace(1)
    assert extensions.find(several, EncInfo) is None


def test_the_signature_is_where_it_is_said_to_be():
    raw = extensions.encode((ENC_INFO,))
    assert raw[ENC_INFO.signature_at :] == ENC_INFO.signature


def test_only_the_lowest_flag_asks_for_client_keys():
    assert ENC_INFO.client_auth
    assert not replace(ENC_INFO, flags=0xFE).client_auth
