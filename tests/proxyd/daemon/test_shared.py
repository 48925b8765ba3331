"""What all processes share: permits, and what a dead worker leaves behind."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.daemon.shared import Shared
from tests.proxyd.daemon.estates import free
from workers.contract.settings import Settings
from workers.contract.slots import Counter, Region
from workers.contract.store import Store
from workers.permits import Permits


def make(max_sessions: int = 3, workers: int = 2) -> Shared:
    return Shared.create(Settings("TEST", (), max_sessions, workers, ()), workers)


def free_permits(shared: Shared) -> int:
    """Take what is free, and return how much that was: 1000 at most, which is as good as no bound."""
    for count in range(1000):
        try:
            os.eventfd_read(shared.permits)
        except BlockingIOError:
            return count
    return 1000


def test_there_are_as_many_permits_as_sessions_and_none_is_had_twice() -> None:
    assert free_permits(make(max_sessions=5)) == 5


def test_each_worker_has_a_region_for_all_sessions() -> None:
    shared = make(max_sessions=7)
    assert [region.slot_count for region in shared.regions] == [7, 7]


def test_sums_are_over_all_workers() -> None:
    shared = make()
    for sessions, region in enumerate(shared.regions, 1):
        region.words[Counter.SESSIONS] = sessions
        region.words[Counter.BYTES_IN] = 10 * sessions
    assert shared.sessions == 3
    assert shared.total(Counter.BYTES_IN) == 30


def test_what_is_left_is_counted_by_permits_and_where_there_are_stores_by_what_workers_tell() -> None:
    shared = make()
    shared.regions[1].words[Counter.PERMITS] = 3
    shared.regions[1].words[Counter.SESSIONS] = 2
    assert shared.left == 3
    shared.stores = (Store.create("TEST", 0),)
    assert shared.left == 2


def test_a_dead_workers_permits_come_back_and_its_sessions_are_forgotten() -> None:
    shared = make()
    for _ in range(2):
        os.eventfd_read(shared.permits)
    words = shared.regions[1].words
    words[Counter.PERMITS] = words[Counter.SESSIONS] = 2
    words[Counter.FORWARDED_OUT] = 9
    assert shared.reclaim(1) == 2
    assert shared.sessions == 0
    assert shared.total(Counter.FORWARDED_OUT) == 9
    assert shared.reclaim(1) == 0
    assert free_permits(shared) == 3


@pytest.mark.parametrize("word", [Counter.PERMITS, Counter.TOP])
def test_nonsense_in_a_dead_workers_region_does_no_harm(word: Counter) -> None:
    shared = make()
    while free_permits(shared):
        pass
    shared.regions[0].words[word] = 2**64 - 1
    assert shared.reclaim(0) <= 3
    assert free_permits(shared) <= 3


@pytest.mark.parametrize("claimed", [3, 4, 2**64 - 1])
def test_a_dead_worker_that_claims_too_much_adds_no_permits(claimed: int) -> None:
    shared = make(max_sessions=5)
    for _ in range(3):
        os.eventfd_read(shared.permits)
    shared.regions[0].words[Counter.PERMITS] = 1
    shared.regions[1].words[Counter.PERMITS] = claimed
    assert shared.reclaim(1) == 2
    assert free_permits(shared) == 4


@pytest.mark.parametrize("added", [1, 5])
def test_permits_that_a_dead_worker_made_up_are_taken_out_again(added: int) -> None:
    shared = make(max_sessions=5)
    os.eventfd_read(shared.permits)
    shared.regions[0].words[Counter.PERMITS] = 1
    os.eventfd_write(shared.permits, added)
    assert shared.reclaim(1) == 0
    assert free_permits(shared) == 4


@pytest.mark.parametrize("claimed", [0, 2, 2**64 - 1])
def test_a_pool_filled_to_its_maximum_is_replaced_where_it_stands(claimed: int) -> None:
    shared = make(max_sessions=5)
    os.eventfd_write(shared.permits, 2**64 - 2 - 5)
    shared.regions[0].words[Counter.PERMITS] = 2
    shared.regions[1].words[Counter.PERMITS] = claimed
    assert shared.reclaim(1) <= 5
    assert free_permits(shared) == 3
    assert not os.get_inheritable(shared.permits)


def test_a_living_worker_that_claims_everything_leaves_nothing_to_give_back() -> None:
    shared = make(max_sessions=5)
    shared.regions[0].words[Counter.PERMITS] = 2**64 - 1
    assert shared.reclaim(1) == 0
    assert free_permits(shared) == 0


def hold(shared: Shared, worker: int, sessions: int) -> None:
    """Let a worker have so many sessions more, each in a slot."""
    region = shared.regions[worker]
    for slot in range(region.sessions, region.sessions + sessions):
        os.eventfd_read(shared.permits)
        region.words[Counter.PERMITS] += 1
        region.words[Counter.SESSIONS] += 1
        region.words[Counter.TOP] = slot + 1
        region.memory[region.offset(slot)] = 1


def kept(shared: Shared, worker: int) -> frozenset[int]:
    return frozenset(range(shared.regions[worker].sessions))


def end_all(shared: Shared) -> None:
    """Let all sessions of all workers end, as workers do."""
    for region in shared.regions:
        permits = Permits(shared.permits, region.words, 0)
        permits.give(region.words[Counter.PERMITS])
        permits.settle()


@given(
    before=st.integers(1, 40),
    after=st.integers(1, 40),
    held=st.lists(st.integers(0, 20), min_size=1, max_size=4),
    deaths=st.lists(st.integers(0, 3), max_size=4),
)
def test_after_fewer_sessions_are_permitted_there_are_so_many_permits_once_the_many_have_ended(
    before: int, after: int, held: list[int], deaths: list[int]
) -> None:
    shared = make(before, len(held))
    for worker, sessions in enumerate(held):
        hold(shared, worker, min(sessions, before - shared.sessions))
    if after < before:
        shared.narrow(before - after)
    shared.max_sessions = after
    for worker in range(len(held)):
        shared.reclaim(worker, kept(shared, worker))
        shared.fit(worker, "TEST")
    shared.settle(max(after - before, 0))
    for death in deaths:
        worker = death % len(held)
        shared.reclaim(worker, kept(shared, worker))
    over = max(shared.sessions - after, 0)
    assert sum(region.words[Counter.OWED] for region in shared.regions) == over
    end_all(shared)
    assert free_permits(shared) == after
    free(shared)


def test_every_worker_bears_its_part_of_what_is_too_many() -> None:
    shared = make(100, 2)
    hold(shared, 0, 60)
    hold(shared, 1, 30)
    shared.narrow(70)
    for worker in range(2):
        shared.reclaim(worker, kept(shared, worker))
    assert [region.words[Counter.OWED] for region in shared.regions] == [40, 20]


def test_a_region_that_has_become_too_small_is_replaced_with_all_that_is_in_it() -> None:
    shared = make(3)
    hold(shared, 1, 2)
    shared.regions[1].words[Counter.BYTES_IN] = 77
    shared.max_sessions = 9
    shared.fit(1, "TEST")
    first, second = shared.regions
    assert (first.slot_count, second.slot_count) == (3, 9)
    assert (second.sessions, second.words[Counter.BYTES_IN]) == (2, 77)
    assert [second.memory[second.offset(slot)] for slot in range(9)] == [1, 1] + 7 * [0]
    assert Region.attach(os.dup(second.fd)).slot_count == 9
