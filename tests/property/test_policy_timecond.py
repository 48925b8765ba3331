"""Time conditions against a reading that walks from the first day, weekday or minute to the last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.kit.examples import examples
from workers.contract.settings import TimeCondition, TimeItem, TimePeriods, TimeSpec
from workers.policy.timecond import CivilTime, holds

DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
CALENDAR = [(day, month) for month, count in enumerate(DAYS, start=1) for day in range(1, count + 1)]
"""Every (day, month) of a leap year."""
dates = st.sampled_from(CALENDAR)
weekdays = st.integers(0, 6)
minutes = st.integers(0, 1439)


def sets(values: st.SearchStrategy[int]) -> st.SearchStrategy[frozenset[int] | None]:
    return st.none() | st.frozensets(values, max_size=4)


def pairs(values: st.SearchStrategy) -> st.SearchStrategy[tuple]:
    return st.lists(st.tuples(values, values), max_size=3).map(tuple)


items = st.builds(
    TimeItem,
    sets(st.integers(1, 31)),
    sets(st.integers(1, 12)),
    sets(weekdays),
    st.none() | st.lists(st.tuples(minutes, st.integers(0, 1440)), max_size=3).map(tuple),
)
specs = st.builds(TimeSpec, st.just("x"), pairs(dates), pairs(weekdays), pairs(minutes))
conditions: st.SearchStrategy[TimeCondition] = st.one_of(
    st.lists(items, min_size=1, max_size=3).map(tuple),
    st.builds(TimePeriods, st.booleans(), st.lists(specs, max_size=3).map(tuple)),
)
moments = st.builds(lambda date, w, m: CivilTime(date[1], date[0], w, m), dates, weekdays, minutes)


def walk(circle: list, first, last) -> list:
    """Go round the circle from first until last has been reached, and return where we were."""
    place = circle.index(first)
    been = [circle[place]]
    while circle[place] != last:
        place = (place + 1) % len(circle)
        been.append(circle[place])
    return been


def item_holds(item: TimeItem, when: CivilTime) -> bool:
    open_minutes = None
    if item.minutes is not None:
        open_minutes = [minute for first, last in item.minutes for minute in range(first, last)]
    wanted = [
        (item.days, when.day),
        (item.months, when.month),
        (item.weekdays, when.weekday),
        (open_minutes, when.minute),
    ]
    return all(value in allowed for allowed, value in wanted if allowed is not None)


def spec_holds(spec: TimeSpec, when: CivilTime) -> bool:
    on_dates = [date for first, last in spec.dates for date in walk(CALENDAR, first, last)]
    on_weekdays = [weekday for first, last in spec.weekdays for weekday in walk(list(range(7)), first, last)]
    clock = list(range(1440))
    on_minutes = [minute for first, last in spec.hours for minute in walk(clock, first, (last - 1) % 1440)]
    kinds = [
        (spec.dates, on_dates, (when.day, when.month)),
        (spec.weekdays, on_weekdays, when.weekday),
        (spec.hours, on_minutes, when.minute),
    ]
    return all(value in listed for given_kind, listed, value in kinds if given_kind)


def plainly(condition: TimeCondition, when: CivilTime) -> bool:
    if isinstance(condition, TimePeriods):
        listed = any(spec_holds(spec, when) for spec in condition.specs)
        return not listed if condition.exclude else listed
    return any(item_holds(item, when) for item in condition)


@examples(100)
@given(conditions, st.lists(moments, min_size=1, max_size=5))
def test_a_condition_agrees_with_walking_through_its_time(condition: TimeCondition, asked: list[CivilTime]):
    for when in asked:
        assert holds(condition, when) is plainly(condition, when)


@examples(30)
@given(specs, st.booleans(), dates, weekdays)
def test_every_minute_of_a_day_agrees(spec: TimeSpec, exclude: bool, date: tuple[int, int], weekday: int):
    condition = TimePeriods(exclude, (spec,))
    on_day = spec_holds(TimeSpec("x", spec.dates, spec.weekdays), CivilTime(date[1], date[0], weekday, 0))
    clock = list(range(1440))
    hours = {minute for first, last in spec.hours for minute in walk(clock, first, (last - 1) % 1440)}
    for minute in clock:
        inside = on_day and (not spec.hours or minute in hours)
        assert holds(condition, CivilTime(date[1], date[0], weekday, minute)) is (inside is not exclude)
