from __future__ import annotations

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import EngineMisuse, SealError
from workers.uftp.ciphers import CIPHERS, AeadCipher, CbcDecryptor, CbcEncryptor, make_iv

CHAINED = [row for row in CIPHERS.values() if row.aead is None]
AUTHENTICATED = [row for row in CIPHERS.values() if row.aead is not None]
KEY = bytes(range(32))
every_chained = pytest.mark.parametrize("row", CHAINED, ids=[row.name for row in CHAINED])
every_authenticated = pytest.mark.parametrize("row", AUTHENTICATED, ids=[row.name for row in AUTHENTICATED])
messages = st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.binary(max_size=100)), min_size=1, max_size=5)


def plain_encrypt(row, key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """Encrypt as the book says: a new context a message."""
    block = TripleDES(key * 3 if len(key) == 8 else key) if row.iv_bytes == 8 else AES(key)
    pad = row.iv_bytes - len(plaintext) % row.iv_bytes
    return Cipher(block, modes.CBC(iv)).encryptor().update(plaintext + bytes((pad,)) * pad)


def test_the_numbers_and_lengths_are_those_of_the_protocol() -> None:
    assert {row.number: (row.key_bytes, row.iv_bytes) for row in CIPHERS.values()} == {
        1: (8, 8),
        2: (24, 8),
        3: (16, 16),
        4: (32, 16),
        5: (16, 12),
        6: (32, 12),
        7: (16, 12),
        8: (32, 12),
    }


def test_keyinfo_takes_the_chained_cipher_of_the_same_key_size() -> None:
    assert {row.number: row.wrap for row in CIPHERS.values()} == {1: 1, 2: 2, 3: 3, 4: 4, 5: 3, 6: 4, 7: 3, 8: 4}
    assert all(CIPHERS[row.wrap].key_bytes == row.key_bytes for row in CIPHERS.values())


@every_chained
@given(sent=messages)
def test_a_kept_context_does_what_a_new_one_a_message_does(row, sent) -> None:
    key = KEY[: row.key_bytes]
    encryptor, decryptor = CbcEncryptor(row, key), CbcDecryptor(row, key)
    for vector, plaintext in sent:
        iv = vector[: row.iv_bytes]
        ciphertext = encryptor.encrypt(iv, plaintext)
        assert ciphertext == plain_encrypt(row, key, iv, plaintext)
        assert decryptor.decrypt(iv, ciphertext) == plaintext


def test_des_is_des() -> None:
    row = CIPHERS[1]
    key, plaintext = bytes.fromhex("0123456789abcdef"), b"Now is the time for all "
    ciphertext = CbcEncryptor(row, key).encrypt(bytes.fromhex("1234567890abcdef"), plaintext)
    assert ciphertext[:24].hex() == "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6", "FIPS 81, table C1"


@every_chained
@pytest.mark.parametrize("size", [0, 1, 7, 9, 17, 47])
def test_what_is_not_whole_blocks_is_refused(row, size: int) -> None:
    with pytest.raises(SealError, match="whole blocks"):
        CbcDecryptor(row, KEY[: row.key_bytes]).decrypt(bytes(row.iv_bytes), bytes(size))


@every_chained
@pytest.mark.parametrize("padding", [b"\0", b"\x02", b"\x01\x02", b"\x11", b"\x03\x02\x03", b"\xff"])
def test_a_wrong_padding_is_refused_and_spoils_nothing(row, padding: bytes) -> None:
    key, iv = KEY[: row.key_bytes], bytes(row.iv_bytes)
    whole = b"a" * (row.iv_bytes - len(padding)) + padding
    decryptor = CbcDecryptor(row, key)
    forged = plain_encrypt(row, key, iv, whole)[: row.iv_bytes]
    with pytest.raises(SealError, match="padding"):
        decryptor.decrypt(iv, forged)
    assert decryptor.decrypt(iv, plain_encrypt(row, key, iv, b"good")) == b"good"


@every_authenticated
def test_an_authenticated_cipher_takes_back_what_it_gave(row) -> None:
    cipher = AeadCipher(row, KEY[: row.key_bytes])
    for count in range(3):
        iv = bytes((count,)) * 12
        sealed = cipher.encrypt(iv, b"message", b"before")
        assert len(sealed) == len(b"message") + 16
        assert cipher.decrypt(iv, sealed, b"before") == b"message"


@every_authenticated
@pytest.mark.parametrize("cut", [b"", b"x" * 15, b"x" * 16, b"x" * 40])
def test_a_wrong_tag_is_refused(row, cut: bytes) -> None:
    with pytest.raises(SealError, match="tag"):
        AeadCipher(row, KEY[: row.key_bytes]).decrypt(bytes(12), cut, b"")


def test_a_vector_of_each_length_is_made_of_salt_source_and_counter() -> None:
    salt, source, counter = bytes.fromhex("01020304"), bytes.fromhex("f0f0f0f0"), bytes.fromhex("0000000000000005")
    assert make_iv(salt, source, counter, 16).hex() == "01020304f0f0f0f00000000000000005"
    assert make_iv(salt, source, counter, 12).hex() == "f1f2f3f40000000000000005"
    assert make_iv(salt, source, counter, 8).hex() == "01020304f0f0f0f5"


def test_each_class_refuses_the_ciphers_of_the_other() -> None:
    with pytest.raises(EngineMisuse, match="aes128-cbc"):
        AeadCipher(CIPHERS[3], KEY[:16])
