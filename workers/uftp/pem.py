"""Private keys as PEM, as uftp_keymgt and openssl write them: traditional or PKCS#8, encrypted or not.

Written is the traditional, unencrypted form ("RSA PRIVATE KEY", "EC PRIVATE KEY" with a named curve), which 4.10.2
reads. Source: UFTP 4.10.2, observed; RFC 7468.
"""

from __future__ import annotations

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from workers.errors import KeyRefused, PassphraseWanted
from workers.uftp.curves import curve_in, unavailable
from workers.uftp.keys import PrivateKey, own_key

_BODY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", re.DOTALL)


def decode_pem(text: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """Return the private key in a PEM text, which may begin with EC PARAMETERS.

    Raises PassphraseWanted: it is encrypted, and the passphrase is missing or wrong; KeyRefused: not a key, or not one
    that UFTP and the library both can use.
    """
    try:
        native = serialization.load_pem_private_key(text, passphrase)
    except TypeError:
        if passphrase is None:
            raise PassphraseWanted("the key is encrypted") from None
        return decode_pem(text)
    except UnsupportedAlgorithm:
        raise KeyRefused(_missing_curve(text) or "a kind of key that cannot be used here") from None
    except ValueError:
        if passphrase is not None:
            raise PassphraseWanted("a wrong passphrase, or a damaged key") from None
        raise KeyRefused(_missing_curve(text) or "no private key in PEM") from None
    return own_key(native)


def _missing_curve(text: bytes) -> str:
    """Return that the key's curve is one that the library lacks, nothing if it is not for that."""
    body = _BODY.search(text)
    try:
        curve = curve_in(base64.b64decode(body[1])) if body else None
    except binascii.Error:
        return ""
    return unavailable(curve) if curve and curve.make is None else ""


def encode_pem(key: PrivateKey) -> bytes:
    """Return the private key in traditional, unencrypted PEM."""
    return key.native.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
