"""Sealing and opening: ENCRYPTED messages, KEYINFO entries, and the signatures that cover whole datagrams.

A Sealer serves one group: it is made when the group's keys are known, and keeps the contexts of cipher and HMAC, so
that a message costs a few microseconds. Every failure on a peer's bytes is a SealError. Counters come in as arguments.
Source: UFTP 4.10.2, observed (tests/vectors/uftp).
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hmac import HMAC

from workers.errors import EngineMisuse, SealError
from workers.uftp.ciphers import CIPHERS, TAG_BYTES, AeadCipher, CbcDecryptor, CbcEncryptor, make_iv
from workers.uftp.hashes import Hash
from workers.uftp.keying import SIGNATURE_AT
from workers.uftp.keys import PrivateKey, PublicKey
from workers.uftp.schedule import MASTER_BYTES, KeySet
from workers.uftp.suite import SignatureType, Suite

_HEAD = struct.Struct("!16sQHH")
_LENGTHS = struct.Struct("!HH")
_LENGTHS_AT = 24
_SOURCE = slice(4, 8)
_COUNTER = slice(16, 24)


class Sealer(Protocol):
    """Seals and opens the ENCRYPTED messages of one group, from and to anybody in it."""

    def seal(self, header: bytes, message: bytes, counter: int) -> bytes:
        """Return the datagram of a message.

        header: the 16 bytes of the UFTP header, with function 18 and the sender's UID; message: all that would follow
        it in the clear; counter: 64 bits, never the same twice for a sender. Raises SealError: no way to sign it.
        """
        ...

    def open(self, datagram: bytes, signer: PublicKey | None = None) -> bytes:
        """Return the message that an ENCRYPTED datagram carries: all that would follow the UFTP header in the clear.

        signer: the sender's key where messages are signed (KEYEX), of no use otherwise. Raises SealError: lengths,
        signature, tag or padding are wrong.
        """
        ...

    def check(self, datagram: bytes, signer: PublicKey | None = None) -> None:
        """Return if the datagram is authentic, without looking inside. Raises SealError."""
        ...

    def relay(self, datagram: bytes, signer: PublicKey | None = None) -> bytes:
        """Return what goes on from the server to the clients: the same datagram, but with KEYEX signed anew.

        Raises SealError: the server's signature, which only KEYEX looks at, is wrong."""
        ...


def make_sealer(suite: Suite, keys: KeySet, own: PrivateKey | None = None) -> Sealer:
    """Return the sealer of a group. keys: the group's; own: the key that signs, wanted for KEYEX."""
    if suite.signature is SignatureType.AUTHENC:
        return AeadSealer(suite, keys)
    if suite.signature is SignatureType.HMAC:
        return MacSealer(suite, keys)
    if own is None:
        raise EngineMisuse("KEYEX without a key that signs")
    return SigningSealer(suite, keys, own)


def _check_lengths(datagram: bytes, signature_bytes: int) -> None:
    """Return if a datagram has the lengths of an ENCRYPTED message with such a signature."""
    if len(datagram) < SIGNATURE_AT:
        raise SealError("message", f"{len(datagram)} bytes are too short")
    signature, payload = _LENGTHS.unpack_from(datagram, _LENGTHS_AT)
    if signature != signature_bytes:
        raise SealError("message", f"a signature of {signature} bytes; wanted {signature_bytes}")
    if SIGNATURE_AT + signature + payload != len(datagram):
        raise SealError("message", f"{signature} and {payload} bytes announced, {len(datagram) - SIGNATURE_AT} there")


