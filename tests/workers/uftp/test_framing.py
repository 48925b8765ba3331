"""What all messages have in common: number, header length, extensions, body."""

from __future__ import annotations

import struct

import pytest

from workers.errors import DecodeError, EngineMisuse
from workers.uftp import framing
from workers.uftp.extensions import UnknownExtension
from workers.wire.writer import Writer

LONG = struct.Struct("!II")


def fields(count: int) -> Writer:
    writer = Writer()
    writer.put_bytes(bytes(count))
    return writer


def test_header_and_body_are_told_apart():
    number, header, body = framing.enter(bytes.fromhex("0b02 00010002 0000 aabbcc"))
    assert number == 11
    assert header.take_rest() == bytes.fromhex("000100020000")
    assert body.take_rest() == bytes.fromhex("aabbcc")


def test_errors_count_from_the_messages_first_byte():
    _, header, body = framing.enter(bytes.fromhex("0b02 00010002 0000 aabbcc"))
    with pytest.raises(DecodeError) as caught:
        header.take(LONG, "field")
    assert caught.value.offset == 2
    with pytest.raises(DecodeError) as caught:
        body.take_words("ids")
    assert caught.value.offset == 8


@pytest.mark.parametrize("wire", ["", "0b", "0b00", "0b00 0000", "0b02 00010002 00", "0bff 0000"])
def test_a_header_outside_the_message_is_refused(wire):
    with pytest.raises(DecodeError):
        framing.enter(bytes.fromhex(wire))


def test_the_header_length_is_counted_with_extensions_and_without_body():
    trailing = (UnknownExtension(9, bytes.fromhex("0901 0000")),)
    assert framing.leave(11, fields(2), trailing, b"body") == bytes.fromhex("0b02 0000 0901 0000") + b"body"


@pytest.mark.parametrize("count", [0, 1, 3, 1021, 1022])
def test_a_header_that_its_length_cannot_say_is_a_misuse(count):
    with pytest.raises(EngineMisuse, match="message 11: a header of"):
        framing.leave(11, fields(count))


def test_the_longest_header_is_written():
    assert framing.leave(11, fields(framing.MAX_HEADER_BYTES - 2))[:2] == bytes((11, 255))


def test_station_ids_are_words():
    assert framing.encode_uids((0x1111, 0xC0C0)) == bytes.fromhex("00001111 0000c0c0")
    assert framing.encode_uids(()) == b""
