"""Days of the week, months and times of day. Source: udp-proxy.cfg(5), TIME."""

from __future__ import annotations

import re

from proxyd.config.statements import Value, Word
from proxyd.config.values.kind import Kind, unfit, word
from proxyd.config.values.numbers import parse_number
from proxyd.config.values.sets import Domain, set_kind
from proxyd.config.values.words import enumeration, nearest
from workers.policy.timecond import WEEKDAYS

MINUTES_PER_DAY = 1440
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_CLOCK = re.compile(r"([0-9]{2})([0-9]{2})")
_CLOCK_WANTED = "a time of day as 0830, or a range as 0800-1630"


def _calendar_domain(name: str, words: tuple[str, ...], first: int) -> Domain:
    wanted = f"{words[0]} to {words[-1]}, {first} to {first + len(words) - 1}, ranges of them, or '*'"

    def single(value: Value) -> int:
        text = value.text.lower() if isinstance(value, Word) else ""
        if text in words:
            return words.index(text) + first
        number = parse_number(text)
        if number is None or not first <= number < first + len(words):
            late = "; times of day stand behind the days: * 0800-1630" if _CLOCK.fullmatch(text) else ""
            raise unfit(value, wanted + (late if words is WEEKDAYS else "") + nearest(text, words))
        return number

    return Domain(
        name, wanted, first, first + len(words) - 1, single, lambda number: words[number - first], cyclic=True
    )


def parse_clock(value: Value, wanted: str = _CLOCK_WANTED) -> int:
    """Return hhmm as minutes since midnight, 2400 included. Raises UnfitError."""
    match = _CLOCK.fullmatch(value.text) if isinstance(value, Word) else None
    if match is None:
        raise unfit(value, wanted)
    minutes = int(match[1]) * 60 + int(match[2])
    if int(match[2]) > 59 or minutes > MINUTES_PER_DAY:
        raise unfit(value, wanted)
    return minutes


def show_clock(minutes: int) -> str:
    """Return minutes since midnight as hhmm."""
    return f"{minutes // 60:02}{minutes % 60:02}"


WEEKDAY_DOMAIN = _calendar_domain("week-day-set", WEEKDAYS, 0)
MONTH_DOMAIN = _calendar_domain("month-set", MONTHS, 1)
CLOCK_DOMAIN = Domain("time-set", _CLOCK_WANTED, 0, MINUTES_PER_DAY - 1, parse_clock, show_clock, True, True)

WEEKDAY_SET = set_kind(WEEKDAY_DOMAIN)
MONTH_SET = set_kind(MONTH_DOMAIN)
CLOCK_SET = set_kind(CLOCK_DOMAIN)

WEEKDAY = enumeration(
    "week-day", {text: number for number, text in enumerate(WEEKDAYS)}, {number: number for number in range(7)}
)
MONTH = enumeration(
    "month", {text: number for number, text in enumerate(MONTHS, 1)}, {number: number for number in range(1, 13)}
)
CLOCK = Kind(
    "time",
    "a time of day as 0830",
    lambda member: parse_clock(word(member, "a time of day as 0830"), "a time of day as 0830"),
    show_clock,
)
