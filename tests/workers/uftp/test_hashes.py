from __future__ import annotations

import hashlib
import hmac

import pytest

from workers.uftp.hashes import HASHES, MD5, equal


@pytest.mark.parametrize("row", HASHES.values(), ids=[row.name for row in HASHES.values()])
def test_a_row_is_the_same_hash_to_both_libraries(row) -> None:
    assert hashlib.new(row.name).digest_size == row.size == row.algorithm.digest_size
    assert row.algorithm.name == row.name


def test_the_numbers_are_those_of_the_protocol() -> None:
    assert {number: row.size for number, row in HASHES.items()} == {2: 20, 3: 32, 4: 48, 5: 64}


@pytest.mark.parametrize("row", [MD5, *HASHES.values()], ids=lambda row: row.name)
def test_digests_and_macs_are_those_of_the_standard_library(row) -> None:
    assert row.digest(b"some data") == hashlib.new(row.name, b"some data").digest()
    assert row.mac(b"a key", b"some data") == hmac.digest(b"a key", b"some data", row.name)


def test_equal_tells_equal_from_others_of_any_length() -> None:
    assert equal(b"abc", b"abc")
    assert not equal(b"abc", b"abd")
    assert not equal(b"abc", b"ab")
