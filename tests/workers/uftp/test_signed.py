"""Which bytes signatures cover: the places of captured ones, and of our own."""

from __future__ import annotations

import pytest

from tests.kit import captures
from workers.errors import EngineMisuse
from workers.uftp import header, messages, signed
from workers.uftp.announce import Announce
from workers.uftp.header import HEADER_BYTES, Function
from workers.uftp.keying import Encrypted
from workers.uftp.timestamp import Timestamp

CAPTURES = ["b_gcm_ecdh_ecdsa_lanA", "b_hmac_rsa_lanC", "ipv6_response"]


def signed_datagrams(name: str) -> list[tuple[bytes, Announce | Encrypted]]:
    found = []
    for captured in captures.captures()[name]:
        message = messages.decode(header.decode(captured.payload), captured.payload[HEADER_BYTES:])
        if isinstance(message, Encrypted) or (isinstance(message, Announce) and message.encryption):
            found.append((captured.payload, message))
    return found


@pytest.mark.parametrize("name", CAPTURES)
def test_the_place_of_a_signature_holds_the_signature(name):
    for datagram, message in signed_datagrams(name):
        sealed = isinstance(message, Encrypted)
        assert datagram[signed.place(message)] == (message.signature if sealed else message.encryption.signature)


def test_both_kinds_of_signature_were_among_them():
    assert {type(message) for name in CAPTURES for _, message in signed_datagrams(name)} == {Announce, Encrypted}


def test_what_is_covered_is_the_datagram_with_zeroes_for_the_signature():
    sealed = Encrypted(1, b"SIGN", b"payload")
    datagram = messages.encode(header.Header(Function.ENCRYPTED, 1), sealed)
    covered = signed.covered(memoryview(datagram), signed.place(sealed))
    assert covered == datagram.replace(b"SIGN", bytes(4))
    assert datagram[signed.place(sealed)] == b"SIGN"


def test_a_signature_is_written_into_its_place():
    sealed = Encrypted(1, b"SIGN", b"payload")
    datagram = bytearray(messages.encode(header.Header(Function.ENCRYPTED, 1), sealed))
    signed.write(datagram, signed.place(sealed), b"NEW!")
    assert messages.decode(header.decode(datagram), datagram[HEADER_BYTES:]) == Encrypted(1, b"NEW!", b"payload")


@pytest.mark.parametrize("signature", [b"", b"123", b"12345"])
def test_a_signature_of_another_length_is_a_misuse(signature):
    with pytest.raises(EngineMisuse):
        signed.write(bytearray(40), slice(28, 32), signature)


def test_a_place_outside_the_datagram_is_a_misuse():
    with pytest.raises(EngineMisuse):
        signed.write(bytearray(30), slice(28, 32), b"SIGN")


def test_a_plain_announce_has_no_place():
    plain = Announce(0, 20, 0, 1300, Timestamp(), bytes(4), bytes(4))
    with pytest.raises(EngineMisuse):
        signed.place(plain)
