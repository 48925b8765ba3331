from __future__ import annotations

import pytest

from proxyd.config.formfaults import MAX_DEPTH
from proxyd.config.parser import parse
from proxyd.config.statements import Braces, Bracketed, HostPort, Pattern, Span, Star, Statement, Text, Word
from proxyd.errors import ConfigErrors


def read(text: str) -> tuple[Statement, ...]:
    return parse(text, "t.cfg", lambda name: name in ("item", "from"))


def mistake(text: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        read(text)
    assert len(caught.value.errors) == 1
    return str(caught.value)


def test_an_item_keeps_its_elements_in_order() -> None:
    (item,) = read('item word "text" [192.0.2.1] /pat\\/tern/ * [::1]-[::2] [::1] : 53;')
    assert [type(element.value) for element in item.elements] == [Word, Text, Bracketed, Pattern, Star, Span, HostPort]
    assert item.body is None


def test_a_section_holds_items_and_sections() -> None:
    (outer,) = read("outer NAME { item a; inner { item b; } }")
    assert [element.value.text for element in outer.elements if isinstance(element.value, Word)] == ["NAME"]
    assert outer.body is not None
    assert [statement.keyword.text for statement in outer.body] == ["item", "inner"]


def test_positions_count_lines_and_columns_from_1() -> None:
    (section,) = read("\n  outer {\n\titem  word;\n}")
    assert section.keyword.place == (2, 3)
    assert section.body is not None
    assert section.body[0].elements[0].place == (3, 8)


def test_comments_are_blanks_outside_strings_and_patterns() -> None:
    (item,) = read('item # a comment ; }\n "no # comment" { /a#b/ }; # the end')
    assert len(item.elements) == 2


def test_a_brace_in_a_comment_closes_nothing() -> None:
    (outer,) = read("outer { # { } \n # }\n item a; }")
    assert outer.body is not None
    assert [statement.keyword.text for statement in outer.body] == ["item"]
    (item,) = read("from { # all }\n [192.0.2.1] };")
    assert isinstance(item.elements[0].value, Braces)
    assert len(item.elements[0].value.members) == 1


def test_members_of_sets_may_be_negated_and_nested() -> None:
    (item,) = read("from { ! [192.0.2.1], { a, ! b }, * };")
    braces = item.elements[0].value
    assert isinstance(braces, Braces)
    assert [member.negated for member in braces.members] == [True, False, False]


def test_empty_braces_end_a_section_before_a_word() -> None:
    statements = read("one { } two NAME { } item { } x; three { item a; }")
    assert [(statement.keyword.text, statement.body) for statement in statements[:2]] == [("one", ()), ("two", ())]
    assert statements[2].body is None
    assert len(statements[2].elements) == 2
    assert statements[3].keyword.text == "three"


def test_empty_sections_in_a_row_are_each_one_with_its_name() -> None:
    statements = read("".join(f"one N{number} {{ }}\n" for number in range(500)) + "two { item x; }")
    assert [statement.body for statement in statements[:-1]] == [()] * 500
    names = [element.value.text for one in statements for element in one.elements if isinstance(element.value, Word)]
    assert names == [f"N{number}" for number in range(500)]
    assert statements[-1].body is not None


def test_empty_braces_after_an_item_without_semicolon_do_not_swallow_a_section() -> None:
    item, section = read("item { } section NAME { item a; }")
    assert (item.keyword.text, section.keyword.text) == ("item", "section")


def test_an_empty_text_is_an_empty_configuration() -> None:
    assert read("") == ()
    assert read("# nothing\n") == ()


def test_braces_nest_as_deep_as_allowed() -> None:
    sets = "from " + "{" * MAX_DEPTH + "a" + "}" * MAX_DEPTH + ";"
    assert len(read(sets)) == 1
    assert f"braces nested more than {MAX_DEPTH} deep" in mistake(sets.replace("a", "{a}"))


def test_sections_nest_no_deeper_than_sets() -> None:
    text = "a { " * (MAX_DEPTH + 1) + "item b;" + "}" * (MAX_DEPTH + 1)
    assert f"braces nested more than {MAX_DEPTH} deep" in mistake(text)


def test_very_deep_nesting_is_an_error_and_no_crash() -> None:
    assert "nested more than" in mistake("from " + "{" * 50_000 + "a" + "}" * 50_000 + ";")
    assert "found the end of the file" in mistake("a {" * 50_000)
