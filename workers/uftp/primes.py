"""Primes for RSA keys that are shorter than the crypto library makes them: 512 bits are the default of UFTP 4.10.2.

Such a key protects nothing; it is here because those peers cannot be talked to without.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

Entropy: TypeAlias = Callable[[int], bytes]
"""Returns so many unpredictable bytes."""

ROUNDS = 40
"""A composite passes with a probability under 4**-40. Source: Rabin 1980."""
_SMALL = math.prod(n for n in range(3, 1000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2)))


def make_prime(bits: int, exponent: int, entropy: Entropy) -> int:
    """Return a random prime p of so many bits, the two highest set, with p - 1 coprime to the exponent."""
    while True:
        candidate = int.from_bytes(entropy((bits + 7) // 8)) & ((1 << bits) - 1) | 3 << (bits - 2) | 1
        if math.gcd(candidate - 1, exponent) == 1 and is_prime(candidate, entropy):
            return candidate


def is_prime(number: int, entropy: Entropy) -> bool:
    """Return whether an odd number above 1,000 is a prime, by Miller and Rabin's test with random bases."""
    if math.gcd(number, _SMALL) != 1:
        return False
    halvings = ((number - 1) & -(number - 1)).bit_length() - 1
    odd = (number - 1) >> halvings
    size = (number.bit_length() + 7) // 8
    bases = (2 + int.from_bytes(entropy(size)) % (number - 3) for _ in range(ROUNDS))
    return all(_passes(number, base, odd, halvings) for base in bases)


def _passes(number: int, base: int, odd: int, halvings: int) -> bool:
    power = pow(base, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(halvings - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False
