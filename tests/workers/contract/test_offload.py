"""The records of sessions that the kernel carries, as memory of this process."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import pytest

from workers.contract.offload import DIRECTION_BYTES, EPOCH, LAST_NS, RECORD_BYTES, WORD_BYTES, Records

SLOTS = 40


@pytest.fixture
def table() -> Iterator[int]:
    descriptor = os.memfd_create("table")
    os.ftruncate(descriptor, 2 * mmap.PAGESIZE)
    yield descriptor
    os.close(descriptor)


def test_two_who_map_the_same_table_see_the_same_words(table: int) -> None:
    one, other = Records(table, SLOTS), Records(table, SLOTS)
    last = SLOTS * RECORD_BYTES // WORD_BYTES - 1
    one.words[last] = 2**64 - 1
    assert other.words[last] == 2**64 - 1
    one.unmap()
    other.unmap()


def test_a_half_holds_its_words_and_a_record_two_halves() -> None:
    assert EPOCH < LAST_NS <= DIRECTION_BYTES - WORD_BYTES
    assert RECORD_BYTES == 2 * DIRECTION_BYTES


def test_what_is_cleared_loses_its_epochs_and_no_count(table: int) -> None:
    records = Records(table, SLOTS)
    each = RECORD_BYTES // WORD_BYTES
    for word in range(SLOTS * each):
        records.words[word] = 7
    records.clear(3)
    assert [records.words[slot * each] for slot in range(5)] == [0, 0, 0, 7, 7]
    assert records.words[1:each] == records.words[4 * each + 1 : 5 * each]
    records.clear(SLOTS + 1)
    assert {records.words[slot * each] for slot in range(SLOTS)} == {0}
    assert records.words[SLOTS * each - 1] == 7
    records.unmap()


def test_what_is_unmapped_is_nobodys_memory_any_more(table: int) -> None:
    records = Records(table, SLOTS)
    records.unmap()
    with pytest.raises(ValueError, match="released"):
        _ = records.words[0]
