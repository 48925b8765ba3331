from __future__ import annotations

import math
import random

import pytest

from workers.uftp.primes import is_prime, make_prime

CARMICHAEL = (1024651, 1193221, 56052361, 118901521, 172947529, 216821881)


def entropy(seed: int):
    return random.Random(seed).randbytes


@pytest.mark.parametrize("number", [1_009, 65_537, 2**31 - 1, 2**61 - 1, 2**127 - 1, 2**521 - 1])
def test_a_prime_is_taken(number: int) -> None:
    assert is_prime(number, entropy(1))


@pytest.mark.parametrize("number", [1_011, *CARMICHAEL, (2**31 - 1) * (2**61 - 1), 2**67 - 1, 3 * (2**127 - 1)])
def test_a_composite_is_not(number: int) -> None:
    assert not is_prime(number, entropy(1))


def test_it_agrees_with_trial_division() -> None:
    numbers = range(1_001, 20_001, 2)
    assert [n for n in numbers if is_prime(n, entropy(n))] == [
        n for n in numbers if all(n % d for d in range(3, math.isqrt(n) + 1, 2))
    ]


@pytest.mark.parametrize("bits", [256, 257, 384])
def test_a_new_prime_has_its_size_and_suits_its_exponent(bits: int) -> None:
    prime = make_prime(bits, 65_537, entropy(bits))
    assert prime.bit_length() == bits
    assert prime >> (bits - 2) == 3
    assert math.gcd(prime - 1, 65_537) == 1
    assert is_prime(prime, entropy(2))


def test_primes_come_from_the_entropy_that_is_given() -> None:
    assert make_prime(256, 65_537, entropy(1)) == make_prime(256, 65_537, entropy(1))
    assert make_prime(256, 65_537, entropy(1)) != make_prime(256, 65_537, entropy(2))
