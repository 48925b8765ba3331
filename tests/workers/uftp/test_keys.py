from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec as library_ec
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric import rsa as library_rsa
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.uftp.sample_keys import KINDS, ec, key, rsa
from workers.errors import KeyRefused, SealError
from workers.uftp.curves import AVAILABLE, CURVES, find_curve
from workers.uftp.fingerprint import fingerprint
from workers.uftp.hashes import HASHES, SHA1, SHA256, SHA384, SHA512
from workers.uftp.keys import (
    OAEP_FROM_BITS,
    decode_public_key,
    fingerprint_of,
    fits,
    make_ec_key,
    make_rsa_key,
    own_key,
)

every_kind = pytest.mark.parametrize("kind", KINDS)
missing_curves = [curve for curve in CURVES.values() if curve.make is None]
# From a session of UFTP 4.10.2 (specification of the wire, recorded): a client's secret, its peer's point, the outcome.
RECORDED_SECRET = 0xA3C379FA4795B9B972CF490AA2BCEFAE6E4CB003130E7332A28E2ED21339ED12
RECORDED_BLOB = bytes.fromhex(
    "0217004096a45b8ef12f835e7d6f1a47a86fecef69fded174d71b6fe67a7ae1c6eb5861b"
    "348b16e82c3b3ac972502194735eeefdb2b1d3465daebb4b7ad91e83ee0927cf"
)
RECORDED_X = "8f3ca6d4da539f3c7741b8c0f1975448057730181caeac448969b7b5089ad0d8"
RECORDED_PREMASTER = "4940689a94c79e7c09daf695d8fe0a6d49b1ec6b"


@every_kind
def test_a_blob_leads_back_to_its_key(kind: str) -> None:
    public = key(kind).public
    read = decode_public_key(public.blob)
    assert read.blob == public.blob
    assert read.title == public.title
    assert fits(read, public)
    assert len(public.blob) % 4 == 0


def test_blobs_have_the_form_and_the_lengths_of_the_wire() -> None:
    assert rsa(512).public.blob[:8].hex() == "0100004000010001"
    assert len(rsa(512).public.blob) == 72
    assert len(rsa(1024).public.blob) == 136
    assert ec("prime256v1").public.blob[:4].hex() == "02170040"
    assert ec("secp384r1").public.blob[:4].hex() == "02180060"
    assert ec("secp521r1").public.blob[:4].hex() == "02190084"
    assert len(ec("secp521r1").public.blob) == 136


@every_kind
def test_a_cut_blob_is_refused(kind: str) -> None:
    blob = key(kind).public.blob
    for size in range(len(blob)):
        with pytest.raises(SealError, match="key blob"):
            decode_public_key(blob[:size])


def test_a_cut_point_is_told_from_a_wrong_one() -> None:
    with pytest.raises(SealError, match="a point of 64 bytes on prime256v1 in 67"):
        decode_public_key(RECORDED_BLOB[:-1])


def test_an_elliptic_blob_may_be_longer_than_its_key_and_an_rsa_blob_may_not() -> None:
    assert decode_public_key(RECORDED_BLOB + bytes(8)).blob == RECORDED_BLOB
    with pytest.raises(SealError, match="modulus"):
        decode_public_key(rsa(512).public.blob + bytes(4))


@pytest.mark.parametrize("curve", missing_curves, ids=[curve.name for curve in missing_curves])
def test_a_curve_that_the_library_lacks_is_refused_by_name(curve) -> None:
    blob = bytes((2, curve.number)) + (2 * curve.coordinate_bytes).to_bytes(2) + bytes(2 * curve.coordinate_bytes)
    with pytest.raises(SealError, match=curve.name):
        decode_public_key(blob)
    with pytest.raises(KeyRefused, match=curve.name):
        make_ec_key(curve, os.urandom)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\x03\x00" + bytes(70),
        b"\x02\x00\x00\x40" + bytes(64),
        b"\x02\x1a\x00\x40" + bytes(64),
        b"\x02\x17\x00\x42" + bytes(66),
        b"\x02\x17\x00\x40" + bytes(64),
        b"\x02\x17\x00\x40" + b"\1" * 64,
        b"\x01\x00\x00\x40\x00\x01\x00\x01" + bytes(64),
        b"\x01\x00\x00\x40\x00\x00\x00\x00" + b"\xff" * 64,
        b"\x01\x00\x00\x40\x00\x00\x00\x02" + b"\xff" * 64,
        b"\x01\x00\x00\x3f\x00\x01\x00\x01" + b"\xff" * 63,
        b"\x01\x00\x02\x01\x00\x01\x00\x01" + b"\xff" * 513,
    ],
)
def test_what_is_no_key_is_refused(blob: bytes) -> None:
    with pytest.raises(SealError, match="key blob"):
        decode_public_key(blob)


