"""Fingerprints of public keys: SHA-1 over the key blob, padding included. Source: UFTP 4.10.2, observed."""

from __future__ import annotations

import re

from workers.uftp.hashes import SHA1

FINGERPRINT_BYTES = 20

_FORM = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){19}")


def fingerprint(blob: bytes) -> bytes:
    """Return the 20 bytes of a key blob's fingerprint."""
    return SHA1.digest(blob)


def format_fingerprint(digest: bytes) -> str:
    """Return a fingerprint as it is printed: two-digit upper-case numbers with colons between."""
    return digest.hex(":").upper()


def parse_fingerprint(text: str) -> bytes | None:
    """Return the 20 bytes of a fingerprint in either case, None if the text is none."""
    return bytes.fromhex(text.replace(":", "")) if _FORM.fullmatch(text) else None
