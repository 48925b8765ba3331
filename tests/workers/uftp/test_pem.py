from __future__ import annotations

import base64
import textwrap

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.workers.uftp.sample_keys import KINDS, ec, key, rsa
from workers.errors import KeyRefused, PassphraseWanted
from workers.uftp.curves import CURVES
from workers.uftp.pem import decode_pem, encode_pem

PEM = serialization.Encoding.PEM
TRADITIONAL, PKCS8 = serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()
SECRET = serialization.BestAvailableEncryption(b"secret")
EC_PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def pem_of(label: str, der: bytes) -> bytes:
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_written_in_the_traditional_form_and_read_again(kind: str) -> None:
    text = encode_pem(key(kind))
    assert text.startswith(
        b"-----BEGIN RSA PRIVATE KEY-----\n" if "rsa" in kind else b"-----BEGIN EC PRIVATE KEY-----\n"
    )
    assert decode_pem(text).public.blob == key(kind).public.blob


@pytest.mark.parametrize("kind", ["rsa:1024", "ec:prime256v1"])
@pytest.mark.parametrize("form", [TRADITIONAL, PKCS8])
def test_both_forms_are_read_plain_and_encrypted(kind: str, form) -> None:
    native, blob = key(kind).native, key(kind).public.blob
    assert decode_pem(native.private_bytes(PEM, form, PLAIN)).public.blob == blob
    assert decode_pem(native.private_bytes(PEM, form, PLAIN), b"not needed").public.blob == blob
    encrypted = native.private_bytes(PEM, form, SECRET)
    assert decode_pem(encrypted, b"secret").public.blob == blob
    for passphrase in (None, b"wrong"):
        with pytest.raises(PassphraseWanted):
            decode_pem(encrypted, passphrase)


def test_curve_parameters_may_stand_before_the_key() -> None:
    text = EC_PARAMETERS + encode_pem(ec("prime256v1"))
    assert decode_pem(text).public.blob == ec("prime256v1").public.blob


@pytest.mark.parametrize("curve", [row for row in CURVES.values() if row.make is None], ids=lambda row: row.name)
def test_a_key_on_a_curve_that_the_library_lacks_is_refused_by_name(curve) -> None:
    size = curve.coordinate_bytes
    fields = b"\x02\x01\x01\x04" + bytes((size,)) + b"\1" * size + b"\xa0" + bytes((len(curve.oid),)) + curve.oid
    with pytest.raises(KeyRefused, match=curve.name):
        decode_pem(pem_of("EC PRIVATE KEY", b"\x30" + bytes((len(fields),)) + fields))


def test_a_key_of_another_kind_is_refused() -> None:
    text = ed25519.Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, PLAIN)
    with pytest.raises(KeyRefused, match="neither an RSA nor an EC key"):
        decode_pem(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"-----BEGIN RSA PRIVATE KEY-----\n!!!\n-----END RSA PRIVATE KEY-----\n",
        pem_of("RSA PRIVATE KEY", b"\x30\x00"),
        pem_of("EC PRIVATE KEY", b"\x30\x03\x02\x01"),
        pem_of("EC PRIVATE KEY", b"\x30\x20" + CURVES[23].oid),
        rsa(512).native.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        encode_pem(rsa(512))[:200],
    ],
    ids=["empty", "binary", "not base64", "empty sequence", "cut sequence", "cut curve", "public", "cut"],
)
def test_what_is_no_private_key_is_refused(text: bytes) -> None:
    with pytest.raises(KeyRefused, match="no private key"):
        decode_pem(text)
