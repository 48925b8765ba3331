"""What an encrypted group has agreed on: cipher, hash, signature and key exchange, checked once. Pure data.

Source: UFTP 4.10.2, observed; where it says nothing (an authenticated cipher with another signature) the combination is
refused, since no server announces it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from workers.errors import SealError
from workers.uftp.ciphers import CIPHERS, Cipher
from workers.uftp.hashes import HASHES, SHA1, Hash
from workers.uftp.keys import EC_BLOB, RSA_BLOB, PublicKey, RsaPublicKey

STRONG_RSA_BITS = 2048


class SignatureType(IntEnum):
    """How an encrypted message is authenticated."""

    HMAC = 1
    KEYEX = 2
    AUTHENC = 3


class KeyExchange(IntEnum):
    """How the premaster is agreed on, and what signs."""

    RSA = 1
    ECDH_RSA = 2
    ECDH_ECDSA = 3

    @property
    def signing_kind(self) -> int:
        """Return the type of the key blobs that sign in such a group."""
        return EC_BLOB if self is KeyExchange.ECDH_ECDSA else RSA_BLOB

    @property
    def uses_ecdh(self) -> bool:
        """Return whether the announcement has an ECDH blob and a signature."""
        return self is not KeyExchange.RSA


class Suite(NamedTuple):
    """One agreement."""

    cipher: Cipher
    digest: Hash
    signature: SignatureType
    exchange: KeyExchange


def choose_suite(cipher: int, digest: int, signature: int, exchange: int) -> Suite:
    """Return the suite of an announcement's four numbers. Raises SealError, which names the number that is refused."""
    if cipher not in CIPHERS:
        raise SealError("cipher", f"unknown number {cipher}")
    if digest not in HASHES:
        raise SealError("hash", f"unknown number {digest}")
    if signature not in tuple(SignatureType):
        raise SealError("signature type", f"unknown number {signature}")
    if exchange not in tuple(KeyExchange):
        raise SealError("key exchange", f"unknown number {exchange}")
    row = CIPHERS[cipher]
    if (row.aead is not None) != (signature == SignatureType.AUTHENC):
        raise SealError("signature type", f"{SignatureType(signature).name} does not go with {row.name}")
    return Suite(row, HASHES[digest], SignatureType(signature), KeyExchange(exchange))


def weaknesses(suite: Suite, signer: PublicKey) -> tuple[str, ...]:
    """Return the names of what is weak in a group with this signing key of the server; empty where nothing is."""
    found = []
    if suite.cipher.weak:
        found.append(suite.cipher.name)
    if suite.digest is SHA1:
        found.append("sha1 (keys derived with MD5 and SHA-1)")
    if isinstance(signer, RsaPublicKey) and signer.bits < STRONG_RSA_BITS:
        found.append(f"rsa:{signer.bits}")
    return tuple(found)
