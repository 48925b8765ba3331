"""Deadlines by the nanosecond, and rations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.deadlines import NEVER
from workers.uftp.timers import SECOND_NS, Ration, Timers


def test_items_come_out_when_they_are_due_and_in_that_order() -> None:
    timers: Timers[str] = Timers()
    timers.set("late", 30)
    timers.set("early", 10)
    timers.set("between", 20)
    assert timers.next_ns() == 10
    assert timers.due(9) == []
    assert timers.due(20) == ["early", "between"]
    assert timers.next_ns() == 30
    assert len(timers) == 1


def test_setting_again_moves_the_deadline_either_way() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 10)
    timers.set("a", 50)
    assert timers.due(49) == []
    assert timers.due(50) == ["a"]
    timers.set("a", 50)
    timers.set("a", 10)
    assert timers.due(10) == ["a"]
    assert timers.due(100) == []


def test_bringing_forward_never_moves_a_deadline_later() -> None:
    timers: Timers[str] = Timers()
    timers.bring_forward("a", 20)
    timers.bring_forward("a", 40)
    assert timers.next_ns() == 20
    timers.bring_forward("a", 5)
    assert timers.next_ns() == 5


def test_a_cancelled_item_never_comes() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 10)
    timers.cancel("a")
    timers.cancel("b")
    assert timers.next_ns() == NEVER
    assert timers.due(99) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1000), st.sampled_from("sbcd")), max_size=300))
def test_the_earliest_deadline_is_always_that_of_a_plain_table(steps: list[tuple[int, int, str]]) -> None:
    timers: Timers[int] = Timers()
    plain: dict[int, int] = {}
    for item, at, what in steps:
        if what == "s":
            timers.set(item, at)
            plain[item] = at
        elif what == "b":
            timers.bring_forward(item, at)
            plain[item] = min(at, plain.get(item, NEVER))
        elif what == "c":
            timers.cancel(item)
            plain.pop(item, None)
        else:
            due = {key for key, deadline in plain.items() if deadline <= at}
            assert set(timers.due(at)) == due
            plain = {key: deadline for key, deadline in plain.items() if key not in due}
        assert timers.next_ns() == min(plain.values(), default=NEVER)


def test_a_ration_gives_its_burst_and_then_so_many_a_second() -> None:
    ration = Ration(a_second=10, at_once=3, now_ns=0)
    assert [ration.take(0) for _ in range(5)] == [True, True, True, False, False]
    assert not ration.take(SECOND_NS // 10 - 1)
    assert ration.take(SECOND_NS // 10)
    assert sum(ration.take(100 * SECOND_NS) for _ in range(50)) == 3
