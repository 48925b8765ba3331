"""The asymmetric keys of UFTP: as blobs on the wire, as PEM, signing, agreeing and decrypting.

Own keys come out of PEM or are made here, peers' keys come out of blobs. Every failure on a peer's bytes is a
SealError, every one with a key of our own a KeyRefused. Source: UFTP 4.10.2, observed (tests/vectors/uftp).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from workers.errors import KeyRefused, SealError
from workers.uftp.curves import AVAILABLE, CURVES, Curve, curve_of, unavailable
from workers.uftp.fingerprint import fingerprint
from workers.uftp.hashes import SHA1, Hash
from workers.uftp.primes import Entropy, make_prime

RSA_BLOB, EC_BLOB = 1, 2
MIN_RSA_BITS, MAX_RSA_BITS = 512, 4096
RSA_EXPONENT = 65537
RSA_PREMASTER_BYTES = 48
OAEP_FROM_BITS = 768
"""Shorter RSA keys encrypt as PKCS#1 v1.5 says: OAEP would leave them too little room."""
LIBRARY_RSA_BITS = 1024
"""The library makes no shorter RSA keys."""

_RSA_HEAD = struct.Struct("!BBHI")
_EC_HEAD = struct.Struct("!BBH")
_LENGTHS = struct.Struct("!HH")
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
_PKCS1 = padding.PKCS1v15()


@dataclass(frozen=True, slots=True, eq=False)
class RsaPublicKey:
    """An RSA key to check signatures and encrypt premasters with. blob: its form on the wire; bits: of the modulus."""

    native: rsa.RSAPublicKey
    bits: int = field(init=False)
    signature_bytes: int = field(init=False)
    blob: bytes = field(init=False)

    def __post_init__(self) -> None:
        numbers = self.native.public_numbers()
        size = (self.native.key_size + 7) // 8
        object.__setattr__(self, "bits", self.native.key_size)
        object.__setattr__(self, "signature_bytes", size)
        object.__setattr__(self, "blob", _RSA_HEAD.pack(RSA_BLOB, 0, size, numbers.e) + numbers.n.to_bytes(size))

    @property
    def kind(self) -> int:
        """Return RSA_BLOB."""
        return RSA_BLOB

    @property
    def title(self) -> str:
        """Return what the log calls such a key."""
        return f"RSA, {self.bits} bits"

    def verify(self, signature: bytes, data: bytes, digest: Hash) -> None:
        """Return if the signature is this key's over the data. Raises SealError."""
        try:
            self.native.verify(signature, data, _PKCS1, digest.algorithm)
        except (InvalidSignature, ValueError):
            raise SealError("signature", f"not one of this RSA key with {digest.name}") from None

    def encrypt(self, premaster: bytes) -> bytes:
        """Return the premaster so that only the key's owner can read it. Raises SealError: a key that cannot."""
        try:
            return self.native.encrypt(premaster, _OAEP if self.bits >= OAEP_FROM_BITS else _PKCS1)
        except ValueError:
            raise SealError("key blob", f"an RSA key of {self.bits} bits that cannot encrypt a premaster") from None


@dataclass(frozen=True, slots=True, eq=False)
class EcPublicKey:
    """A point on a curve, to check signatures or to agree on a premaster with. blob: its form on the wire."""

    native: ec.EllipticCurvePublicKey
    curve: Curve
    blob: bytes = field(init=False)

    def __post_init__(self) -> None:
        numbers = self.native.public_numbers()
        size = self.curve.coordinate_bytes
        head = _EC_HEAD.pack(EC_BLOB, self.curve.number, 2 * size)
        blob = head + numbers.x.to_bytes(size) + numbers.y.to_bytes(size)
        object.__setattr__(self, "blob", blob.ljust(self.curve.blob_bytes, b"\0"))

    @property
    def kind(self) -> int:
        """Return EC_BLOB."""
        return EC_BLOB

    @property
    def title(self) -> str:
        """Return what the log calls such a key."""
        return f"ECDSA, curve {self.curve.name}"

    @property
    def signature_bytes(self) -> int:
        """Return the length of this key's signatures on the wire."""
        return self.curve.signature_bytes

    def verify(self, signature: bytes, data: bytes, digest: Hash) -> None:
        """Return if the signature, in its fixed form, is this key's over the data. Raises SealError."""
        der = self._to_der(signature)
        try:
            self.native.verify(der, data, ec.ECDSA(digest.algorithm))
        except (InvalidSignature, ValueError):
            raise SealError("signature", f"not one of this {self.curve.name} key with {digest.name}") from None

    def _to_der(self, signature: bytes) -> bytes:
        if len(signature) != self.curve.signature_bytes:
            raise SealError("signature", f"{len(signature)} bytes; wanted {self.curve.signature_bytes}")
        r_bytes, s_bytes = _LENGTHS.unpack_from(signature)
        end = _LENGTHS.size + r_bytes + s_bytes
        if end > len(signature) or any(signature[end:]):
            raise SealError("signature", f"{r_bytes} and {s_bytes} bytes for r and s do not fill it")
        middle = _LENGTHS.size + r_bytes
        r, s = int.from_bytes(signature[_LENGTHS.size : middle]), int.from_bytes(signature[middle:end])
        return encode_dss_signature(r, s)


