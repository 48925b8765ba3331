from __future__ import annotations

import pytest

from workers.contract.settings import TimeItem, TimePeriods, TimeSpec
from workers.policy.timecond import CivilTime, holds

MONDAY = CivilTime(month=6, day=15, weekday=1, minute=10 * 60)


def periods(*specs: TimeSpec, exclude: bool = False) -> TimePeriods:
    return TimePeriods(exclude, specs)


def test_no_items_are_no_condition():
    assert holds((), MONDAY)


@pytest.mark.parametrize(
    "item",
    [
        TimeItem(),
        TimeItem(days=frozenset({15})),
        TimeItem(months=frozenset({6})),
        TimeItem(weekdays=frozenset({1})),
        TimeItem(minutes=((0, 1), (600, 601))),
    ],
)
def test_an_item_checks_only_the_elements_it_has(item: TimeItem):
    assert holds((item,), MONDAY)


@pytest.mark.parametrize(
    "item",
    [
        TimeItem(days=frozenset({14})),
        TimeItem(months=frozenset({5})),
        TimeItem(weekdays=frozenset({0})),
        TimeItem(minutes=((601, 700),)),
        TimeItem(days=frozenset({15}), weekdays=frozenset({2})),
    ],
)
def test_every_element_of_an_item_must_hold(item: TimeItem):
    assert not holds((item,), MONDAY)


def test_one_of_several_items_suffices():
    assert holds((TimeItem(days=frozenset({1})), TimeItem(months=frozenset({6}))), MONDAY)


def test_the_end_of_hhmm_is_excluded():
    office = (TimeItem(minutes=((8 * 60, 16 * 60 + 30),)),)
    assert holds(office, MONDAY._replace(minute=16 * 60 + 29))
    assert not holds(office, MONDAY._replace(minute=16 * 60 + 30))


@pytest.mark.parametrize(("day", "month", "inside"), [(23, 12, False), (24, 12, True), (31, 12, True), (1, 1, True)])
def test_dates_run_across_new_year_with_their_first_day(day: int, month: int, inside: bool):
    holidays = periods(TimeSpec("holidays", dates=(((24, 12), (2, 1)),)))
    assert holds(holidays, MONDAY._replace(day=day, month=month)) is inside


@pytest.mark.parametrize(("day", "inside"), [(2, True), (3, False)])
def test_dates_run_across_new_year_with_their_last_day(day: int, inside: bool):
    holidays = periods(TimeSpec("holidays", dates=(((24, 12), (2, 1)),)))
    assert holds(holidays, MONDAY._replace(day=day, month=1)) is inside


def test_dates_that_end_with_a_month_do_not_reach_the_next():
    january = periods(TimeSpec("x", dates=(((1, 1), (31, 1)),)))
    assert holds(january, MONDAY._replace(day=31, month=1))
    assert not holds(january, MONDAY._replace(day=1, month=2))


def test_dates_over_the_end_of_february_include_a_leap_day():
    assert holds(periods(TimeSpec("x", dates=(((28, 2), (1, 3)),))), MONDAY._replace(day=29, month=2))


@pytest.mark.parametrize(("weekday", "inside"), [(4, False), (5, True), (6, True), (0, True), (1, True), (2, False)])
def test_weekdays_run_across_saturday(weekday: int, inside: bool):
    assert holds(periods(TimeSpec("x", weekdays=((5, 1),))), MONDAY._replace(weekday=weekday)) is inside


@pytest.mark.parametrize(
    ("minute", "inside"), [(1319, False), (1320, True), (1439, True), (0, True), (359, True), (360, False)]
)
def test_hours_run_across_midnight_without_their_end(minute: int, inside: bool):
    assert holds(periods(TimeSpec("x", hours=((22 * 60, 6 * 60),))), MONDAY._replace(minute=minute)) is inside


def test_hours_that_end_where_they_begin_last_all_day():
    assert holds(periods(TimeSpec("x", hours=((480, 480),))), MONDAY)
    assert holds(periods(TimeSpec("x", hours=((480, 480),))), MONDAY._replace(minute=479))


def test_the_kinds_of_a_spec_must_all_hold():
    assert holds(periods(TimeSpec("x", weekdays=((1, 5),), hours=((480, 960),))), MONDAY)
    assert not holds(periods(TimeSpec("x", weekdays=((1, 5),), hours=((0, 60),))), MONDAY)


def test_one_of_several_specs_suffices():
    assert holds(periods(TimeSpec("x", weekdays=((0, 0),)), TimeSpec("y", hours=((600, 601),))), MONDAY)


def test_exclude_turns_the_whole_set_round():
    assert not holds(periods(TimeSpec("x", weekdays=((1, 1),)), exclude=True), MONDAY)
    assert holds(periods(TimeSpec("x", weekdays=((2, 2),)), exclude=True), MONDAY)


def test_a_set_without_specs_lists_no_time():
    assert not holds(periods(), MONDAY)
    assert holds(periods(exclude=True), MONDAY)
