"""The reader's other half: what does not fit is our own mistake."""

from __future__ import annotations

import struct

import pytest

from workers.errors import EngineMisuse
from workers.wire.writer import Writer

PAIR = struct.Struct("!HB")


def test_values_are_written_one_after_the_other():
    writer = Writer()
    writer.put(PAIR, 1, 2)
    writer.put_bytes(b"ab")
    writer.put_words((3, 4))
    writer.put_padded(b"c", 2, "name")
    assert writer.finish() == b"\0\x01\x02ab\0\0\0\x03\0\0\0\x04c\0"
    assert len(writer) == 15


@pytest.mark.parametrize("values", [(0x10000, 0), (-1, 0), (0, 256), (0,), (0, b"x")])
def test_a_value_that_does_not_fit_is_a_misuse(values):
    with pytest.raises(EngineMisuse):
        Writer().put(PAIR, *values)


def test_words_and_texts_that_do_not_fit_are_a_misuse():
    with pytest.raises(EngineMisuse):
        Writer().put_words((1 << 32,))
    with pytest.raises(EngineMisuse, match="name: 3 bytes, 2 at most"):
        Writer().put_padded(b"abc", 2, "name")
