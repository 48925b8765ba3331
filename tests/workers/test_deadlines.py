"""Deadlines by ticks: never early, at most a tick late, cancelled for good."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.deadlines import NEVER, TICK_NS, Deadlines

instants = st.integers(0, 50 * TICK_NS) | st.integers(0, 50).map(lambda tick: tick * TICK_NS)


def test_a_tick_is_short_enough_for_a_session_to_be_gone_within_a_second_k81() -> None:
    assert TICK_NS < 1_000_000_000


@given(st.lists(instants, max_size=20), st.lists(instants, max_size=10).map(sorted))
def test_items_are_due_never_early_and_a_tick_late_at_most(times: list[int], clock: list[int]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    for item, deadline_ns in enumerate(times):
        deadlines.set(item, deadline_ns)
    waiting = dict(enumerate(times))
    for now_ns in clock:
        for item in deadlines.due(now_ns):
            assert waiting.pop(item) <= now_ns
        assert all(deadline_ns + TICK_NS > now_ns for deadline_ns in waiting.values())
        assert len(deadlines) == len(waiting)


@given(st.lists(instants, min_size=1, max_size=20))
def test_the_next_alarm_is_when_something_is_due(times: list[int]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    for item, deadline_ns in enumerate(times):
        deadlines.set(item, deadline_ns)
    alarm_ns = deadlines.next_ns()
    assert min(times) <= alarm_ns < min(times) + TICK_NS
    assert deadlines.due(alarm_ns - 1) == []
    assert times.index(min(times)) in deadlines.due(alarm_ns)


@given(st.lists(st.tuples(instants, st.booleans()), max_size=20))
def test_what_is_cancelled_is_never_due(items: list[tuple[int, bool]]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    for item, (deadline_ns, kept) in enumerate(items):
        tick = deadlines.set(item, deadline_ns)
        if not kept:
            deadlines.cancel(item, tick)
    assert sorted(deadlines.due(NEVER)) == [item for item, (_, kept) in enumerate(items) if kept]
    assert len(deadlines) == 0


def test_an_item_that_was_due_may_be_cancelled_and_set_again() -> None:
    deadlines: Deadlines[str] = Deadlines()
    tick = deadlines.set("a", TICK_NS)
    assert deadlines.due(TICK_NS) == ["a"]
    deadlines.cancel("a", tick)
    deadlines.set("a", TICK_NS)
    assert deadlines.due(TICK_NS) == ["a"]


def test_with_nothing_set_there_is_no_alarm() -> None:
    deadlines: Deadlines[str] = Deadlines()
    assert deadlines.next_ns() == NEVER
    deadlines.set("a", 1)
    deadlines.due(TICK_NS)
    assert deadlines.next_ns() == NEVER


def test_what_is_cancelled_leaves_nothing_to_wait_for() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for item in range(1000):
        deadlines.cancel(item, deadlines.set(item, item * TICK_NS))
    assert deadlines.next_ns() == NEVER
    assert deadlines.due(10**18) == []


def test_items_of_one_tick_have_one_number_and_not_equal_ones() -> None:
    deadlines: Deadlines[int] = Deadlines()
    first = deadlines.set(1, 7_000 * TICK_NS)
    assert deadlines.set(2, 7_000 * TICK_NS - 1) is first
    other = deadlines.set(3, 7_001 * TICK_NS)
    assert other == first + 1
    assert deadlines.set(4, 7_001 * TICK_NS) is other