@dataclass(frozen=True, slots=True, eq=False)
class RsaPrivateKey:
    """An own RSA key."""

    native: rsa.RSAPrivateKey
    public: RsaPublicKey

    def sign(self, data: bytes, digest: Hash) -> bytes:
        """Return a signature over the data. Raises SealError: the peer's hash is too long for a key of this size."""
        try:
            return self.native.sign(data, _PKCS1, digest.algorithm)
        except ValueError:
            raise SealError("signature", f"{self.public.title} are too few for {digest.name}") from None

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return the premaster, 48 bytes, that a peer has encrypted for this key. Raises SealError."""
        try:
            premaster = self.native.decrypt(ciphertext, _OAEP if self.public.bits >= OAEP_FROM_BITS else _PKCS1)
        except ValueError:
            raise SealError("premaster", "not encrypted for this key") from None
        if len(premaster) != RSA_PREMASTER_BYTES:
            raise SealError("premaster", f"{len(premaster)} bytes; wanted {RSA_PREMASTER_BYTES}")
        return premaster


@dataclass(frozen=True, slots=True, eq=False)
class EcPrivateKey:
    """An own key on a curve, for signatures or for ECDH."""

    native: ec.EllipticCurvePrivateKey
    public: EcPublicKey

    def sign(self, data: bytes, digest: Hash) -> bytes:
        """Return a signature over the data in its fixed form: two lengths, r, s, padding."""
        r, s = decode_dss_signature(self.native.sign(data, ec.ECDSA(digest.algorithm)))
        r_bytes, s_bytes = (r.bit_length() + 7) // 8, (s.bit_length() + 7) // 8
        signature = _LENGTHS.pack(r_bytes, s_bytes) + r.to_bytes(r_bytes) + s.to_bytes(s_bytes)
        return signature.ljust(self.public.signature_bytes, b"\0")

    def agree(self, peer: EcPublicKey) -> bytes:
        """Return the premaster, 20 bytes, that the peer can compute as well. Raises SealError: another curve."""
        return SHA1.digest(self.shared_x(peer))

    def shared_x(self, peer: EcPublicKey) -> bytes:
        """Return the X coordinate of the shared point, fixed width. Raises SealError: another curve."""
        if peer.curve != self.public.curve:
            raise SealError("ECDH key", f"on {peer.curve.name}; wanted {self.public.curve.name}")
        return self.native.exchange(ec.ECDH(), peer.native)


PublicKey: TypeAlias = RsaPublicKey | EcPublicKey
PrivateKey: TypeAlias = RsaPrivateKey | EcPrivateKey


def decode_public_key(blob: bytes) -> PublicKey:
    """Return the key of a blob: type, curve or modulus length, numbers.

    blob: as long as the message says; an EC blob may be longer than its key. Raises SealError: unknown, too short, a
    curve the library lacks, a point that is not on its curve, an RSA key under 512 or over 4,096 bits.
    """
    if len(blob) < _RSA_HEAD.size:
        raise SealError("key blob", f"{len(blob)} bytes are too short")
    if blob[0] == RSA_BLOB:
        return _decode_rsa(blob)
    if blob[0] == EC_BLOB:
        return _decode_ec(blob)
    raise SealError("key blob", f"unknown type {blob[0]}")


def _decode_rsa(blob: bytes) -> RsaPublicKey:
    _, _, size, exponent = _RSA_HEAD.unpack_from(blob)
    if _RSA_HEAD.size + size != len(blob):
        raise SealError("key blob", f"a modulus of {size} bytes in {len(blob)}")
    modulus = int.from_bytes(blob[_RSA_HEAD.size :])
    bits = modulus.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS or (bits + 7) // 8 != size:
        raise SealError("key blob", f"an RSA key of {bits} bits; wanted {MIN_RSA_BITS} to {MAX_RSA_BITS}")
    try:
        return RsaPublicKey(rsa.RSAPublicNumbers(exponent, modulus).public_key())
    except ValueError:
        raise SealError("key blob", "not an RSA key") from None


def _decode_ec(blob: bytes) -> EcPublicKey:
    _, number, size = _EC_HEAD.unpack_from(blob)
    curve = CURVES.get(number)
    if curve is None:
        raise SealError("key blob", f"unknown curve {number}")
    if curve.make is None:
        raise SealError("key blob", unavailable(curve))
    if size != 2 * curve.coordinate_bytes or _EC_HEAD.size + size > len(blob):
        raise SealError("key blob", f"a point of {size} bytes on {curve.name} in {len(blob)}")
    point = b"\x04" + blob[_EC_HEAD.size : _EC_HEAD.size + size]
    try:
        return EcPublicKey(ec.EllipticCurvePublicKey.from_encoded_point(curve.make(), point), curve)
    except ValueError:
        raise SealError("key blob", f"not a point on {curve.name}") from None


def fits(own: PublicKey, peer: PublicKey) -> bool:
    """Return whether a key can take the other's place in a message: the same type and size, or curve."""
    if isinstance(own, EcPublicKey) or isinstance(peer, EcPublicKey):
        return isinstance(own, EcPublicKey) and isinstance(peer, EcPublicKey) and own.curve == peer.curve
    return own.signature_bytes == peer.signature_bytes


