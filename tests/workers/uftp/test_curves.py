from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from workers.uftp.curves import ALIASES, AVAILABLE, CURVES, curve_in, curve_of, find_curve, unavailable, whole_words

every_curve = pytest.mark.parametrize("curve", CURVES.values(), ids=[curve.name for curve in CURVES.values()])


def test_every_number_of_the_protocol_has_its_row() -> None:
    assert list(CURVES) == list(range(1, 26))
    assert len({curve.name for curve in CURVES.values()}) == 25
    assert len({curve.oid for curve in CURVES.values()}) == 25


@every_curve
def test_a_curve_is_found_by_its_name(curve) -> None:
    assert find_curve(curve.name) is curve
    assert str(curve.bits) in curve.name


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_a_curve_is_found_by_its_other_name(alias: str, name: str) -> None:
    assert find_curve(alias) is find_curve(name)


def test_an_unknown_name_finds_nothing() -> None:
    assert find_curve("curve25519") is None


def test_the_library_has_six_of_them() -> None:
    assert AVAILABLE == ("prime192v1", "secp224r1", "secp256k1", "prime256v1", "secp384r1", "secp521r1")


@every_curve
def test_what_the_library_calls_a_curve_leads_back_to_its_row(curve) -> None:
    if curve.make is not None:
        assert curve.make().key_size == curve.bits
        assert curve_of(curve.make()) is curve


def test_a_curve_of_the_library_that_uftp_lacks_has_no_row() -> None:
    assert curve_of(ec.BrainpoolP256R1()) is None


@every_curve
def test_a_key_is_told_by_the_identifier_in_it(curve) -> None:
    assert curve_in(b"\x30\x10" + curve.oid + b"\xa0") is curve
    assert curve_in(b"\x30\x10" + curve.oid[:-1]) is None


@pytest.mark.parametrize(
    ("name", "blob_bytes", "signature_bytes"),
    [("prime256v1", 68, 68), ("secp384r1", 100, 100), ("secp521r1", 136, 136), ("sect163k1", 48, 48)],
)
def test_blobs_and_signatures_are_whole_words(name: str, blob_bytes: int, signature_bytes: int) -> None:
    curve = find_curve(name)
    assert (curve.blob_bytes, curve.signature_bytes) == (blob_bytes, signature_bytes)


@pytest.mark.parametrize(("count", "rounded"), [(0, 0), (1, 4), (4, 4), (5, 8), (132, 132), (133, 136)])
def test_bytes_are_rounded_up_to_words(count: int, rounded: int) -> None:
    assert whole_words(count) == rounded


def test_a_curve_that_is_missing_is_named_with_those_that_are_not() -> None:
    text = unavailable(CURVES[1])
    assert "sect163k1" in text
    assert all(name in text for name in AVAILABLE)
