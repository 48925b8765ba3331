"""What all processes share: permits, and what a dead worker leaves behind."""

from __future__ import annotations

import os

import pytest

from proxyd.daemon.shared import Shared
from workers.contract.settings import Settings
from workers.contract.slots import Counter


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
