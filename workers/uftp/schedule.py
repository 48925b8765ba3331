"""From a premaster to keys: the PRF, the key schedule, and what proves that both ends have come to the same.

Not the PRF of TLS beyond its first block: what follows is made from the block before, not from its inner hash. Source:
UFTP 4.10.2, observed (tests/vectors/uftp); RFC 4346 and 5246, 5, for what is the same.
"""

from __future__ import annotations

from typing import NamedTuple

from workers.uftp.ciphers import SALT_BYTES
from workers.uftp.hashes import MD5, SHA1, Hash
from workers.uftp.keying import VERIFY_BYTES
from workers.uftp.suite import Suite

MASTER_BYTES = 48


class KeySet(NamedTuple):
    """The keys of one leg, or of the group."""

    mac_key: bytes
    key: bytes
    salt: bytes


class Handshake(NamedTuple):
    """What the two ends of a leg know before its keys.

    private: the group's private address as in the ANNOUNCE, 4 or 16 bytes; server_random, client_random: 32 bytes;
    premaster: 48 bytes (RSA) or 20 (ECDH). On its upstream leg the proxy is the client.
    """

    group_id: int
    private: bytes
    server_random: bytes
    client_random: bytes
    premaster: bytes

    def signed_bytes(self) -> bytes:
        """Return what the signature of a CLIENT_KEY is made over."""
        return b"".join((self.group_id.to_bytes(4), *self[1:]))


def prf(digest: Hash, secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    """Return so many bytes that only those who know the secret can compute."""
    seeded = label + seed
    if digest is not SHA1:
        return _expand(digest, secret, seeded, size)
    half = (len(secret) + 1) // 2
    md5, sha1 = _expand(MD5, secret[:half], seeded, size), _expand(SHA1, secret[-half:], seeded, size)
    return bytes(a ^ b for a, b in zip(md5, sha1, strict=True))


def _expand(digest: Hash, secret: bytes, seeded: bytes, size: int) -> bytes:
    block = digest.mac(secret, seeded)
    out = b""
    while len(out) < size:
        block = digest.mac(secret, block + seeded)
        out += block
    return out[:size]


def derive_master(suite: Suite, shaken: Handshake) -> bytes:
    """Return the master secret of a leg, 48 bytes."""
    seed = shaken.server_random + shaken.client_random
    return prf(suite.digest, shaken.premaster, b"master secret", seed, MASTER_BYTES)


def derive_session_keys(suite: Suite, shaken: Handshake) -> KeySet:
    """Return the keys of a leg, which protect its KEYINFO."""
    seed = shaken.server_random + shaken.client_random
    return _derive(suite, derive_master(suite, shaken), seed)


def derive_group_keys(suite: Suite, group_master: bytes, server_random: bytes) -> KeySet:
    """Return the keys that all stations of a group share. group_master: 48 bytes."""
    return _derive(suite, group_master, server_random)


def _derive(suite: Suite, master: bytes, seed: bytes) -> KeySet:
    mac_end = suite.digest.size
    key_end = mac_end + suite.cipher.key_bytes
    block = prf(suite.digest, master, b"key expansion", seed, key_end + SALT_BYTES)
    return KeySet(block[:mac_end], block[mac_end:key_end], block[key_end:])


def client_finished(suite: Suite, shaken: Handshake, group_master: bytes, client_blob: bytes = b"") -> bytes:
    """Return the verify data of a KEYINFO_ACK, 12 bytes.

    client_blob: the client's public key as in its CLIENT_KEY, empty where clients do not authenticate.
    """
    seen = suite.digest.digest(shaken.signed_bytes() + client_blob + group_master)
    return prf(suite.digest, group_master, b"client finished", seen, VERIFY_BYTES)
