"""The shared region: its layout, its words, and what of it survives a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.workers.forked import in_child
from workers.contract.slots import (
    CLOSE_WORDS,
    HEADER_BYTES,
    SLOT,
    SLOT_BYTES,
    SOCKADDR_BYTES,
    TRACK,
    TRACK_OFFSET,
    USED,
    USED_OFFSET,
    CloseReason,
    Counter,
    DropReason,
    Region,
    SlotFields,
)
from workers.errors import ContractError

SPEC_WORDS = {
    *("dgrams-in", "dgrams-out", "bytes-in", "bytes-out", "dgrams-reached", "timeout-session", "timeout-in"),
    *("timeout-out", "timeout-both", "one-way-reply", "shutdown", "failure", "killed"),
}


@pytest.fixture
def region() -> Iterator[Region]:
    made = Region.create("test slots", 3)
    yield made
    made.unmap()


def test_a_session_fits_its_slot_and_the_part_that_changes_lies_inside() -> None:
    assert SLOT.size <= SLOT_BYTES
    assert USED_OFFSET + USED.size <= SLOT.size - 4 * SOCKADDR_BYTES
    assert SLOT_BYTES % 8 == 0


def test_the_part_that_changes_is_the_same_in_both_layouts() -> None:
    values = (*range(1, 6), 100, *range(11, 20), 31, 32, b"c", b"d", b"t", b"l")
    assert USED.unpack_from(SLOT.pack(*values), USED_OFFSET) == values[6:15]


def test_a_new_region_is_empty_and_knows_its_size(region: Region) -> None:
    assert region.slot_count == region.words[Counter.SLOTS] == 3
    assert region.sessions == 0
    assert len(region.memory) == HEADER_BYTES + 3 * SLOT_BYTES
    assert not any(region.memory[HEADER_BYTES:])


def test_slots_lie_behind_the_header_side_by_side(region: Region) -> None:
    assert [region.offset(slot) for slot in range(3)] == [HEADER_BYTES + slot * SLOT_BYTES for slot in range(3)]


def test_a_region_is_the_same_memory_where_it_is_attached(region: Region) -> None:
    other = Region.attach(os.dup(region.fd))
    region.words[Counter.SESSIONS] = 7
    region.memory[region.offset(2)] = 1
    assert other.sessions == 7
    assert other.memory[other.offset(2)] == 1
    other.unmap()


def test_a_child_writes_what_its_parent_reads(region: Region) -> None:
    def act() -> None:
        region.words[Counter.FORWARDED_OUT] = 5

    in_child(act)
    assert region.words[Counter.FORWARDED_OUT] == 5


@pytest.mark.parametrize("size", [0, HEADER_BYTES - 1, 2 * HEADER_BYTES])
def test_nobody_can_take_the_memory_away_from_the_others(region: Region, size: int) -> None:
    assert in_child(lambda: os.ftruncate(region.fd, size)).startswith("PermissionError")
    assert os.fstat(region.fd).st_size == HEADER_BYTES + 3 * SLOT_BYTES
    assert not os.get_inheritable(region.fd)


@pytest.mark.parametrize("size", [0, HEADER_BYTES - 1])
def test_what_is_too_small_is_no_region(size: int) -> None:
    fd = os.memfd_create("test small")
    os.ftruncate(fd, size)
    with pytest.raises(ContractError, match=f"{size} bytes"):
        Region.attach(fd)
    os.close(fd)


@pytest.mark.parametrize("word", [Counter.MAGIC, Counter.SLOTS])
def test_another_layout_is_refused(region: Region, word: Counter) -> None:
    region.words[word] += 1
    with pytest.raises(ContractError, match="layout"):
        Region.attach(region.fd)
    region.words[word] -= 1


def test_a_reset_forgets_sessions_and_permits_and_keeps_the_counters(region: Region) -> None:
    words = region.words
    words[Counter.SESSIONS], words[Counter.PERMITS], words[Counter.TOP] = 2, 2, 2
    words[Counter.BYTES_IN] = 99
    for slot in range(3):
        region.memory[region.offset(slot)] = 1
    region.words[Counter.CARRIED] = 5
    region.reset()
    assert region.words[Counter.CARRIED] == 0
    assert (region.sessions, words[Counter.PERMITS], words[Counter.BYTES_IN]) == (0, 0, 99)
    assert [region.memory[region.offset(slot)] for slot in range(3)] == [0, 0, 1], "beyond the top is never looked at"


def test_a_reset_leaves_the_sessions_that_are_kept(region: Region) -> None:
    words = region.words
    words[Counter.SESSIONS], words[Counter.PERMITS], words[Counter.TOP] = 3, 3, 3
    for slot in range(3):
        SLOT.pack_into(region.memory, region.offset(slot), 1, 1, 0, 4, 0, 70 + slot, *(0,) * 11, *(b"",) * 4)
    region.reset({1})
    assert (region.sessions, words[Counter.PERMITS]) == (1, 1)
    assert [region.opened(slot) for slot in (-1, 0, 1, 2, 3)] == [None, None, 71, None, None]


def test_a_top_beyond_the_slots_does_no_harm(region: Region) -> None:
    region.words[Counter.TOP] = 1_000
    region.memory[region.offset(2)] = 1
    region.reset()
    assert region.memory[region.offset(2)] == 0


def test_who_looks_through_the_sessions_when_the_region_goes_finds_no_more() -> None:
    region = Region.create("test", 4)
    region.words[Counter.TOP] = 3
    region.memory[region.offset(0)] = region.memory[region.offset(2)] = 1
    assert list(region.used()) == [0, 2]
    looking, late = region.used(), region.used()
    assert next(looking) == 0
    region.unmap()
    assert list(looking) == []
    assert list(late) == []


def test_header_words_do_not_overlap() -> None:
    runs = (
        (Counter.DROPS_OUT, len(DropReason)),
        (Counter.DROPS_IN, len(DropReason)),
        (Counter.CLOSES, len(CloseReason)),
    )
    words = [*(word for word in Counter if word < Counter.DROPS_OUT)]
    words += [first + index for first, length in runs for index in range(length)]
    assert len(set(words)) == len(words)
    assert max(words) < HEADER_BYTES // 8


def test_the_reasons_of_ends_have_the_words_of_the_log() -> None:
    assert set(CLOSE_WORDS) == SPEC_WORDS
    assert len(CLOSE_WORDS) == len(CloseReason)
    assert CLOSE_WORDS[CloseReason.ONE_WAY_REPLY] == "one-way-reply"


def test_a_slots_fields_have_their_names_in_the_order_of_their_places(region: Region) -> None:
    fields = SlotFields(*range(1, 18), *(bytes((value,) * SOCKADDR_BYTES) for value in range(18, 22)))
    SLOT.pack_into(region.memory, region.offset(1), *fields)
    TRACK.pack_into(region.memory, region.offset(1) + TRACK_OFFSET, 77)
    region.words[Counter.TOP] = 3
    assert region.fields(1) == fields
    assert region.fields(1).opened_ns == region.opened(1)
    assert list(region.references()) == [(fields.listener, fields.generation)]
    assert region.track(1) == 77
