from __future__ import annotations

import pytest

from proxyd.config.formfaults import MAX_DEPTH, too_deep
from proxyd.config.parser import parse
from proxyd.errors import ConfigErrors


def mistake(text: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        parse(text, "t.cfg", lambda name: name in ("item", "from"))
    assert len(caught.value.errors) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("outer NAME {\n item x\n}", "t.cfg:3:1: outer NAME: found '}'; wanted ';' to end the item"),
        ("item x", "t.cfg:1:7: found the end of the file; wanted ';' to end the item"),
        ("outer { item x;", "t.cfg:1:16: outer: found the end of the file; wanted an item, a section, or '}'"),
        ("item x; }", "t.cfg:1:9: found '}'; wanted an item or a section"),
        ("set { * b };", "t.cfg:1:9: set: found 'b'; wanted ',' or '}' in the set"),
        ("a { from { b c }; }", "t.cfg:1:14: a: found 'c'; wanted ',' between members, or '}' and ';' to end 'from'"),
        ("a { from { b; c }; }", "t.cfg:1:17: a: found '}'; wanted ',' between members"),
        ("from { a, };", "found '}'; wanted a value"),
        ('item "no end;\n', "t.cfg:1:6: found a string that does not end on its line"),
        ("from { /no end };\n", "t.cfg:1:8: found a regular expression that does not end on its line"),
        ("from [192.0.2.1;\n", "t.cfg:1:6: found a bracket that is not closed on its line; wanted ']'"),
        ("item é;", "t.cfg:1:6: found the character 'é'"),
        ("item \0;", "t.cfg:1:6: found the character '\\x00'"),
        ("a { b X { item", "t.cfg:1:15: a / b X: found the end of the file"),
        ("a { b X { item x; } ; }", "t.cfg:1:21: a: found ';'"),
        ("a { b X { item x; } }\n\f", "t.cfg:2:1: found the character '\\x0c'"),
        ("a { from { x } }", "t.cfg:1:16: a: found '}'; wanted ';' to end the item"),
        ("a { from { { x }; }", "t.cfg:1:17: a: found ';'; wanted ',' or '}' in the set"),
        ("a { item -1; }", "t.cfg:1:11: a: found '-' before this value; wanted the value alone"),
        ("a { item : x; }", "t.cfg:1:12: a: found ':' before this value"),
    ],
)
def test_a_mistake_of_form_is_named_with_its_place(text: str, message: str) -> None:
    assert message in mistake(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from 10.0.0.0/8;\n", "t.cfg:1:6: found '10.0.0.0/8'; wanted brackets around a network: [10.0.0.0/8]"),
        ("from { a, 10.0.0.0/8,\n b };", "t.cfg:1:11: found '10.0.0.0/8'; wanted brackets around a network"),
        ("from { 10.1.0.0/16, 10.2.0.0/16 };", "t.cfg:1:8: found '10.1.0.0/16'; wanted brackets around a network"),
        ("from 5/0 1;\n", "found a regular expression that does not end"),
        ("from 2001:db8::1;", "t.cfg:1:14: found ':'; wanted ';' to end the item, another element, or '{'; IPv6 addr"),
        ("from { 2001:db8::1 };", "; IPv6 addresses stand in brackets, times have no ':'"),
        ("item /var/log/x;\n", "wanted '/' at its end, or double quotes around a path"),
        (
            "a { item /b/, c; }",
            "t.cfg:1:13: a: found ','; wanted ';' to end the item, another element, or '{'; several",
        ),
        (
            "a { item b : 5, c; }",
            "t.cfg:1:15: a: found ','; wanted ';' to end the item, another element, or '{'; several",
        ),
        ("item a, b;", "; several values stand in braces: { a, b }"),
        ("a { from { 1- 5 }; }", "t.cfg:1:15: a: found '5'; wanted ',' between members"),
        (
            "a { from b { 1- 5 }; }",
            "t.cfg:1:17: a: found '5'; wanted ',' between members, or '}' and ';' to end 'from'",
        ),
        ("a { # }", "t.cfg:1:8: a: found the end of the file; wanted an item, a section, or '}'"),
        ("a { ; }", "t.cfg:1:5: a: found ';'; wanted an item, a section, or '}'"),
        (
            "a { // b\n item c; }",
            "t.cfg:1:5: a: found '//'; wanted an item, a section, or '}' to end the section; comm",
        ),
        ("/* a */ b { }", "t.cfg:1:1: found '/* a */'; wanted an item or a section; comments begin with '#'"),
        ("a { $b = 5; }", "t.cfg:1:5: a: found the unknown item '$b'; there are no variables"),
        ("from { $b };", "t.cfg:1:8: found the character '$'; there are no variables"),
        ("item = 5;", "found the character '='; values follow without it"),
        ("item 'x';", "strings stand in plain double quotes"),
        ("item a\\\n b;", "found the character '\\\\'; a line that goes on needs no sign"),
        ("from { 192.0.2.1] };", "t.cfg:1:17: found the character ']'; wanted '[' before the address"),
        ("item .5;", "words and numbers begin with a letter or a digit"),
        ("item (a, b);", "several values stand in braces: { a, b }"),
        ("item mon\u2013fri;", "(U+2013); ranges have a plain '-'"),
        ("item \u0430;", "(U+0430); a text with such characters"),
        ("item a@b;", "a text with such characters stands in double quotes"),
    ],
)
def test_a_usual_slip_is_answered_with_what_was_meant(text: str, message: str) -> None:
    assert message in mistake(text)


def test_the_brace_that_is_too_deep_is_placed() -> None:
    text = "a { # {\n" * MAX_DEPTH + ' from { "{", /{/, {[{]} };' + "}" * MAX_DEPTH
    assert too_deep(text) == (MAX_DEPTH + 1, 7)
    assert mistake(text) == f"t.cfg:{MAX_DEPTH + 1}:7: braces nested more than {MAX_DEPTH} deep; wanted fewer levels"
    assert too_deep("a { }" * 20) == (1, 1)


def test_the_end_is_called_by_its_name() -> None:
    with pytest.raises(ConfigErrors, match="t:1:5: found the end of the letter; wanted ';'"):
        parse("item", "t", lambda _: True, "the end of the letter")