class AeadSealer:
    """With an authenticated cipher (AUTHENC): the first 28 bytes are authenticated with the message."""

    __slots__ = ("_cipher", "_iv_bytes", "_salt")

    def __init__(self, suite: Suite, keys: KeySet) -> None:
        self._cipher = AeadCipher(suite.cipher, keys.key)
        self._iv_bytes = suite.cipher.iv_bytes
        self._salt = keys.salt

    def seal(self, header: bytes, message: bytes, counter: int) -> bytes:
        """As Sealer says."""
        head = _HEAD.pack(header, counter, 0, len(message) + TAG_BYTES)
        iv = make_iv(self._salt, head[_SOURCE], head[_COUNTER], self._iv_bytes)
        return head + self._cipher.encrypt(iv, message, head)

    def open(self, datagram: bytes, signer: PublicKey | None = None) -> bytes:
        """As Sealer says."""
        _check_lengths(datagram, 0)
        iv = make_iv(self._salt, datagram[_SOURCE], datagram[_COUNTER], self._iv_bytes)
        return self._cipher.decrypt(iv, datagram[SIGNATURE_AT:], datagram[:SIGNATURE_AT])

    def check(self, datagram: bytes, signer: PublicKey | None = None) -> None:
        """As Sealer says; the tag cannot be checked without decrypting."""
        self.open(datagram, signer)

    def relay(self, datagram: bytes, signer: PublicKey | None = None) -> bytes:
        """As Sealer says: unchanged."""
        return datagram


class _CbcSealer:
    """What the two kinds of sealer with a CBC cipher share: everything but the signature."""

    __slots__ = ("_decryptor", "_encryptor", "_iv_bytes", "_salt")

    def __init__(self, suite: Suite, keys: KeySet) -> None:
        self._encryptor = CbcEncryptor(suite.cipher, keys.key)
        self._decryptor = CbcDecryptor(suite.cipher, keys.key)
        self._iv_bytes = suite.cipher.iv_bytes
        self._salt = keys.salt

    def _encrypt(self, header: bytes, message: bytes, counter: int) -> bytes:
        iv = make_iv(self._salt, header[_SOURCE], counter.to_bytes(8), self._iv_bytes)
        return self._encryptor.encrypt(iv, message)

    def _decrypt(self, datagram: bytes, offset: int) -> bytes:
        iv = make_iv(self._salt, datagram[_SOURCE], datagram[_COUNTER], self._iv_bytes)
        return self._decryptor.decrypt(iv, datagram[offset:])


class MacSealer(_CbcSealer):
    """With a CBC cipher and an HMAC over the whole datagram, its own place zeroed."""

    __slots__ = ("_end", "_mac", "_size", "_zeros")

    def __init__(self, suite: Suite, keys: KeySet) -> None:
        super().__init__(suite, keys)
        self._mac = HMAC(keys.mac_key, suite.digest.algorithm)
        self._size = suite.digest.size
        self._end = SIGNATURE_AT + self._size
        self._zeros = bytes(self._size)

    def seal(self, header: bytes, message: bytes, counter: int) -> bytes:
        """As Sealer says."""
        ciphertext = self._encrypt(header, message, counter)
        head = _HEAD.pack(header, counter, self._size, len(ciphertext))
        mac = self._mac.copy()
        mac.update(head + self._zeros + ciphertext)
        return head + mac.finalize() + ciphertext

    def open(self, datagram: bytes, signer: PublicKey | None = None) -> bytes:
        """As Sealer says."""
        self.check(datagram, signer)
        return self._decrypt(datagram, self._end)

    def check(self, datagram: bytes, signer: PublicKey | None = None) -> None:
        """As Sealer says."""
        _check_lengths(datagram, self._size)
        mac = self._mac.copy()
        mac.update(datagram[:SIGNATURE_AT] + self._zeros + datagram[self._end :])
        try:
            mac.verify(datagram[SIGNATURE_AT : self._end])
        except InvalidSignature:
            raise SealError("signature", "a wrong HMAC") from None

    def relay(self, datagram: bytes, signer: PublicKey | None = None) -> bytes:
        """As Sealer says: unchanged."""
        return datagram


