"""What kind of key to make, rsa:BITS or ec:CURVE: the argument of uftp-keymgt -g, the entries of uftpproxyd -K."""

from __future__ import annotations

from typing import NamedTuple

from proxyd.errors import ProxydError
from workers.uftp.curves import AVAILABLE, Curve, find_curve, unavailable
from workers.uftp.keys import MAX_RSA_BITS, MIN_RSA_BITS, PrivateKey, make_ec_key, make_rsa_key
from workers.uftp.primes import Entropy

WORD_BITS = 32
"""A message gives the length of an RSA key in words of so many bits."""


class KeySpecError(ProxydError):
    """The text names no kind of key that can be made."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(found, wanted)
        self.found = found
        self.wanted = wanted

    def __str__(self) -> str:
        return f"found '{self.found}'; {self.wanted}"


class KeySpec(NamedTuple):
    """A kind of key. bits: of an RSA key; curve: of an EC key; one of them is set."""

    bits: int = 0
    curve: Curve | None = None

    def make(self, entropy: Entropy) -> PrivateKey:
        """Return a new key of this kind. entropy: as workers.uftp.keys says."""
        return make_ec_key(self.curve, entropy) if self.curve else make_rsa_key(self.bits, entropy)


def parse_key_spec(text: str) -> KeySpec:
    """Parse `rsa:BITS`, 512 to 4,096 of them, or `ec:CURVE`, by any of its names. Raises KeySpecError."""
    kind, colon, value = text.partition(":")
    if colon and kind == "rsa":
        return KeySpec(bits=_bits(text, value))
    if colon and kind == "ec":
        return KeySpec(curve=parse_curve(value))
    raise KeySpecError(text, "wanted rsa:BITS or ec:CURVE")


def _bits(text: str, value: str) -> int:
    digits = value.isascii() and value.isdigit() and len(value) <= len(str(MAX_RSA_BITS))
    if not digits or not MIN_RSA_BITS <= int(value) <= MAX_RSA_BITS:
        raise KeySpecError(text, f"wanted {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    return int(value)


def parse_curve(name: str, *, usable: bool = True) -> Curve:
    """Return the curve of this name, as -e of uftpproxyd wants it.

    Raises KeySpecError: unknown or, if it is to be usable, not in the crypto library.
    """
    curve = find_curve(name)
    if curve is None:
        raise KeySpecError(name, f"wanted one of the curves {', '.join(AVAILABLE)}")
    if usable and curve.make is None:
        raise KeySpecError(name, unavailable(curve))
    return curve
