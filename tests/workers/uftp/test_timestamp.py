"""Timestamps: kept as they came, moved by the time they were held."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import DecodeError
from workers.uftp import timestamp
from workers.uftp.timestamp import Timestamp
from workers.wire.reader import Reader

words = st.integers(0, 2**32 - 1)


def test_a_held_timestamp_is_later_by_the_time_it_was_held():
    assert Timestamp(0x6B020DBF, 0x000871B0).later(10_600) == Timestamp(0x6B020DBF, 0x0008_9B18)
    assert Timestamp(5, 999_999).later(1) == Timestamp(6, 0)


@given(words, st.integers(0, 999_999))
def test_an_instant_survives_its_way_through_microseconds(seconds, microseconds):
    stamp = Timestamp(seconds, microseconds)
    assert Timestamp.from_us(stamp.total_us) == stamp


def test_seconds_wrap_at_32_bits_instead_of_failing():
    assert Timestamp(2**32 - 1, 999_999).later(1) == Timestamp(0, 0)
    assert Timestamp(0, 0).later(-1) == Timestamp(2**32 - 1, 999_999)


@given(words, words)
def test_microseconds_over_a_million_are_read_as_they_came(seconds, microseconds):
    assert timestamp.take(Reader(timestamp.LAYOUT.pack(seconds, microseconds))) == (seconds, microseconds)


def test_a_cut_timestamp_is_refused():
    with pytest.raises(DecodeError, match="timestamp"):
        timestamp.take(Reader(bytes(7)))
