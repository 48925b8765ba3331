"""Whatever text is given as a pattern: it is refused as a pattern, or finds the same names as it does with `re`."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.kit.examples import examples
from workers.policy.pattern import PatternError, compile_pattern

FLAGS = re.IGNORECASE | re.ASCII | re.DOTALL
ALPHABET = "abAZ0-."

texts = st.text(st.sampled_from("ab.-^$*+?{}()[]|\\,01:=&~ ") | st.characters(), max_size=12)
pieces = st.lists(
    st.sampled_from(("a", "(", ")", "|", "*", "{2,3}", "[[:alpha:]]", "[^]-]", "^", "$", ".")), max_size=12
)

# Each expression in POSIX's syntax and in Python's.
Pair = tuple[str, str]
atoms = st.sampled_from(
    [
        *((letter, letter) for letter in "abA0-"),
        (".", "."),
        (r"\.", r"\."),
        ("^", r"\A"),
        ("$", r"\Z"),
        ("()", "(?:)"),
        ("[ab]", "[ab]"),
        ("[^a]", "[^a]"),
        ("[Z-a]", "[Z-a]"),
        ("[^B-Z.]", "[^B-Z.]"),
        ("[[:digit:]-]", r"[0-9\-]"),
        ("[^[:upper:]]", "[^A-Z]"),
    ]
)
repetitions = st.sampled_from(["*", "+", "?", "{0}", "{1}", "{2}", "{3}", "{0,2}", "{1,3}", "{,2}", "{2,}"])


def joined(between: str) -> st.SearchStrategy[Pair] | object:
    return lambda pairs: (between.join(ours for ours, _ in pairs), between.join(its for _, its in pairs))


def larger(smaller: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    several = st.lists(smaller, min_size=2, max_size=4)
    repeated = st.tuples(smaller, repetitions)
    return (
        several.map(joined(""))
        | several.map(joined("|")).map(grouped)
        | repeated.map(lambda drawn: tuple(text + drawn[1] for text in grouped(drawn[0])))
    )


def grouped(pair: Pair) -> Pair:
    return f"({pair[0]})", f"(?:{pair[1]})"


expressions = st.recursive(atoms, larger, max_leaves=8)


@examples(250)
@given(texts | pieces.map("".join))
def test_a_pattern_is_refused_at_a_place_in_it_or_compiles(text: str):
    offset = 0
    try:
        compile_pattern(text)
    except PatternError as error:
        offset = error.offset
    assert 0 <= offset <= len(text)


@examples(375)
@given(expressions, st.lists(st.text(ALPHABET, max_size=7), min_size=1, max_size=6))
def test_a_pattern_finds_what_it_finds_in_pythons_syntax(pair: Pair, names: list[str]):
    ours, its = pair
    searched, known = compile_pattern(ours), re.compile(its, FLAGS)
    for name in names:
        assert (searched.search(name) is None) is (known.search(name) is None), (ours, name)


@examples(125)
@given(expressions, st.text(ALPHABET, max_size=6))
def test_a_search_ends_where_the_shortest_beginning_that_fits_ends(pair: Pair, name: str):
    ours, its = pair
    found = compile_pattern(ours).search(name)
    ends = [
        end
        for start in range(len(name) + 1)
        for end in range(start, len(name) + 1)
        # The text after an end, and before a start, decides on anchors: ask for exactly this stretch in its place.
        if re.search(f"(?<=^.{{{start}}})(?:{its})(?=.{{{len(name) - end}}}\\Z)", name, FLAGS)
    ]
    assert found == min(ends, default=None)


@examples(75)
@given(st.text(st.characters(exclude_characters="\\[](){}|*+?.^$"), max_size=8), st.text(max_size=12))
def test_plain_text_is_searched_as_it_is(text: str, name: str):
    found = compile_pattern(text).search(name) is not None
    assert found is (re.search(re.escape(text), name, re.IGNORECASE | re.ASCII) is not None)


@examples(75)
@given(st.text(st.characters(exclude_categories=("L", "N", "Cs")), min_size=1, max_size=6))
def test_escaped_punctuation_stands_for_itself(text: str):
    escaped = "".join(f"\\{character}" for character in text)
    assert compile_pattern(f"^{escaped}$").search(text) is not None
