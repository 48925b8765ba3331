from __future__ import annotations

import pytest

from proxyd.config.values.kind import MAX_SHOWN_CHARS, UnfitError, describe, parse_each, scalar, word
from tests.proxyd.config.samples import element


@pytest.mark.parametrize("text", ["word", '"a b"', "[192.0.2.1]", "/x/", "*", "[::1]-[::2]", "a:53"])
def test_values_are_described_as_they_were_written(text: str) -> None:
    assert describe(element(text).value) == f"'{text}'"


def test_long_values_are_cut() -> None:
    assert describe(element("x" * 500).value) == f"'{'x' * MAX_SHOWN_CHARS}...'"


@pytest.mark.parametrize("text", ["{ a }", "[::1]-[::2]", "a:53", "! a"])
def test_a_scalar_is_one_value_without_sign(text: str) -> None:
    with pytest.raises(UnfitError):
        scalar(element(text), "a value")


def test_a_string_is_no_word() -> None:
    with pytest.raises(UnfitError, match="wanted a size"):
        word(element('"12"'), "a size")


def test_every_bad_member_of_a_set_is_reported() -> None:
    with pytest.raises(UnfitError) as caught:
        parse_each(element("{ a, [::1], b, *, c }").value.members, lambda member: word(member, "a word"))  # type: ignore[union-attr]
    assert [error.found for error in (caught.value, *caught.value.others)] == ["found '[::1]'", "found '*'"]
