"""What a search costs is counted in lines of Python that it runs, so that no clock is needed."""

from __future__ import annotations

import sys
import tracemalloc
from types import FrameType
from typing import Any

import pytest

from workers.policy import automaton
from workers.policy.automaton import EVERYWHERE, MAX_TRANSITIONS, Automaton, Builder, CharacterSet, Piece
from workers.policy.pattern import compile_pattern

A = CharacterSet((("a", "a"),))
DIGIT = CharacterSet((("0", "9"),))


def lines_run(searched: Automaton, text: str) -> int:
    """Search a text and return how many lines of the automaton's module ran."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != automaton.__file__:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        searched.search(text)
    finally:
        sys.settrace(before)
    return count


def built(repetition: tuple[int, int | None], *sets: CharacterSet) -> Automaton:
    """Return the automaton for a sequence of sets that is repeated as a whole."""
    builder = Builder()
    whole: Piece = builder.empty()
    for characters in sets:
        whole = builder.sequence(whole, builder.one(characters))
    return builder.finish(builder.repeated(whole, *repetition))


@pytest.mark.parametrize(
    ("pattern", "positions"),
    [
        ("^(a|aa)+$", 3),
        ("(a|a)*b", 3),
        ("(a*)*b", 2),
        ("(x+x+)+y", 3),
        ("(.*a){20}b", 41),
        ("(a?){50}a{50}b", 101),
        ("^(([a-z0-9])+.)+[A-Z]([a-z])+$", 4),
        ("(.*)(.*)(.*)(.*)(.*)x", 6),
        ("(.a?.b?){127}x", 509),
    ],
)
@pytest.mark.parametrize("name", ["a" * 253, "a" * 45 + "0.example.org", "ab0x" * 63 + "c"])
def test_a_search_takes_a_few_steps_for_each_position_and_character_at_most(pattern: str, positions: int, name: str):
    searched = compile_pattern(pattern)
    assert 0 < lines_run(searched, name) <= len(name) * (4 * positions + 16)


def test_a_text_that_was_seen_costs_a_look_up_a_character():
    searched = compile_pattern(r"^www\..*\\.cz$")
    first = lines_run(searched, "www.some.host.example.org")
    assert lines_run(searched, "www.some.host.example.org") < first / 2


def test_what_an_automaton_remembers_is_bounded():
    searched = compile_pattern("^.*x$")
    tracemalloc.start()
    try:
        for character in map(chr, range(0x10000, 0x10000 + 40 * MAX_TRANSITIONS)):
            assert searched.search(character) is None
        remembered, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert remembered < 1000 * MAX_TRANSITIONS


def test_what_an_automaton_has_forgotten_it_finds_again():
    searched = compile_pattern("^.*x$")
    strange = "".join(map(chr, range(0x100, 0x100 + 4 * MAX_TRANSITIONS)))
    for _ in range(2):
        assert searched.search(strange + "x") == len(strange) + 1
        assert searched.search(strange) is None


def test_a_search_tells_after_how_many_characters_it_is_certain():
    assert compile_pattern("ab").search("xxabxx") == 4
    assert compile_pattern("b$").search("bxb") == 3
    assert compile_pattern("b*").search("xb") == 0
    assert compile_pattern("").search("") == 0
    assert compile_pattern("b").search("xx") is None


def test_a_set_has_letters_in_either_case_and_no_others_than_those_of_ascii():
    assert [A.has(character) for character in "aAbä"] == [True, True, False, False]
    assert not CharacterSet((("ä", "ä"),)).has("Ä")
    assert CharacterSet((("ä", "ä"),), negated=True).has("Ä")
    assert not CharacterSet((("a", "c"),), negated=True).has("B")


@pytest.mark.parametrize(
    ("repetition", "size", "fits", "does_not"),
    [
        ((2, 2), 4, "a1a1", "a1a"),
        ((0, 2), 4, "", None),
        ((1, None), 2, "xa1", "xa"),
        ((3, None), 6, "a1a1a1", "a1a1"),
        ((0, 0), 0, "", None),
    ],
)
def test_a_repetition_is_written_out(repetition: tuple[int, int | None], size: int, fits: str, does_not: str | None):
    searched = built(repetition, A, DIGIT)
    assert searched.search(fits) == len(fits)
    assert does_not is None or searched.search(does_not) is None
    builder = Builder()
    piece = builder.sequence(builder.one(A), builder.one(DIGIT))
    assert builder.written_out(piece, *repetition) == size
    builder.repeated(piece, *repetition)
    assert builder.size == size


def test_a_piece_that_takes_no_character_needs_no_copies():
    builder = Builder()
    piece = builder.repeated(builder.empty(automaton.START | automaton.ALONE), 5, 200)
    assert (builder.size, piece.void) == (0, automaton.START | automaton.ALONE)
    assert builder.repeated(piece, 0, 200).void == EVERYWHERE
