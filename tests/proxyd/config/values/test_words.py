from __future__ import annotations

import pytest

from proxyd.config.values import words
from proxyd.config.values.kind import UnfitError
from tests.proxyd.config.samples import element

COLOURS = words.enumeration("colour", {"red": 1, "green": 2}, {1: 1, 2: 2})


def test_enumerations_take_words_in_either_case_and_numbers_where_allowed() -> None:
    assert [COLOURS.parse(element(text)) for text in ("red", "GREEN", "2")] == [1, 2, 2]
    assert COLOURS.show(2) == "green"


def test_a_misspelt_word_names_the_nearest() -> None:
    with pytest.raises(UnfitError, match=r"one of red, green.*did you mean 'green'"):
        COLOURS.parse(element("grren"))


def test_numbers_are_no_words_where_names_are_obligatory() -> None:
    with pytest.raises(UnfitError):
        words.enumeration("colour", {"red": 1}).parse(element("1"))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"a b"', "a b"),
        ("word", "word"),
        (r'"q\"b\\n\n\t\x41"', 'q"b\\n\n\tA'),
        ('""', ""),
        ('"\\xff"', "ÿ"),
    ],
)
def test_strings_undo_their_escapes(written: str, text: str) -> None:
    assert words.STRING.parse(element(written)) == text
    assert words.STRING.parse(element(words.STRING.show(text))) == text


@pytest.mark.parametrize("written", [r'"\q"', r'"\x4"', r'"\x00"', "[192.0.2.1]", "{ a }"])
def test_other_escapes_and_values_are_refused(written: str) -> None:
    with pytest.raises(UnfitError):
        words.STRING.parse(element(written))


def test_paths_are_absolute() -> None:
    assert words.PATH.parse(element('"/var/log/x"')) == "/var/log/x"
    with pytest.raises(UnfitError, match="absolute"):
        words.PATH.parse(element('"var/log/x"'))


def test_tags_are_letters_digits_hyphens_and_dots() -> None:
    assert words.TAG.parse(element("a-1.b")) == "a-1.b"
    with pytest.raises(UnfitError):
        words.TAG.parse(element("a_b"))


def test_sets_of_strings_may_be_everything() -> None:
    assert words.STRINGS_OR_ALL.parse(element("*")) is None
    assert words.STRINGS_OR_ALL.parse(element('{ alice, "b c" }')) == {"alice", "b c"}
    assert words.STRINGS_OR_ALL.parse(element("alice")) == {"alice"}
