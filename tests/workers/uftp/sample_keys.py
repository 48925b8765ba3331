"""Keys for the tests, made once, and suites to try them with."""

from __future__ import annotations

import functools
import random

from workers.uftp.ciphers import CIPHERS
from workers.uftp.curves import AVAILABLE, find_curve
from workers.uftp.hashes import HASHES
from workers.uftp.keys import EcPrivateKey, PrivateKey, RsaPrivateKey, make_ec_key, make_rsa_key
from workers.uftp.schedule import KeySet
from workers.uftp.suite import KeyExchange, SignatureType, Suite

KINDS = ("rsa:512", "rsa:1024", *(f"ec:{name}" for name in AVAILABLE))


@functools.cache
def key(kind: str, number: int = 0) -> PrivateKey:
    """Return the key of this kind and number, as rsa:512."""
    family, _, value = kind.partition(":")
    entropy = random.Random(f"{kind} {number}").randbytes
    return make_rsa_key(int(value), entropy) if family == "rsa" else make_ec_key(find_curve(value), entropy)


def rsa(bits: int, number: int = 0) -> RsaPrivateKey:
    """Return an RSA key."""
    found = key(f"rsa:{bits}", number)
    assert isinstance(found, RsaPrivateKey)
    return found


def ec(name: str, number: int = 0) -> EcPrivateKey:
    """Return a key on a curve."""
    found = key(f"ec:{name}", number)
    assert isinstance(found, EcPrivateKey)
    return found


def suites() -> list[Suite]:
    """Return every combination of cipher, hash and signature type that can be announced."""
    return [
        Suite(cipher, digest, signature, KeyExchange.RSA)
        for cipher in CIPHERS.values()
        for digest in HASHES.values()
        for signature in SignatureType
        if (signature is SignatureType.AUTHENC) == (cipher.aead is not None)
    ]


def suite_name(suite: Suite) -> str:
    """Return how a parametrised test names a suite."""
    return f"{suite.cipher.name}-{suite.digest.name}-{suite.signature.name}"


def keys_of(suite: Suite) -> KeySet:
    """Return the keys of a group with this suite."""
    draw = random.Random(suite_name(suite)).randbytes
    return KeySet(draw(suite.digest.size), draw(suite.cipher.key_bytes), draw(4))
