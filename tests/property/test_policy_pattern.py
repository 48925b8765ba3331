"""Whatever text is given as a pattern: it is refused as a pattern, or `re` reads it as one without complaint."""

from __future__ import annotations

import re
import warnings

from hypothesis import given, settings
from hypothesis import strategies as st

from workers.policy.pattern import PatternError, compile_pattern

texts = st.text(st.sampled_from("ab.-^$*+?{}()[]|\\,01:=&~ ") | st.characters(), max_size=12)
pieces = st.lists(
    st.sampled_from(("a", "(", ")", "|", "*", "{2,3}", "[[:alpha:]]", "[^]-]", "^", "$", ".")), max_size=12
)


@settings(deadline=None, max_examples=1000)
@given(texts | pieces.map("".join))
def test_a_pattern_is_refused_or_compiles(text: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        offset, groups = 0, 0
        try:
            groups = compile_pattern(text).groups
        except PatternError as error:
            offset = error.offset
    assert 0 <= offset <= len(text)
    assert groups == 0


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(exclude_characters="\\[](){}|*+?.^$"), max_size=8), st.text(max_size=12))
def test_plain_text_is_searched_as_it_is(text: str, name: str):
    found = compile_pattern(text).search(name) is not None
    assert found is (re.search(re.escape(text), name, re.IGNORECASE | re.ASCII) is not None)


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(exclude_categories=("L", "N", "Cs")), min_size=1, max_size=6))
def test_escaped_punctuation_stands_for_itself(text: str):
    escaped = "".join(f"\\{character}" for character in text)
    assert compile_pattern(f"^{escaped}$").search(text) is not None
