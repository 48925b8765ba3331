"""The hashes of UFTP: numbers, names, lengths, and what is made with each. Source: UFTP 4.10.2, observed.

All from the one library that keys and ciphers need: the standard one's brings a second OpenSSL into every process.
"""

from __future__ import annotations

from functools import reduce
from operator import or_, xor
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC


class Hash(NamedTuple):
    """One hash. name: as log lines and hashlib say; size: of a digest and of an HMAC key, in bytes."""

    number: int
    name: str
    size: int
    algorithm: hashes.HashAlgorithm

    def digest(self, data: bytes) -> bytes:
        """Return the hash of data."""
        state = hashes.Hash(self.algorithm)
        state.update(data)
        return state.finalize()

    def mac(self, key: bytes, data: bytes) -> bytes:
        """Return the HMAC of data."""
        state = HMAC(key, self.algorithm)
        state.update(data)
        return state.finalize()


MD5 = Hash(1, "md5", 16, hashes.MD5())
"""Half of the PRF with SHA-1; no session can ask for it."""
SHA1 = Hash(2, "sha1", 20, hashes.SHA1())
SHA256 = Hash(3, "sha256", 32, hashes.SHA256())
SHA384 = Hash(4, "sha384", 48, hashes.SHA384())
SHA512 = Hash(5, "sha512", 64, hashes.SHA512())

HASHES: dict[int, Hash] = {row.number: row for row in (SHA1, SHA256, SHA384, SHA512)}


def equal(one: bytes, other: bytes) -> bool:
    """Tell whether two secrets are equal, in a time that depends on their length alone."""
    if len(one) != len(other):
        return False
    return not reduce(or_, map(xor, one, other), 0)
