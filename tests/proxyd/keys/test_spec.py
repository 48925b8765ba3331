from __future__ import annotations

import os

import pytest

from proxyd.keys.spec import KeySpec, KeySpecError, parse_curve, parse_key_spec
from workers.uftp.curves import AVAILABLE, CURVES, find_curve


@pytest.mark.parametrize(("text", "bits"), [("rsa:512", 512), ("rsa:1024", 1024), ("rsa:4096", 4096)])
def test_rsa_keys_are_asked_for_by_their_bits(text: str, bits: int) -> None:
    assert parse_key_spec(text) == KeySpec(bits=bits)


@pytest.mark.parametrize("name", [*AVAILABLE, "secp192r1", "secp256r1"])
def test_elliptic_keys_are_asked_for_by_their_curves(name: str) -> None:
    assert parse_key_spec(f"ec:{name}") == KeySpec(curve=find_curve(name))


@pytest.mark.parametrize(
    "text",
    [
        *("", "rsa", "ec", "rsa:", "ec:", ":512", "512", "RSA:512", "dsa:1024", "ec:nistp256"),
        *(
            "rsa:511",
            "rsa:4097",
            "rsa:-512",
            "rsa:512x",
            "rsa:\u0665\u0661\u0662",
            "rsa:00512",
            "rsa:1024:1",
            "rsa: 1024",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_can(text: str) -> None:
    with pytest.raises(KeySpecError) as refusal:
        parse_key_spec(text)
    assert "wanted" in str(refusal.value)


@pytest.mark.parametrize("curve", [row for row in CURVES.values() if row.make is None], ids=lambda row: row.name)
def test_a_curve_that_is_missing_is_refused_by_name(curve) -> None:
    with pytest.raises(KeySpecError, match=rf"{curve.name} cannot be used here; wanted one of prime192v1"):
        parse_curve(curve.name)


@pytest.mark.parametrize(("text", "title"), [("rsa:512", "RSA, 512 bits"), ("ec:secp256r1", "ECDSA, curve prime256v1")])
def test_a_key_of_the_kind_is_made(text: str, title: str) -> None:
    assert parse_key_spec(text).make(os.urandom).public.title == title
