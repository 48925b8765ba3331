"""The hashes of UFTP: numbers, names, lengths, and how each is asked for. Source: UFTP 4.10.2, observed."""

from __future__ import annotations

from typing import NamedTuple

from cryptography.hazmat.primitives import hashes


class Hash(NamedTuple):
    """One hash. name: as log lines and hashlib say; size: of a digest and of an HMAC key, in bytes."""

    number: int
    name: str
    size: int
    algorithm: hashes.HashAlgorithm


SHA1 = Hash(2, "sha1", 20, hashes.SHA1())
SHA256 = Hash(3, "sha256", 32, hashes.SHA256())
SHA384 = Hash(4, "sha384", 48, hashes.SHA384())
SHA512 = Hash(5, "sha512", 64, hashes.SHA512())

HASHES: dict[int, Hash] = {row.number: row for row in (SHA1, SHA256, SHA384, SHA512)}
