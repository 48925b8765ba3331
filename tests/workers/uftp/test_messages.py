"""Every message by its number; every datagram ever captured comes back as it was."""

from __future__ import annotations

import pytest

from tests.kit import captures
from workers.errors import DecodeError
from workers.uftp import header, messages
from workers.uftp.finish import DoneConf
from workers.uftp.header import HEADER_BYTES, Function, Header
from workers.uftp.keying import Encrypted
from workers.uftp.messages import Unknown

DONE_CONF = bytes.fromhex("0d01 0000 00001111")
STRANGE = bytes.fromhex("c801 0000 ffff")


def decode(datagram: bytes) -> messages.Message | Unknown:
    return messages.decode(header.decode(datagram), memoryview(datagram)[HEADER_BYTES:])


def test_every_number_but_encrypted_has_its_class():
    assert set(messages.DECODERS) == set(Function) - {Function.ENCRYPTED}


@pytest.mark.parametrize("name", captures.captures())
def test_every_captured_datagram_comes_back_as_it_was(name):
    for captured in captures.captures()[name]:
        message = decode(captured.payload)
        assert not isinstance(message, Unknown)
        assert messages.encode(header.decode(captured.payload), message) == captured.payload


def test_the_captures_hold_every_message_that_is_not_always_sealed():
    seen = {header.decode(one.payload).function for capture in captures.captures().values() for one in capture}
    assert seen == set(Function) - {Function.KEYINFO_ACK}


def test_a_message_is_decoded_by_its_number():
    assert messages.decode(Header(Function.DONE_CONF, 1), DONE_CONF) == DoneConf((0x1111,))
    assert messages.decode_plain(DONE_CONF) == DoneConf((0x1111,))


def test_a_strange_number_is_kept_byte_for_byte():
    strange = Unknown(200, STRANGE)
    assert messages.decode(Header(200, 1), memoryview(STRANGE)) == strange
    assert messages.decode_plain(STRANGE) == strange
    assert messages.function_of(strange) == 200
    assert messages.encode(Header(200, 1), strange)[HEADER_BYTES:] == STRANGE


@pytest.mark.parametrize("function", [Function.DONE, Function.ANNOUNCE, Function.KEY_REQ])
def test_a_message_under_anothers_number_is_refused(function):
    with pytest.raises(DecodeError, match="message number at byte 0: 13 under a header of"):
        messages.decode(Header(function, 1), DONE_CONF)
    with pytest.raises(DecodeError, match="200 under a header of"):
        messages.decode(Header(function, 1), STRANGE)


def test_a_sealed_message_is_decoded_from_outside_only():
    sealed = bytes.fromhex("0000000000000001 0000 0008") + DONE_CONF
    assert messages.decode(Header(Function.ENCRYPTED, 1), sealed) == Encrypted(1, b"", DONE_CONF)


def test_a_sealed_message_within_a_sealed_message_is_no_message_we_know():
    assert messages.decode_plain(bytes.fromhex("1202 0000 00000000")) == Unknown(18, bytes.fromhex("120200000000 0000"))


@pytest.mark.parametrize("opened", [b"", b"\x0d", b"\x0d\x00\x00\x00", b"\xc8\xff\x00\x00"])
def test_an_opened_message_without_whole_header_is_refused(opened):
    with pytest.raises(DecodeError):
        messages.decode_plain(opened)


def test_nothing_is_kept_of_the_slot_it_was_decoded_from():
    slot = bytearray(bytes.fromhex("0902 0001 0002 0003") + b"data")
    block = messages.decode_plain(memoryview(slot))
    slot[:] = bytes(len(slot))
    assert block.encode()[-4:] == b"data"