class SigningSealer(_CbcSealer):
    """With a CBC cipher and the sender's signature over the whole datagram, its own place zeroed (KEYEX)."""

    __slots__ = ("_digest", "_own")

    def __init__(self, suite: Suite, keys: KeySet, own: PrivateKey) -> None:
        super().__init__(suite, keys)
        self._digest = suite.digest
        self._own = own

    def seal(self, header: bytes, message: bytes, counter: int) -> bytes:
        """As Sealer says."""
        size = self._own.public.signature_bytes
        ciphertext = self._encrypt(header, message, counter)
        head = _HEAD.pack(header, counter, size, len(ciphertext))
        return head + self._own.sign(head + bytes(size) + ciphertext, self._digest) + ciphertext

    def open(self, datagram: bytes, signer: PublicKey | None = None) -> bytes:
        """As Sealer says."""
        self.check(datagram, signer)
        size = _LENGTHS.unpack_from(datagram, _LENGTHS_AT)[0]
        return self._decrypt(datagram, SIGNATURE_AT + size)

    def check(self, datagram: bytes, signer: PublicKey | None = None) -> None:
        """As Sealer says."""
        if signer is None:
            raise SealError("signature", "the sender's key is not known")
        _check_lengths(datagram, signer.signature_bytes)
        check_signature(datagram, SIGNATURE_AT, signer, self._digest)

    def relay(self, datagram: bytes, signer: PublicKey | None = None) -> bytes:
        """As Sealer says: the signer's signature is checked, and ours takes its place, which must be as long."""
        self.check(datagram, signer)
        if _LENGTHS.unpack_from(datagram, _LENGTHS_AT)[0] != self._own.public.signature_bytes:
            raise SealError("signature", "of another length than ours")
        return sign_in_place(datagram, SIGNATURE_AT, self._own, self._digest)


def sign_in_place(datagram: bytes, offset: int, key: PrivateKey, digest: Hash) -> bytes:
    """Return a datagram with its signature, made over all of it with the signature's place zeroed.

    offset: where the signature begins; its place, as long as the key's signatures are, is there already. For the
    ANNOUNCE of an ECDH group, and for ENCRYPTED messages. Raises SealError: no room, or a key that cannot.
    """
    end = offset + key.public.signature_bytes
    if end > len(datagram):
        raise SealError("signature", f"{len(datagram) - offset} bytes of room; wanted {end - offset}")
    head, rest = datagram[:offset], datagram[end:]
    return head + key.sign(head + bytes(end - offset) + rest, digest) + rest


def check_signature(datagram: bytes, offset: int, key: PublicKey, digest: Hash) -> None:
    """Return if a datagram has the key's signature at this offset, made as sign_in_place does. Raises SealError."""
    end = offset + key.signature_bytes
    if end > len(datagram):
        raise SealError("signature", f"{len(datagram) - offset} bytes; wanted {end - offset}")
    key.verify(datagram[offset:end], datagram[:offset] + bytes(end - offset) + datagram[end:], digest)


class KeyinfoHead(NamedTuple):
    """What the datagram of a KEYINFO adds to its entries.

    version: its first byte, which is the group master's as well; source: its source ID, always the server's, also where
    a proxy sends it; counter: its 64 bits, the same for all entries of one datagram.
    """

    version: int
    source: int
    counter: int


def wrap_group_master(suite: Suite, session: KeySet, head: KeyinfoHead, group_master: bytes) -> bytes:
    """Return one KEYINFO entry's 48 bytes. session: of the addressed station's leg; group_master: 48 bytes."""
    return CbcEncryptor(suite.cipher, session.key).encrypt(_wrap_iv(suite, session, head), group_master[1:])


def unwrap_group_master(suite: Suite, session: KeySet, head: KeyinfoHead, entry: bytes) -> bytes:
    """Return the group master, 48 bytes, out of our entry in a KEYINFO. session: of our leg. Raises SealError."""
    rest = CbcDecryptor(suite.cipher, session.key).decrypt(_wrap_iv(suite, session, head), entry)
    if len(rest) != MASTER_BYTES - 1:
        raise SealError("group master", f"{len(rest)} bytes; wanted {MASTER_BYTES - 1}")
    return bytes((head.version,)) + rest


def _wrap_iv(suite: Suite, session: KeySet, head: KeyinfoHead) -> bytes:
    size = CIPHERS[suite.cipher.wrap].iv_bytes
    return make_iv(session.salt, head.source.to_bytes(4), head.counter.to_bytes(8), size)
