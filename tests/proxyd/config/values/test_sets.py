from __future__ import annotations

from itertools import pairwise

import pytest

from proxyd.config.values import sets
from proxyd.config.values.kind import UnfitError
from tests.proxyd.config.samples import element


def days(text: str) -> frozenset[int]:
    return sets.numbers(sets.DAY_SET.parse(element(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", {5}),
        ("{ 1-3, 7 }", {1, 2, 3, 7}),
        ("{ 1 - 3 }", {1, 2, 3}),
        ("{ }", set()),
        ("{ ! 2, 1-4 }", {1, 3, 4}),
        ("{ 1-4, ! 2 }", {1, 2, 3, 4}),
        ("{ ! { ! 1, 1-3 }, 1-4 }", {1, 4}),
        ("{ { ! 2, 1-3 }, 2 }", {1, 3}),
        ("! 3", set()),
    ],
)
def test_the_first_member_that_says_something_decides(text: str, expected: set[int]) -> None:
    assert days(text) == expected


def test_everything_is_a_star() -> None:
    bits = sets.DAY_SET.parse(element("*"))
    assert sets.is_whole(sets.DAY_DOMAIN, bits)
    assert sets.DAY_SET.show(bits) == "*"
    assert sets.DAY_SET.show(sets.DAY_SET.parse(element("{ 1-31 }"))) == "*"


@pytest.mark.parametrize("text", ["0", "32", "3-1", "1-40", "x", "{ 1, [::1] }", '"3"'])
def test_numbers_outside_the_domain_are_refused(text: str) -> None:
    with pytest.raises(UnfitError):
        days(text)


def test_ports_may_be_names_with_hyphens() -> None:
    assert sets.ranges(sets.PORT_SET.parse(element("{ domain, 7000-7010, http-alt, 7011 }"))) == (
        (53, 53),
        (7000, 7011),
        (8080, 8080),
    )


@pytest.mark.parametrize("bits", [0, 1, 0b1011, 1 << 65535, (1 << 65536) - 1, 0b111000111], ids=hex)
def test_ranges_hold_exactly_the_bits(bits: int) -> None:
    pairs = sets.ranges(bits)
    assert sum(1 << number for first, last in pairs for number in range(first, last + 1)) == bits
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(pairs))


def test_members_behind_a_bang_that_say_nothing_new_are_doubted() -> None:
    found = [doubt.found for doubt in sets.DAY_SET.doubts(element("{ 1-9, ! 5, { 20, ! 20 }, ! 15, ! { 2, 3 } }"))]
    assert found == [f"'! {text}' comes after what covers it, and has no effect" for text in ("5", "20", "{ ... }")]
    assert list(sets.DAY_SET.doubts(element("{ ! 5, ! 5, * }"))) == []


@pytest.mark.parametrize(("text", "ranges"), [("28-3", "{ 28-31, 1-3 }"), ("31-1", "{ 31, 1 }")])
def test_a_range_across_the_end_is_answered_with_two(text: str, ranges: str) -> None:
    with pytest.raises(UnfitError) as caught:
        days(text)
    assert caught.value.wanted == f"wanted its start before its end, as in {ranges}"
