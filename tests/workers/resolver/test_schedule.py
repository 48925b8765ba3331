from __future__ import annotations

import pytest

from workers.contract.settings import Address
from workers.deadlines import NEVER
from workers.resolver.lookup import Answer
from workers.resolver.schedule import Change, Schedule, Turn

S = 1_000_000_000
START = 5 * S
A1, A2, B6 = Address(4, 1), Address(4, 2), Address(6, 9)
FAILED = Answer(frozenset(), reason="gone", unanswered=frozenset({4, 6}))


def answer(*addresses: Address, ttl_s: int | None = 300, unanswered=()) -> Answer:
    return Answer(frozenset(addresses), ttl_s, unanswered=frozenset(unanswered))


def begin(*names: str, known=None) -> Schedule:
    return Schedule(names, START, known or {})


def test_every_name_is_due_at_first():
    schedule = begin("a", "b")
    assert schedule.next_ns() == START
    assert schedule.take_due(START) == ["a", "b"]
    assert schedule.book == {}


def test_a_name_that_is_asked_for_is_not_due_until_it_has_been_answered():
    schedule = begin("a", "b")
    assert schedule.take_due(START) == ["a", "b"]
    assert (schedule.take_due(NEVER - 1), schedule.next_ns()) == ([], NEVER)
    schedule.answered("a", answer(A1, ttl_s=60), START)
    assert schedule.take_due(START + 60 * S) == ["a"]


def test_without_names_nothing_is_ever_due():
    assert begin().next_ns() == NEVER
    assert begin().take_due(NEVER - 1) == []


@pytest.mark.parametrize(
    ("ttl_s", "wait_s"), [(0, 60), (59, 60), (300, 300), (86_400, 86_400), (10**9, 86_400), (None, 600)]
)
def test_a_name_is_due_when_its_time_is_over_within_bounds(ttl_s: int | None, wait_s: int):
    schedule = begin("a")
    schedule.answered("a", answer(A1, ttl_s=ttl_s), START + S)
    assert schedule.next_ns() == START + S + wait_s * S
    assert schedule.take_due(schedule.next_ns() - 1) == []
    assert schedule.take_due(schedule.next_ns()) == ["a"]


def test_the_next_name_due_counts():
    schedule = begin("a", "b")
    schedule.answered("a", answer(A1, ttl_s=900), START)
    schedule.answered("b", answer(A1, ttl_s=100), START)
    assert schedule.next_ns() == START + 100 * S


def test_only_other_addresses_are_a_change():
    schedule = begin("a")
    assert schedule.answered("a", answer(A1), START) == Change(True, Turn.NOTHING)
    assert schedule.answered("a", answer(A1), START) == Change(False, Turn.NOTHING)
    assert schedule.answered("a", answer(A1, A2), START) == Change(True, Turn.NOTHING)
    assert schedule.answered("a", answer(A2), START) == Change(True, Turn.NOTHING)
    assert schedule.book == {"a": {A2}}


def test_a_failure_keeps_the_old_addresses_and_is_tried_again_in_a_minute():
    schedule = begin("a")
    schedule.answered("a", answer(A1, ttl_s=86_400), START)
    assert schedule.answered("a", FAILED, START + S) == Change(False, Turn.LOST)
    assert schedule.book == {"a": {A1}}
    assert schedule.kept("a") == 1
    assert schedule.next_ns() == START + 61 * S


def test_losing_and_finding_a_name_is_told_once():
    schedule = begin("a")
    turns = [schedule.answered("a", found, START).turn for found in (FAILED, FAILED, answer(A1), answer(A1), FAILED)]
    assert turns == [Turn.LOST, Turn.NOTHING, Turn.FOUND, Turn.NOTHING, Turn.LOST]
    assert schedule.unresolved == ["a"]


def test_a_version_that_was_not_answered_keeps_its_old_addresses_and_is_asked_for_soon():
    schedule = begin("a")
    schedule.answered("a", answer(A1, B6), START)
    assert schedule.answered("a", answer(A2, unanswered=[6], ttl_s=900), START) == Change(True, Turn.NOTHING)
    assert schedule.book == {"a": {A2, B6}}
    assert schedule.next_ns() == START + 60 * S
    schedule.answered("a", answer(A2), START)
    assert schedule.book == {"a": {A2}}


def test_what_was_known_earlier_is_believed_until_the_first_answer():
    schedule = begin("a", "b", known={"a": frozenset({A1}), "c": frozenset({A2})})
    assert schedule.book == {"a": {A1}}
    assert schedule.take_due(START) == ["a", "b"]
    assert schedule.answered("a", answer(A1), START) == Change(False, Turn.NOTHING)


def test_a_name_that_had_no_address_before_is_not_lost_once_more_and_may_be_found():
    schedule = begin("a", "b", known={"a": frozenset({A1})})
    assert schedule.answered("b", FAILED, START) == Change(False, Turn.NOTHING)
    assert schedule.answered("b", answer(A2), START) == Change(True, Turn.FOUND)
    assert schedule.answered("a", FAILED, START) == Change(False, Turn.LOST)