def test_a_modulus_that_cannot_encrypt_is_the_peers_fault() -> None:
    even = decode_public_key(b"\x01\x00\x00\x40\x00\x01\x00\x01" + b"\xff" * 63 + b"\xfe")
    with pytest.raises(SealError, match="key blob"):
        even.encrypt(bytes(48))
    with pytest.raises(SealError, match="signature"):
        even.verify(bytes(64), b"", SHA1)


@given(
    blob=st.binary(max_size=200)
    | st.builds(
        lambda head, rest: head + rest,
        st.sampled_from((b"\x01\x00\x00\x40", b"\x01\x00\x00\x80", b"\x02\x17\x00\x40", b"\x02\x19\x00\x84")),
        st.binary(max_size=140),
    )
)
def test_any_bytes_are_a_key_or_a_seal_error(blob: bytes) -> None:
    try:
        public = decode_public_key(blob)
        public.verify(bytes(public.signature_bytes), b"", SHA1)
    except SealError:
        pass
    else:
        pytest.fail("a signature of zeroes was taken")


@every_kind
@pytest.mark.parametrize("digest", HASHES.values(), ids=[row.name for row in HASHES.values()])
def test_a_signature_has_its_length_and_is_taken_from_its_key_only(kind: str, digest) -> None:
    own = key(kind)
    if kind == "rsa:512" and digest in (SHA384, SHA512):
        with pytest.raises(SealError, match="too few"):
            own.sign(b"data", digest)
        return
    signature = own.sign(b"data", digest)
    assert len(signature) == own.public.signature_bytes
    own.public.verify(signature, b"data", digest)
    for signer, data in ((key(kind, 1), b"data"), (own, b"Data")):
        with pytest.raises(SealError, match="signature"):
            signer.public.verify(signature, data, digest)


@every_kind
def test_a_signature_with_any_bit_flipped_is_refused(kind: str) -> None:
    own = key(kind)
    signature = own.sign(b"data", SHA256)
    for bit in range(0, 8 * len(signature), 5):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealError, match="signature"):
            own.public.verify(bytes(flipped), b"data", SHA256)


@every_kind
@given(signature=st.binary(max_size=160))
def test_any_bytes_as_a_signature_are_refused(kind: str, signature: bytes) -> None:
    public = key(kind).public
    for tried in (signature, signature.ljust(public.signature_bytes, b"\0")[: public.signature_bytes]):
        with pytest.raises(SealError, match="signature"):
            public.verify(tried, b"data", SHA256)


@pytest.mark.parametrize("name", AVAILABLE)
def test_an_elliptic_signature_is_two_lengths_two_numbers_and_zeroes(name: str) -> None:
    own = ec(name)
    width = own.public.curve.coordinate_bytes
    for number in range(40):
        signature = own.sign(bytes((number,)), SHA256)
        r_bytes, s_bytes = int.from_bytes(signature[:2]), int.from_bytes(signature[2:4])
        end = 4 + r_bytes + s_bytes
        assert r_bytes <= width
        assert s_bytes <= width
        assert signature[4]
        assert signature[4 + r_bytes]
        assert not any(signature[end:])


def test_an_elliptic_signature_whose_lengths_leave_it_is_refused() -> None:
    for lengths in ("ffffffff", "00410040", "00000000"):
        with pytest.raises(SealError, match="signature"):
            ec("prime256v1").public.verify(bytes.fromhex(lengths) + b"\1" * 64, b"data", SHA256)


@pytest.mark.parametrize("name", AVAILABLE)
def test_both_ends_agree_on_a_premaster(name: str) -> None:
    mine, other = ec(name), ec(name, 1)
    assert mine.agree(other.public) == other.agree(decode_public_key(mine.public.blob))
    assert len(mine.agree(other.public)) == 20
    assert len(mine.shared_x(other.public)) == mine.public.curve.coordinate_bytes


