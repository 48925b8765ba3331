"""Squeezed numbers: the check values seen of the original programs, and that each survives its own way back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.uftp import quantise

BYTES = range(256)
SECOND_NS = 1_000_000_000


@pytest.mark.parametrize(
    ("byte", "seconds"),
    [
        (0x00, 0.000001),
        (0x1F, 0.000032),
        (0x6A, 0.010527),
        (0x7F, 0.052950),
        (0x88, 0.105812),
        (0x91, 0.211447),
        (0x9D, 0.532216),
        (0xFF, 1000.0),
    ],
)
def test_a_grtt_byte_means_what_the_original_programs_mean(byte, seconds):
    assert quantise.GRTT_SECONDS[byte] == pytest.approx(seconds, abs=5e-7)
    assert quantise.GRTT_NS[byte] == pytest.approx(seconds * SECOND_NS, abs=500)


def test_the_default_first_grtt_of_the_server_has_the_byte_seen():
    assert quantise.encode_grtt(SECOND_NS // 2) == 0x9D


@pytest.mark.parametrize("byte", BYTES)
def test_a_grtt_byte_survives_its_way_back(byte):
    assert quantise.encode_grtt(quantise.GRTT_NS[byte]) == byte


@given(st.integers(33_000, 1000 * SECOND_NS))
def test_an_encoded_grtt_is_not_shorter_and_at_most_a_step_longer(round_trip_ns):
    byte = quantise.encode_grtt(round_trip_ns)
    assert quantise.GRTT_NS[byte - 1] < round_trip_ns <= quantise.GRTT_NS[byte]


@given(st.integers(33_000, 1000 * SECOND_NS))
def test_an_encoded_grtt_is_the_formulas(round_trip_ns):
    exact = 255 - 13 * math.log(1000 * SECOND_NS / round_trip_ns)
    assert exact - 1e-3 <= quantise.encode_grtt(round_trip_ns) <= exact + 1 + 1e-3


@pytest.mark.parametrize(("round_trip_ns", "byte"), [(-5, 0), (0, 0), (1_999, 0), (2_000, 1), (32_999, 31)])
def test_the_shortest_grtts_are_whole_microseconds(round_trip_ns, byte):
    assert quantise.encode_grtt(round_trip_ns) == byte


def test_a_grtt_over_a_thousand_seconds_is_a_thousand():
    assert quantise.encode_grtt(5_000 * SECOND_NS) == 0xFF


@pytest.mark.parametrize(
    ("count", "byte", "decoded"),
    [(0, 0, 0), (1, 0x18, 1), (2, 0x30, 2), (3, 0x50, 3), (10, 0x19, 9), (100, 0x1A, 94), (1000, 0x1B, 938)],
)
def test_a_group_size_is_what_the_original_programs_make_of_it(count, byte, decoded):
    assert quantise.encode_group_size(count) == byte
    assert quantise.decode_group_size(byte) == decoded


@given(st.integers(1, 90_000_000))
def test_a_group_size_comes_back_within_a_fifth(count):
    assert quantise.decode_group_size(quantise.encode_group_size(count)) == pytest.approx(count, rel=0.2, abs=0.5)


@given(st.integers(1, 9 * 10**15))
def test_a_rate_comes_back_within_a_thousandth(rate):
    # Half a step of the mantissa, and what the decoder rounds down: both at once, as at 1,024.
    assert quantise.decode_rate(quantise.encode_rate(rate)) == pytest.approx(rate, abs=1 + 0.0013 * rate)


def test_numbers_out_of_range_become_the_nearest_there_is():
    assert quantise.encode_group_size(10**12) == 0xFF
    assert quantise.encode_rate(10**20) == 0xFFFF
    assert quantise.encode_group_size(-1) == quantise.encode_rate(-1) == 0
    assert quantise.decode_group_size(0xFF) == 96_875_000
