"""Sessions that are kept, by the numbers of their slots: against a dictionary, and how little each of them takes."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.daemon.shelf import Shelf
from workers.contract.custody import LATEST_NS, Entry, Kept

MANY = 800
NOTE = b"the listener's place, which is the same for all of them"


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    shelf = Shelf()
    yield shelf
    shelf.clear()


def is_open(descriptor: int) -> bool:
    with suppress(OSError):
        os.fstat(descriptor)
        return True
    return False


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from((b"", b"one", b"two")), st.booleans()), max_size=40))
def test_a_shelf_is_a_dictionary_by_slot(steps: list[tuple[int, bytes, bool]]) -> None:
    shelf, model = Shelf(), dict[int, Kept]()
    for number, (slot, note, put) in enumerate(steps):
        if put:
            descriptor = os.dup(0)
            shelf.put(Entry(slot, number, note), descriptor)
            model[slot] = Kept(slot, number, note, descriptor)
        else:
            assert shelf.drop(slot) == (model.pop(slot, None) is not None)
        assert list(shelf) == [model[slot] for slot in sorted(model)]
        assert len(shelf) == len(model)
        assert [slot for slot in range(-2, 12) if slot in shelf] == sorted(model)
        assert dict(shelf.opened()) == {slot: kept.opened_ns for slot, kept in model.items()}
    shelf.clear()
    assert not list(shelf)
    assert not any(is_open(kept.fd) for kept in model.values())


def test_what_is_dropped_or_replaced_is_closed(shelf: Shelf) -> None:
    first, second, third = (os.dup(0) for _ in range(3))
    shelf.put(Entry(4, 1, b""), first)
    shelf.put(Entry(2, 1, b""), third)
    shelf.put(Entry(4, 2, b""), second)
    # The numbers of descriptors are given anew: what counts is that the old one is not among those that are kept.
    assert {kept.slot: kept.fd for kept in shelf} == {2: third, 4: second}
    assert [shelf.descriptor(slot) for slot in range(6)] == [None, None, third, None, second, None]
    assert not is_open(first)
    assert shelf.drop(4)
    assert not is_open(second)
    assert is_open(third)
    assert not shelf.drop(4)


@pytest.mark.parametrize("slot", [-1, -7, 3, 1 << 70])
def test_a_slot_with_nothing_in_it_may_have_any_number(shelf: Shelf, slot: int) -> None:
    shelf.put(Entry(2, 1, b""), os.dup(0))
    assert slot not in shelf
    assert shelf.descriptor(slot) is None
    assert not shelf.drop(slot)
    assert len(shelf) == 1


def test_the_latest_time_there_is_can_be_kept(shelf: Shelf) -> None:
    shelf.put(Entry(0, LATEST_NS, b""), os.dup(0))
    assert [kept.opened_ns for kept in shelf] == [LATEST_NS]


def test_a_session_takes_few_bytes_where_notes_are_equal(shelf: Shelf) -> None:
    descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(MANY)]
    tracemalloc.start()
    try:
        for slot, descriptor in enumerate(descriptors):
            shelf.put(Entry(slot, slot, bytes(bytearray(NOTE))), descriptor)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 30 * len(descriptors)


def test_different_notes_are_kept_each_and_those_that_are_gone_are_not(shelf: Shelf) -> None:
    for number in range(1_000):
        shelf.put(Entry(number % 3, number, b"%d" % number), os.dup(0))
    assert [kept.note for kept in shelf] == [b"999", b"997", b"998"]
