from __future__ import annotations

import pytest

from proxyd.config.values import sets, times
from proxyd.config.values.kind import UnfitError
from tests.proxyd.config.samples import element


def test_ends_of_clock_ranges_are_excluded() -> None:
    bits = times.CLOCK_SET.parse(element("{ 0800-1630 }"))
    assert sets.ranges(bits) == ((480, 989),)
    assert times.CLOCK_SET.show(bits) == "{ 0800-1630 }"


def test_a_clock_alone_is_its_minute() -> None:
    assert sets.ranges(times.CLOCK_SET.parse(element("0000"))) == ((0, 0),)


def test_the_day_ends_at_2400() -> None:
    bits = times.CLOCK_SET.parse(element("2200-2400"))
    assert sets.ranges(bits) == ((1320, 1439),)
    assert times.CLOCK_SET.parse(element(times.CLOCK_SET.show(bits))) == bits


@pytest.mark.parametrize("text", ["800", "2401", "0860", "2400", "1600-0800", "0800-0800", "mon"])
def test_what_is_no_clock_is_refused(text: str) -> None:
    with pytest.raises(UnfitError):
        times.CLOCK_SET.parse(element(text))


def test_weekdays_count_from_sunday_and_months_from_1() -> None:
    assert sets.numbers(times.WEEKDAY_SET.parse(element("{ Mon-Fri, SUN }"))) == {0, 1, 2, 3, 4, 5}
    assert sets.numbers(times.MONTH_SET.parse(element("{ jan, nov-dec, 6 }"))) == {1, 6, 11, 12}
    assert times.WEEKDAY.parse(element("sat")) == 6
    assert times.MONTH.parse(element("jan")) == 1


def test_a_misspelt_day_names_the_nearest() -> None:
    with pytest.raises(UnfitError, match="did you mean 'mon'"):
        times.WEEKDAY_SET.parse(element("mond"))


def test_clocks_are_written_with_four_digits() -> None:
    assert [times.show_clock(minutes) for minutes in (0, 65, 1440)] == ["0000", "0105", "2400"]


@pytest.mark.parametrize(
    ("text", "ranges"), [("2200-0600", "{ 2200-2400, 0000-0600 }"), ("2200-0000", "{ 2200-2400 }")]
)
def test_times_across_midnight_are_answered_with_two_ranges(text: str, ranges: str) -> None:
    with pytest.raises(UnfitError) as caught:
        times.CLOCK_SET.parse(element(text))
    assert caught.value.wanted.endswith(f", as in {ranges}")


def test_a_time_in_place_of_a_day_is_answered_with_its_place() -> None:
    with pytest.raises(UnfitError, match=r"found '0800'.*; times of day stand behind the days"):
        times.WEEKDAY_SET.parse(element("{ 0800-1630 }"))