def fingerprint_of(key: PublicKey) -> bytes:
    """Return the 20 bytes of a key's fingerprint."""
    return fingerprint(key.blob)


def own_key(native: object) -> PrivateKey:
    """Return one of the library's private keys as one of ours. Raises KeyRefused: not RSA or EC, size, curve."""
    if isinstance(native, rsa.RSAPrivateKey):
        if not MIN_RSA_BITS <= native.key_size <= MAX_RSA_BITS:
            raise KeyRefused(f"an RSA key of {native.key_size} bits; wanted {MIN_RSA_BITS} to {MAX_RSA_BITS}")
        public = native.public_key()
        if public.public_numbers().e >= 1 << 32:
            raise KeyRefused("an RSA key with an exponent of more than 32 bits")
        return RsaPrivateKey(native, RsaPublicKey(public))
    if isinstance(native, ec.EllipticCurvePrivateKey):
        curve = curve_of(native.curve)
        if curve is None:
            raise KeyRefused(
                f"the curve {native.curve.name} is not one of UFTP's; wanted one of {', '.join(AVAILABLE)}"
            )
        return EcPrivateKey(native, EcPublicKey(native.public_key(), curve))
    raise KeyRefused("neither an RSA nor an EC key")


def make_rsa_key(bits: int, entropy: Entropy) -> RsaPrivateKey:
    """Return a new RSA key of 512 to 4,096 bits. Raises KeyRefused.

    entropy is used below 1,024 bits; above, the library uses its own."""
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise KeyRefused(f"an RSA key of {bits} bits; wanted {MIN_RSA_BITS} to {MAX_RSA_BITS}")
    if bits >= LIBRARY_RSA_BITS:
        native = rsa.generate_private_key(RSA_EXPONENT, bits)
    else:
        native = _rsa_numbers(bits, entropy).private_key()
    return RsaPrivateKey(native, RsaPublicKey(native.public_key()))


def _rsa_numbers(bits: int, entropy: Entropy) -> rsa.RSAPrivateNumbers:
    p = make_prime((bits + 1) // 2, RSA_EXPONENT, entropy)
    q = p
    while q == p:
        q = make_prime(bits // 2, RSA_EXPONENT, entropy)
    d = pow(RSA_EXPONENT, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(RSA_EXPONENT, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)


def make_ec_key(curve: Curve, entropy: Entropy) -> EcPrivateKey:
    """Return a new key on a curve. Raises KeyRefused: a curve the library lacks."""
    if curve.make is None:
        raise KeyRefused(unavailable(curve))
    native = None
    while native is None:
        secret = int.from_bytes(entropy(curve.coordinate_bytes)) & ((1 << curve.bits) - 1)
        native = _derive(secret, curve.make())
    return EcPrivateKey(native, EcPublicKey(native.public_key(), curve))


def _derive(secret: int, curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey | None:
    """Return the key of a secret number, None if it is 0 or not below the curve's order: draw again."""
    try:
        return ec.derive_private_key(secret, curve)
    except ValueError:
        return None
