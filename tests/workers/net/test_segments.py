"""Trains: how a received one is taken apart, and what may leave as one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.net.segments import LONGEST_SEGMENT, TRAIN_BYTES, TRAIN_DATAGRAMS, runs, split

sizes_of_datagrams = st.lists(
    st.sampled_from((0, 1, 99, 100, 100, 100, 1400, 1400, LONGEST_SEGMENT, LONGEST_SEGMENT + 1, 65_507))
    | st.integers(0, 70_000),
    min_size=1,
    max_size=200,
)


@pytest.mark.parametrize(
    ("size", "segment", "datagrams"),
    [
        (0, 0, [0]),
        (500, 0, [500]),
        (500, 500, [500]),
        (500, 600, [500]),
        (500, -1, [500]),
        (1000, 500, [500, 500]),
        (1001, 500, [500, 500, 1]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_a_train_is_cut_as_it_was_coupled(size: int, segment: int, datagrams: list[int]):
    assert split(size, segment) == datagrams


@given(st.integers(0, 65_535), st.integers(-1, 65_535))
def test_a_train_is_cut_without_rest(size: int, segment: int):
    datagrams = split(size, segment)
    assert sum(datagrams) == size
    assert len(set(datagrams[:-1])) <= 1
    assert datagrams[-1] <= datagrams[0]
    assert size == 0 or all(datagrams)


@given(sizes_of_datagrams)
def test_runs_cover_the_datagrams_in_order(sizes: list[int]):
    pieces = list(runs(sizes))
    assert [first for first, _ in pieces] == [sum(count for _, count in pieces[:index]) for index in range(len(pieces))]
    assert sum(count for _, count in pieces) == len(sizes)


@given(sizes_of_datagrams)
def test_a_run_is_what_the_kernel_takes_as_one_message(sizes: list[int]):
    for first, count in runs(sizes):
        train = sizes[first : first + count]
        if count > 1:
            assert count <= TRAIN_DATAGRAMS
            assert sum(train) <= TRAIN_BYTES
            assert 0 < train[0] <= LONGEST_SEGMENT
            assert set(train[:-1]) == {train[0]}
            assert 0 < train[-1] <= train[0]


@given(sizes_of_datagrams)
def test_a_cut_message_is_the_run_again(sizes: list[int]):
    for first, count in runs(sizes):
        train = sizes[first : first + count]
        assert split(sum(train), train[0] if count > 1 else 0) == train


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [
        ([100], [(0, 1)]),
        ([100] * 64, [(0, 64)]),
        ([100] * 65, [(0, 64), (64, 1)]),
        ([100, 100, 40, 100], [(0, 3), (3, 1)]),
        ([40, 100, 100], [(0, 1), (1, 2)]),
        ([100, 0, 100], [(0, 1), (1, 1), (2, 1)]),
        ([0, 0], [(0, 1), (1, 1)]),
        ([8_900] * 8, [(0, 7), (7, 1)]),
        ([8_901, 8_901], [(0, 1), (1, 1)]),
    ],
)
def test_runs_are_as_long_as_they_may_be(sizes: list[int], pieces: list[tuple[int, int]]):
    assert list(runs(sizes)) == pieces
