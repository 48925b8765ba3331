from __future__ import annotations

import pytest

from proxyd.control.tables import count, counted, duration, pairs, size, table


def test_columns_line_up_and_numbers_stand_at_the_right() -> None:
    text = table(("NAME", "COUNT"), [("a", "1"), ("longer", "1 000")], frozenset(("COUNT",)))
    assert text == "NAME    COUNT\na           1\nlonger  1 000\n"


def test_a_table_without_rows_is_its_header() -> None:
    assert table(("A", "B"), []) == "A  B\n"


def test_values_stand_behind_their_names() -> None:
    assert pairs((("a", "1"), ("bcd", ""))) == "a    1\nbcd\n"
    assert pairs(()) == ""


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 20, "1.0 MiB"), (1 << 62, "4096.0 PiB")]
)
def test_sizes_have_the_unit_that_suits_them(number: int, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0.0s"),
        (59.94, "59.9s"),
        (60, "1m 00s"),
        (3599, "59m 59s"),
        (3600, "1h 00m"),
        (90061, "1d 01h"),
    ],
)
def test_durations_have_the_units_that_matter(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_thousands_are_set_apart() -> None:
    assert (count(999), count(1_234_567)) == ("999", "1 234 567")


def test_things_are_counted_as_people_do() -> None:
    assert [counted(number, "session") for number in (0, 1, 8000)] == ["0 sessions", "1 session", "8 000 sessions"]
