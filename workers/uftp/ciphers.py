"""The ciphers of UFTP: one row each, and contexts that are made once and serve every message of a group.

Making a CBC context costs 12 us, encrypting 1,400 bytes in one 2 us: so contexts are kept, and each message's
initialisation vector is worked into the chain (CbcEncryptor, CbcDecryptor). Source: UFTP 4.10.2, observed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, modes
from cryptography.hazmat.primitives.ciphers import Cipher as LibraryCipher
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES128, AES256

from workers.errors import EngineMisuse, SealError

TAG_BYTES = 16
SALT_BYTES = 4
AEAD_IV_BYTES = 12


class Aead(Protocol):
    """What the library's authenticated ciphers have in common."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Return the ciphertext, and the tag behind it."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext, or raise InvalidTag."""
        ...


class Cipher(NamedTuple):
    """One cipher. block: of a CBC cipher, makes its algorithm; aead: of the others; wrap: the number of the CBC cipher
    in which KEYINFO carries the group master; weak: to be named in the log."""

    number: int
    name: str
    key_bytes: int
    iv_bytes: int
    wrap: int
    block: Callable[[bytes], BlockCipherAlgorithm] | None
    aead: Callable[[bytes], Aead] | None = None
    weak: bool = False


def _des(key: bytes) -> BlockCipherAlgorithm:
    """Return DES as the library can do it: three times the same key; the second undoes the first."""
    return TripleDES(key * 3)


_ROWS = (
    Cipher(1, "des", 8, 8, 1, _des, weak=True),
    Cipher(2, "3des", 24, 8, 2, TripleDES, weak=True),
    Cipher(3, "aes128-cbc", 16, 16, 3, AES128),
    Cipher(4, "aes256-cbc", 32, 16, 4, AES256),
    Cipher(5, "aes128-gcm", 16, AEAD_IV_BYTES, 3, None, AESGCM),
    Cipher(6, "aes256-gcm", 32, AEAD_IV_BYTES, 4, None, AESGCM),
    Cipher(7, "aes128-ccm", 16, AEAD_IV_BYTES, 3, None, AESCCM),
    Cipher(8, "aes256-ccm", 32, AEAD_IV_BYTES, 4, None, AESCCM),
)
CIPHERS: dict[int, Cipher] = {row.number: row for row in _ROWS}

_PADS = tuple(bytes((count,)) * count for count in range(16 + 1))
"""PKCS#7: so many bytes of this value. Source: RFC 5652, 6.3."""


def make_iv(salt: bytes, source: bytes, counter: bytes, size: int) -> bytes:
    """Return a message's initialisation vector.

    salt: 4 bytes; source: the sender's UID as on the wire, 4 bytes; counter: 8 bytes; size: 8, 12 or 16.
    Source: UFTP 4.10.2, observed (tests/vectors/uftp).
    """
    if size == 16:
        return salt + source + counter
    if size == 12:
        return (int.from_bytes(salt) ^ int.from_bytes(source)).to_bytes(4) + counter
    return (int.from_bytes(salt + source) ^ int.from_bytes(counter)).to_bytes(8)


def _context(cipher: Cipher, key: bytes) -> LibraryCipher[modes.CBC]:
    wrap = CIPHERS[cipher.wrap]
    if wrap.block is None:
        raise EngineMisuse(f"{cipher.name} in the class for the others")
    return LibraryCipher(wrap.block(key), modes.CBC(bytes(wrap.iv_bytes)))


class CbcEncryptor:
    """Encrypts message after message under one key, each with its own vector, padded as PKCS#7 says.

    The context chains from message to message: what it will add to the next first block is our last block, so that
    block goes into the first block too, and takes itself out.
    """

    __slots__ = ("_block_bytes", "_last", "_update")

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        self._block_bytes = CIPHERS[cipher.wrap].iv_bytes
        self._update = _context(cipher, key).encryptor().update
        self._last = 0

    def encrypt(self, iv: bytes, plaintext: bytes) -> bytes:
        """Return the ciphertext: longer than the plaintext by up to a block."""
        size = self._block_bytes
        padded = plaintext + _PADS[size - len(plaintext) % size]
        first = int.from_bytes(padded[:size]) ^ int.from_bytes(iv) ^ self._last
        ciphertext = self._update(first.to_bytes(size) + padded[size:])
        self._last = int.from_bytes(ciphertext[-size:])
        return ciphertext


class CbcDecryptor:
    """Decrypts message after message under one key, each with its own vector.

    The vector goes in as a block of ciphertext before the message's; what comes out of it is thrown away.
    """

    __slots__ = ("_block_bytes", "_update")

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        self._block_bytes = CIPHERS[cipher.wrap].iv_bytes
        self._update = _context(cipher, key).decryptor().update

    def decrypt(self, iv: bytes, ciphertext: bytes) -> bytes:
        """Return the plaintext. Raises SealError: not whole blocks, or a wrong padding."""
        size = self._block_bytes
        if not ciphertext or len(ciphertext) % size:
            raise SealError("ciphertext", f"{len(ciphertext)} bytes are not whole blocks")
        padded = self._update(iv + ciphertext)
        count = padded[-1]
        if not 0 < count <= size or not padded.endswith(_PADS[count]):
            raise SealError("ciphertext", "a wrong padding")
        return padded[size:-count]


class AeadCipher:
    """Encrypts and decrypts message after message under one key, with the bytes before them authenticated."""

    __slots__ = ("_decrypt", "encrypt")

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        if cipher.aead is None:
            raise EngineMisuse(f"{cipher.name} in the class for the others")
        native = cipher.aead(key)
        self.encrypt = native.encrypt
        self._decrypt = native.decrypt

    def decrypt(self, iv: bytes, ciphertext: bytes, before: bytes) -> bytes:
        """Return the plaintext. Raises SealError: the tag, the last 16 bytes, does not fit."""
        try:
            return self._decrypt(iv, ciphertext, before)
        except InvalidTag:
            raise SealError("ciphertext", "a wrong tag") from None
