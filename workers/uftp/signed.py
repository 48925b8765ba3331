"""Which bytes of a datagram a signature covers: all of them, with the signature's own place filled with zeroes.

So for an ANNOUNCE with ECDH and for ENCRYPTED under HMAC and KEYEX. What CLIENT_KEY, HB_REQ and PROXY_KEY sign is not
in the datagram, or is their nonce. Source: observed: tests/vectors/uftp.
"""

from __future__ import annotations

from workers.errors import EngineMisuse
from workers.uftp.announce import Announce
from workers.uftp.header import HEADER_BYTES
from workers.uftp.keying import Encrypted


def place(message: Announce | Encrypted) -> slice:
    """Return where the signature lies in the datagram. Raises EngineMisuse for an ANNOUNCE without encryption."""
    start = HEADER_BYTES + message.signature_at
    return slice(start, start + len(_signature(message)))


def covered(datagram: bytes | bytearray | memoryview, where: slice) -> bytes:
    """Return a copy of datagram as it was signed: zeroes at the place where."""
    unsigned = bytearray(datagram)
    unsigned[where] = bytes(where.stop - where.start)
    return bytes(unsigned)


def write(datagram: bytearray | memoryview, where: slice, signature: bytes) -> None:
    """Put a signature in its place. Raises EngineMisuse where it has another length: the datagram's would change."""
    if len(signature) != where.stop - where.start or where.stop > len(datagram):
        raise EngineMisuse(f"a signature of {len(signature)} bytes at {where.start} to {where.stop}")
    datagram[where] = signature


def _signature(message: Announce | Encrypted) -> bytes:
    if isinstance(message, Encrypted):
        return message.signature
    return b"" if message.encryption is None else message.encryption.signature
