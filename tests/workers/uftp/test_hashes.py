from __future__ import annotations

import hashlib

import pytest

from workers.uftp.hashes import HASHES


@pytest.mark.parametrize("row", HASHES.values(), ids=[row.name for row in HASHES.values()])
def test_a_row_is_the_same_hash_to_both_libraries(row) -> None:
    assert hashlib.new(row.name).digest_size == row.size == row.algorithm.digest_size
    assert row.algorithm.name == row.name


def test_the_numbers_are_those_of_the_protocol() -> None:
    assert {number: row.size for number, row in HASHES.items()} == {2: 20, 3: 32, 4: 48, 5: 64}
