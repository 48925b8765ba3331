"""The cursor: whole values or an error that names the field and the place."""

from __future__ import annotations

import struct

import pytest

from workers.errors import DecodeError
from workers.wire.reader import Reader

PAIR = struct.Struct("!HB")
RAW = bytes(range(8))


def test_values_are_read_one_after_the_other():
    reader = Reader(RAW)
    assert reader.take(PAIR, "pair") == (1, 2)
    assert reader.take_bytes(2, "bytes") == b"\x03\x04"
    assert (reader.offset, reader.left) == (5, 3)
    assert reader.take_rest() == b"\x05\x06\x07"
    assert reader.left == 0
    assert reader.take_rest() == b""


def test_a_value_that_is_not_whole_is_refused_with_its_place():
    reader = Reader(RAW, 6)
    with pytest.raises(DecodeError) as caught:
        reader.take(PAIR, "pair")
    assert (caught.value.field, caught.value.offset, caught.value.why) == ("pair", 6, "needs 3 bytes, 2 left")
    with pytest.raises(DecodeError, match="name at byte 6: needs 3 bytes, 2 left"):
        reader.take_bytes(3, "name")


def test_what_was_refused_is_still_there():
    reader = Reader(RAW)
    with pytest.raises(DecodeError):
        reader.take_bytes(9, "name")
    assert reader.take_rest() == RAW


def test_an_end_before_the_datas_end_holds():
    reader = Reader(RAW, 2, 4)
    with pytest.raises(DecodeError):
        reader.take(PAIR, "pair")
    assert reader.take_rest() == b"\x02\x03"


def test_words_are_all_that_is_left_or_an_error():
    assert Reader(RAW).take_words("ids") == (0x00010203, 0x04050607)
    assert Reader(b"").take_words("ids") == ()
    with pytest.raises(DecodeError, match="ids at byte 1: 7 bytes are no multiple of 4"):
        Reader(RAW, 1).take_words("ids")


def test_a_window_shows_its_own_bytes_and_is_passed_over():
    reader = Reader(RAW)
    window = reader.window(3, "header")
    assert window.take_rest() == b"\x00\x01\x02"
    assert reader.offset == 3
    with pytest.raises(DecodeError, match="header at byte 3"):
        reader.window(6, "header")


def test_bytes_too_many_are_an_error():
    reader = Reader(RAW, 0, 2)
    with pytest.raises(DecodeError, match="end at byte 0: 2 bytes too many"):
        reader.finish("end")
    reader.take_rest()
    reader.finish("end")


def test_what_is_read_stays_when_the_slot_is_filled_anew():
    slot = bytearray(RAW)
    taken = Reader(memoryview(slot)).take_bytes(4, "name")
    slot[:] = bytes(8)
    assert taken == RAW[:4]
