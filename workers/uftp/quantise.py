"""Numbers that UFTP squeezes into a byte or two: round-trip times, group sizes, rates.

Only approximate by design; what one station encodes another must read alike, so the roundings are the protocol's.
Source: observed: tests/vectors/uftp.
"""

from __future__ import annotations

import math
from bisect import bisect_left

MAX_GRTT_SECONDS = 1000.0
_LINEAR_STEPS = 32
"""Below it the GRTT byte counts microseconds; from here on it grows by e^(1/13) a step."""
_STEPS_AN_E = 13
_TOP_BYTE = 255
_MICROSECOND = 1e-6
_MICROSECOND_NS = 1_000
_SECOND_NS = 1_000_000_000

_SIZE_MANTISSAS = 32
_SIZE_EXPONENT_BITS = 3
_RATE_MANTISSAS = 4096
_RATE_EXPONENT_BITS = 4


def _grtt_seconds(byte: int) -> float:
    if byte < _LINEAR_STEPS:
        return (byte + 1) * _MICROSECOND
    return MAX_GRTT_SECONDS / math.exp((_TOP_BYTE - byte) / _STEPS_AN_E)


GRTT_SECONDS = tuple(_grtt_seconds(byte) for byte in range(_TOP_BYTE + 1))
"""What each GRTT byte means, in seconds."""
GRTT_NS = tuple(round(seconds * _SECOND_NS) for seconds in GRTT_SECONDS)
"""The same in nanoseconds."""


def encode_grtt(round_trip_ns: int) -> int:
    """Return the byte for a round-trip time in nanoseconds: the next one that is not shorter, 1,000 s at most.

    Below 33 microseconds it is the one that is not longer, 1 microsecond at least.
    """
    microseconds = round_trip_ns // _MICROSECOND_NS
    if microseconds <= _LINEAR_STEPS:
        return max(microseconds, 1) - 1
    return min(bisect_left(GRTT_NS, round_trip_ns), _TOP_BYTE)


def decode_group_size(byte: int) -> int:
    """Return the number of clients that a group size byte stands for: five bits of mantissa, three of exponent."""
    mantissa, exponent = byte >> _SIZE_EXPONENT_BITS, byte & (1 << _SIZE_EXPONENT_BITS) - 1
    return _half_up(mantissa * 10 ** (exponent + 1), _SIZE_MANTISSAS)


def encode_group_size(count: int) -> int:
    """Return the byte for a number of clients; what is too much for it becomes the largest there is."""
    return _encode_float(count, _SIZE_MANTISSAS, _SIZE_EXPONENT_BITS)


def decode_rate(word: int) -> int:
    """Return the bytes a second, rounded down, of a rate word: twelve bits of mantissa, four of exponent."""
    mantissa, exponent = word >> _RATE_EXPONENT_BITS, word & (1 << _RATE_EXPONENT_BITS) - 1
    return mantissa * int(10 ** (exponent + 1)) // _RATE_MANTISSAS


def encode_rate(bytes_a_second: int) -> int:
    """Return the word for a rate; what is too much for it becomes the largest there is."""
    return _encode_float(bytes_a_second, _RATE_MANTISSAS, _RATE_EXPONENT_BITS)


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _encode_float(value: int, mantissas: int, exponent_bits: int) -> int:
    """Find the smallest exponent under which value's tenths, in steps of 1/mantissas, fit the mantissa."""
    for exponent in range(1 << exponent_bits):
        mantissa = _half_up(max(value, 0) * mantissas, 10 ** (exponent + 1))
        if mantissa < mantissas:
            return mantissa << exponent_bits | exponent
    return (mantissas << exponent_bits) - 1
