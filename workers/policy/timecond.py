"""Whether a time condition holds at a moment of civil time. Knows no clock and no time zone: the moment is an argument.

Source: udp-proxy.cfg(5), TIME.
"""

from __future__ import annotations

from typing import NamedTuple

from workers.contract.settings import TimeCondition, TimeItem, TimePeriods, TimeSpec

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As the configuration calls them."""


class CivilTime(NamedTuple):
    """A moment as a wall calendar and a clock show it: month 1-12, day 1-31, weekday 0 = Sunday, minute 0-1439."""

    month: int
    day: int
    weekday: int
    minute: int


def holds(condition: TimeCondition, when: CivilTime) -> bool:
    """Tell whether the condition holds; no items at all are no condition, and hold always."""
    if isinstance(condition, TimePeriods):
        return any(_spec_holds(spec, when) for spec in condition.specs) is not condition.exclude
    return not condition or any(_item_holds(item, when) for item in condition)


def _item_holds(item: TimeItem, when: CivilTime) -> bool:
    return (
        (item.days is None or when.day in item.days)
        and (item.months is None or when.month in item.months)
        and (item.weekdays is None or when.weekday in item.weekdays)
        and (item.minutes is None or any(first <= when.minute < last for first, last in item.minutes))
    )


def _spec_holds(spec: TimeSpec, when: CivilTime) -> bool:
    return (
        (not spec.dates or any(_on_date(dates, when) for dates in spec.dates))
        and (not spec.weekdays or any(_within(first, when.weekday, last) for first, last in spec.weekdays))
        and (not spec.hours or any(_in_hours(first, when.minute, last) for first, last in spec.hours))
    )


def _on_date(dates: tuple[tuple[int, int], tuple[int, int]], when: CivilTime) -> bool:
    (first_day, first_month), (last_day, last_month) = dates
    first, last = _day_of_year(first_month, first_day), _day_of_year(last_month, last_day)
    return _within(first, _day_of_year(when.month, when.day), last)


def _day_of_year(month: int, day: int) -> int:
    """Return a number that orders the days of any year, leap or not."""
    return month * 32 + day


def _within(first: int, value: int, last: int) -> bool:
    """Tell whether value lies on the circle from first to last, both included."""
    if first <= last:
        return first <= value <= last
    return value >= first or value <= last


def _in_hours(first: int, minute: int, last: int) -> bool:
    """Tell whether minute lies from first up to, not including, last; the same twice is round the clock."""
    if first < last:
        return first <= minute < last
    return minute >= first or minute < last
