"""Sessions moved from regions into others: every slot and every count is there afterwards, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxyd.daemon.seats import LARGEST, Seated, move
from workers.contract.custody import Kept
from workers.contract.slots import SLOT, SLOT_BYTES, TRACK, TRACK_OFFSET, CloseReason, Counter, Region
from workers.contract.tallies import LINES, RULES, TARGETS, Rows

SLOTS = 8


@pytest.fixture
def regions() -> Iterator[list[Region]]:
    made = [Region.create("test", SLOTS) for _ in range(6)]
    yield made
    for region in made:
        region.unmap()


def begin(region: Region, slot: int, opened_ns: int, passed: int = 0) -> Kept:
    """Open a session, as a worker that is gone has left it."""
    words = region.words
    words[Counter.TOP] = max(words[Counter.TOP], slot + 1)
    words[Counter.SESSIONS] += 1
    words[Counter.PERMITS] += 1
    record = (1, 0, 0, 4, 0, opened_ns, 0, 0, 0, passed, *(0,) * 7, *(b"address",) * 4)
    SLOT.pack_into(region.memory, region.offset(slot), *record)
    TRACK.pack_into(region.memory, region.offset(slot) + TRACK_OFFSET, slot + 1)
    return Kept(slot, opened_ns, b"note", 100 + opened_ns)


def slots_of(region: Region) -> list[tuple[int, int]]:
    """Return the sessions of a region: when they began, and how many datagrams they have passed."""
    found = [SLOT.unpack_from(region.memory, region.offset(slot)) for slot in range(region.words[Counter.TOP])]
    return [(fields[5], fields[9]) for fields in found if fields[0]]


def track_of(region: Region, slot: int) -> int:
    number: int = TRACK.unpack_from(region.memory, region.offset(slot) + TRACK_OFFSET)[0]
    return number


def test_sessions_go_with_all_that_their_slots_say_to_where_they_are_wanted(regions: list[Region]) -> None:
    old, new = regions[:2], regions[2:5]
    kept = [begin(old[0], 5, 30, passed=3), begin(old[0], 2, 10, passed=1), begin(old[1], 2, 20, passed=2)]
    seats = [[Seated(0, kept[0])], [], [Seated(1, kept[2]), Seated(0, kept[1])]]
    placed = move(old, new, seats)
    assert [slots_of(region) for region in new] == [[(30, 3)], [], [(10, 1), (20, 2)]]
    assert placed == [[kept[0]._replace(slot=0)], [], [kept[1]._replace(slot=0), kept[2]._replace(slot=1)]]
    assert [region.words[Counter.PERMITS] for region in new] == [1, 0, 2]
    assert [region.sessions for region in new] == [1, 0, 2]
    whole = old[1].memory[old[1].offset(2) : old[1].offset(2) + SLOT_BYTES - TRACK.size]
    assert new[2].memory[new[2].offset(1) : new[2].offset(1) + SLOT_BYTES - TRACK.size] == whole


def test_no_two_sessions_of_a_worker_have_one_number_in_the_log(regions: list[Region]) -> None:
    old, new = regions[:2], regions[2:3]
    seats = [Seated(worker, begin(old[worker], 0, 10 + worker)) for worker in (1, 0)]
    move(old, new, [seats])
    assert [track_of(new[0], slot) for slot in range(2)] == [1, 2]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_sums_over_all_workers_stay_and_rows_are_found_by_their_keys(regions: list[Region], workers: int) -> None:
    old, new = regions[:2], regions[2 : 2 + workers]
    for worker, region in enumerate(old):
        region.words[Counter.RECEIVED_OUT] = 10 + worker
        region.words[Counter.CLOSES + CloseReason.KILLED] = 3
        region.words[Counter.LAG_NS] = 7
        for area, keys in ((RULES, (5, 6 + worker)), (LINES, (8,))):
            for key, start in Rows(region.words, area).claim(keys).items():
                region.words[start + 1] = key
    move(old, new, [[] for _ in new])
    assert sum(region.words[Counter.RECEIVED_OUT] for region in new) == 21
    assert sum(region.words[Counter.CLOSES + CloseReason.KILLED] for region in new) == 6
    assert sum(region.words[Counter.LAG_NS] for region in new) == 14
    sums: dict[int, int] = {}
    for region in new:
        for key, row in {**Rows(region.words, RULES).read(), **Rows(region.words, LINES).read()}.items():
            sums[key] = sums.get(key, 0) + row[1]
    assert sums == {5: 10, 6: 6, 7: 7, 8: 16}


def test_counts_that_a_worker_has_made_up_go_round_and_stop_nobody(regions: list[Region]) -> None:
    old, new = regions[:2], regions[2:3]
    for region, count in zip(old, (LARGEST, 3), strict=True):
        region.words[Counter.RECEIVED_OUT] = count
        (start,) = Rows(region.words, RULES).claim([5]).values()
        region.words[start + 1] = count
    move(old, new, [[]])
    assert new[0].words[Counter.RECEIVED_OUT] == 2
    assert Rows(new[0].words, RULES).read()[5][1] == 2


def test_of_when_a_server_was_last_heard_of_the_latest_counts(regions: list[Region]) -> None:
    old, new = regions[:3], regions[3:4]
    for region, answered in zip(old, (50, 90, 70), strict=True):
        (start,) = Rows(region.words, TARGETS).claim([4]).values()
        region.words[start + 1] = answered
    move(old, new, [[]])
    assert Rows(new[0].words, TARGETS).read()[4][1] == 90


def test_what_is_owed_for_sessions_that_are_too_many_is_owed_still(regions: list[Region]) -> None:
    old, new = regions[:2], regions[2:5]
    seats = [Seated(0, begin(old[0], slot, slot + 1)) for slot in range(4)]
    old[0].words[Counter.OWED] = 3
    move(old, new, [seats[:1], [], seats[1:]])
    assert [region.words[Counter.OWED] for region in new] == [1, 0, 2]


def test_slots_count_for_as_old_as_the_oldest_of_them(regions: list[Region]) -> None:
    old, new = regions[:3], regions[3:5]
    for region, swept, published in zip(old, (0, 500, 300), (900, 800, 700), strict=True):
        region.words[Counter.SWEPT], region.words[Counter.PUBLISHED] = swept, published
    move(old, new, [[], []])
    assert [(region.words[Counter.SWEPT], region.words[Counter.PUBLISHED]) for region in new] == [(300, 900)] * 2
