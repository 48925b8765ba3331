"""The elliptic curves of UFTP: numbers, names, sizes, and which of them the crypto library can do.

Binary curves, and the prime ones of 160 bits and those with k1 below 256 bits, are in the protocol but not in the
library: they have no constructor in the table, and are refused by name. Source: UFTP 4.10.2, observed; SEC 2.
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

_SECG = b"\x06\x05\x2b\x81\x04\x00"
"""What begins the DER form of 1.3.132.0.N. Source: SEC 2, A.2."""
_X9_62 = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01"
"""What begins the DER form of 1.2.840.10045.3.1.N. Source: RFC 5480, 2.1.1.1."""


def whole_words(count: int) -> int:
    """Round a number of bytes up to a multiple of 4."""
    return (count + 3) & ~3


class Curve(NamedTuple):
    """One curve. bits: of a coordinate; oid: the DER form of its object identifier; make: None where it is missing."""

    number: int
    name: str
    bits: int
    oid: bytes
    make: type[ec.EllipticCurve] | None

    @property
    def coordinate_bytes(self) -> int:
        """Return the fixed width of X, of Y and of a shared secret."""
        return (self.bits + 7) // 8

    @property
    def blob_bytes(self) -> int:
        """Return the length of a key blob on this curve, padding included."""
        return 4 + whole_words(2 * self.coordinate_bytes)

    @property
    def signature_bytes(self) -> int:
        """Return the length of a signature on the wire, padding included."""
        return 4 + whole_words(2 * self.coordinate_bytes)


def _secg(number: int, name: str, bits: int, arc: int, make: type[ec.EllipticCurve] | None = None) -> Curve:
    return Curve(number, name, bits, _SECG + bytes((arc,)), make)


_ROWS = (
    _secg(1, "sect163k1", 163, 1),
    _secg(2, "sect163r1", 163, 2),
    _secg(3, "sect163r2", 163, 15),
    _secg(4, "sect193r1", 193, 24),
    _secg(5, "sect193r2", 193, 25),
    _secg(6, "sect233k1", 233, 26),
    _secg(7, "sect233r1", 233, 27),
    _secg(8, "sect239k1", 239, 3),
    _secg(9, "sect283k1", 283, 16),
    _secg(10, "sect283r1", 283, 17),
    _secg(11, "sect409k1", 409, 36),
    _secg(12, "sect409r1", 409, 37),
    _secg(13, "sect571k1", 571, 38),
    _secg(14, "sect571r1", 571, 39),
    _secg(15, "secp160k1", 160, 9),
    _secg(16, "secp160r1", 160, 8),
    _secg(17, "secp160r2", 160, 30),
    _secg(18, "secp192k1", 192, 31),
    Curve(19, "prime192v1", 192, _X9_62 + b"\x01", ec.SECP192R1),
    _secg(20, "secp224k1", 224, 32),
    _secg(21, "secp224r1", 224, 33, ec.SECP224R1),
    _secg(22, "secp256k1", 256, 10, ec.SECP256K1),
    Curve(23, "prime256v1", 256, _X9_62 + b"\x07", ec.SECP256R1),
    _secg(24, "secp384r1", 384, 34, ec.SECP384R1),
    _secg(25, "secp521r1", 521, 35, ec.SECP521R1),
)

CURVES: dict[int, Curve] = {curve.number: curve for curve in _ROWS}
ALIASES = {"secp192r1": "prime192v1", "secp256r1": "prime256v1"}
AVAILABLE = tuple(curve.name for curve in _ROWS if curve.make)
"""The names of the curves that can be used."""

_BY_NAME = {curve.name: curve for curve in _ROWS} | {
    alias: curve for alias, name in ALIASES.items() for curve in _ROWS if curve.name == name
}
_BY_LIBRARY_NAME = {curve.make().name: curve for curve in _ROWS if curve.make}


def find_curve(name: str) -> Curve | None:
    """Return the curve of this name, usable or not; None if the protocol has none."""
    return _BY_NAME.get(name)


def curve_of(library_curve: ec.EllipticCurve) -> Curve | None:
    """Return the row of one of the library's curves, None if the protocol has no number for it."""
    return _BY_LIBRARY_NAME.get(library_curve.name)


def curve_in(der: bytes) -> Curve | None:
    """Return the curve whose identifier occurs in a key's DER form, for a message about a curve that is missing."""
    return next((curve for curve in _ROWS if curve.oid in der), None)


def unavailable(curve: Curve) -> str:
    """Return what to say of a curve that the library lacks."""
    return f"the curve {curve.name} cannot be used here; wanted one of {', '.join(AVAILABLE)}"
