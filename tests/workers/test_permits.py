"""The pool of free sessions: never one too many, none refused while one is free, and the dead leave their count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.session_parts import Pool
from workers.contract.slots import Counter
from workers.permits import Permits


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(2) as made:
        yield made


def test_no_more_are_taken_than_there_are_k83(pool: Pool) -> None:
    (one, _), (other, _) = pool.permits(), pool.permits()
    assert [one.take(), other.take(), one.take(), other.take()] == [True, True, False, False]


def test_one_given_back_serves_its_worker_at_once_and_others_when_settled(pool: Pool) -> None:
    (one, _), (other, _) = pool.permits(), pool.permits()
    one.take()
    one.take()
    one.give()
    assert not other.take()
    assert one.take()
    one.give()
    one.settle()
    assert other.take()
    assert not one.take()


def test_what_a_worker_holds_stands_in_its_header_spare_ones_too(pool: Pool) -> None:
    permits, words = pool.permits()
    permits.take()
    permits.take()
    permits.take()
    assert words[Counter.PERMITS] == 2
    permits.give()
    assert words[Counter.PERMITS] == 2
    assert permits.holding
    permits.settle()
    assert words[Counter.PERMITS] == 1
    assert not permits.holding
    assert pool.free() == 1


def test_a_spare_permit_is_put_back_when_it_was_not_taken_for_a_turn(pool: Pool) -> None:
    permits, _ = pool.permits()
    permits.take()
    permits.give()
    permits.age()
    assert pool.free() == 1
    permits.age()
    assert pool.free() == 2


def test_a_spare_permit_that_was_taken_is_not_put_back(pool: Pool) -> None:
    permits, _ = pool.permits()
    permits.take()
    permits.give()
    permits.age()
    assert permits.take()
    permits.age()
    assert pool.free() == 1


MOVES = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(("take", "take", "try", "give", "settle", "age"))), max_size=60
)


@given(st.integers(0, 4), MOVES)
def test_workers_together_never_have_more_than_the_pool(capacity: int, moves: list[tuple[int, str]]) -> None:
    with Pool(capacity) as pool:
        workers = [pool.permits() for _ in range(3)]
        taken = [0, 0, 0]
        for index, move in moves:
            permits, _ = workers[index]
            if move == "take":
                settled = not any(other.holding for other, _ in workers)
                full = sum(taken) == capacity
                granted = permits.take()
                taken[index] += granted
                assert granted or full or not settled
            elif move == "give" and taken[index]:
                permits.give()
                taken[index] -= 1
            elif move == "try":
                permits.untake(permits.take_some(3))
            elif move == "settle":
                permits.settle()
            elif move == "age":
                permits.age()
            assert sum(taken) <= capacity
            held = [words[Counter.PERMITS] for _, words in workers]
            assert pool.free() + sum(held) == capacity
            assert all(count >= has for count, has in zip(held, taken, strict=True))
        for permits, _ in workers:
            permits.settle()
        assert pool.free() == capacity - sum(taken)


def test_those_given_back_first_are_taken_first_and_the_later_ones_kept_a_turn(pool: Pool) -> None:
    permits, _ = pool.permits()
    assert permits.take_some(2) == 2
    permits.give(2)
    permits.age()
    assert permits.take_some(2) == 2
    permits.give(2)
    permits.age()
    assert pool.free() == 0
    assert permits.take()
    permits.give()
    permits.age()
    assert pool.free() == 1


def test_those_that_no_session_came_for_go_back_with_the_turn() -> None:
    with Pool(100) as pool:
        permits, words = pool.permits()
        for _ in range(6):
            permits.untake(permits.take_some(64))
            permits.age()
            assert (words[Counter.PERMITS], pool.free()) == (0, 100)
        assert not permits.holding


def test_a_part_that_no_session_came_for_goes_back_and_the_rest_stays_taken() -> None:
    with Pool(100) as pool:
        permits, words = pool.permits()
        permits.untake(permits.take_some(64) - 10)
        permits.age()
        assert (words[Counter.PERMITS], pool.free()) == (10, 90)


def test_of_those_not_needed_nobody_gets_what_there_is_too_many_of(pool: Pool) -> None:
    _, words = pool.permits()
    words[Counter.OWED] = 1
    permits = Permits(pool.fd, words, 2)
    permits.untake(permits.take_some(2))
    permits.age()
    assert (words[Counter.OWED], words[Counter.PERMITS], pool.free()) == (0, 0, 1)