def test_the_recorded_premaster_is_computed() -> None:
    own = own_key(library_ec.derive_private_key(RECORDED_SECRET, library_ec.SECP256R1()))
    peer = decode_public_key(RECORDED_BLOB)
    assert own.shared_x(peer).hex() == RECORDED_X
    assert own.agree(peer).hex() == RECORDED_PREMASTER


def test_a_point_on_another_curve_is_refused() -> None:
    with pytest.raises(SealError, match="ECDH key"):
        ec("prime256v1").agree(ec("secp256k1").public)


@pytest.mark.parametrize("bits", [512, 760, 768, 1024])
def test_a_premaster_is_encrypted_and_decrypted(bits: int) -> None:
    own = rsa(bits)
    ciphertext = decode_public_key(own.public.blob).encrypt(bytes(range(48)))
    assert len(ciphertext) == bits // 8
    assert own.decrypt(ciphertext) == bytes(range(48))


@pytest.mark.parametrize("bits", [512, 1024])
def test_a_premaster_of_another_length_is_refused(bits: int) -> None:
    own = rsa(bits)
    for size in (0, 20, 47, 49):
        with pytest.raises(SealError, match="premaster"):
            own.decrypt(own.public.encrypt(bytes(size)))


@pytest.mark.parametrize("bits", [512, 1024])
@given(data=st.data())
def test_any_bytes_for_a_premaster_are_refused(bits: int, data) -> None:
    own = rsa(bits)
    for size in (bits // 8, data.draw(st.integers(0, 200))):
        ciphertext = data.draw(st.binary(min_size=size, max_size=size))
        try:
            premaster = own.decrypt(ciphertext)
        except SealError:
            continue
        # PKCS#1 v1.5 answers garbage with garbage of any length, by chance of 48 bytes.
        assert bits < OAEP_FROM_BITS
        assert len(premaster) == 48


def test_fitting_keys_have_the_same_kind_and_size() -> None:
    assert fits(rsa(512).public, rsa(512, 1).public)
    assert not fits(rsa(512).public, rsa(1024).public)
    assert fits(ec("prime256v1").public, ec("prime256v1", 1).public)
    assert not fits(ec("prime256v1").public, ec("secp256k1").public)
    assert not fits(rsa(512).public, ec("secp256k1").public)
    assert not fits(ec("secp256k1").public, rsa(512).public)


@every_kind
def test_a_keys_fingerprint_is_its_blobs(kind: str) -> None:
    assert fingerprint_of(key(kind).public) == fingerprint(key(kind).public.blob)


@pytest.mark.parametrize("bits", [512, 513, 768, 1000, 1023])
def test_a_short_rsa_key_has_exactly_its_bits(bits: int) -> None:
    own = rsa(bits)
    assert own.public.bits == bits
    assert own.public.native.public_numbers().e == 65537


@pytest.mark.parametrize("bits", [0, 511, 4097])
def test_an_rsa_key_of_an_impossible_size_is_not_made(bits: int) -> None:
    with pytest.raises(KeyRefused, match="512 to 4096"):
        make_rsa_key(bits, os.urandom)


def test_an_elliptic_key_comes_from_the_entropy_that_is_given() -> None:
    curve = find_curve("secp521r1")
    drawn = [bytes(66), b"\xff" * 66, bytes(65) + b"\5"]
    assert make_ec_key(curve, lambda _: drawn.pop(0)).native.private_numbers().private_value == 5
    assert not drawn


@pytest.mark.parametrize(
    "native",
    [
        ed25519.Ed25519PrivateKey.generate(),
        library_ec.generate_private_key(library_ec.BrainpoolP256R1()),
        "no key",
    ],
    ids=["ed25519", "brainpool", "text"],
)
def test_a_key_of_another_kind_is_refused(native: object) -> None:
    with pytest.raises(KeyRefused):
        own_key(native)


def test_an_rsa_key_with_a_huge_exponent_is_refused() -> None:
    with pytest.raises(KeyRefused, match="exponent"):
        own_key(_with_exponent(2**32 + 15))


def _with_exponent(exponent: int) -> library_rsa.RSAPrivateKey:
    numbers = rsa(512).native.private_numbers()
    d = pow(exponent, -1, (numbers.p - 1) * (numbers.q - 1))
    public = library_rsa.RSAPublicNumbers(exponent, numbers.p * numbers.q)
    return library_rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, d, d % (numbers.p - 1), d % (numbers.q - 1), numbers.iqmp, public
    ).private_key()
