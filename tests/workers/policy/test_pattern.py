from __future__ import annotations

import warnings

import pytest

from workers.policy.pattern import PatternError, compile_pattern, translate


def finds(pattern: str, name: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return compile_pattern(pattern).search(name) is not None


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (r"^www\..*\.cz$", "www.tns.cz"),
        ("tns", "www.tns.cz"),
        ("WWW", "www.tns.cz"),
        ("^(www|ftp)[.]", "ftp.tns.cz"),
        ("^[[:alpha:]]+[[:digit:]]{2}$", "host07"),
        ("^[^[:digit:]]+$", "host"),
        ("^[]a]+$", "a]a"),
        ("^[^]a]+$", "bcd"),
        ("^[a-c-]+$", "a-c"),
        ("^[-a]+$", "a-"),
        (r"^[\.]+$", "\\."),
        ("^[[.hyphen.]x]$".replace("hyphen", "-"), "-"),
        ("^[[=a=]b]+$", "ab"),
        ("^[[.a.]-c]+$", "abc"),
        ("^[a&&b||c~~d]+$", "a&|~"),
        ("^a{3}$", "aaa"),
        ("^a{2,}$", "aaa"),
        ("^a{,3}$", "aaa"),
        ("^a{2,3}b?c*$", "aa"),
        ("^([a-z0-9-]+[.])*example[.]com$", "a.b.example.com"),
        ("a||b", "x"),
        (r"^\(\)\*$", "()*"),
        ("^a.b$", "a\nb"),
        ("^a,b}]$", "a,b}]"),
        ("^(a+){1,3}$", "aaaa"),
        ("^(a+)?b$", "b"),
    ],
)
def test_a_pattern_finds_a_name_it_describes(pattern: str, name: str):
    assert finds(pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (r"^www\..*\.cz$", "www.tns.cz.example"),
        (r"^www\..*\.cz$", "wwwxtns.cz"),
        ("^[^[:digit:]]+$", "host1"),
        ("^[^]a]+$", "a"),
        ("^a{3}$", "aa"),
        ("^a{2,3}$", "aaaa"),
        ("a$", "a\n"),
        ("^[[:alpha:]]$", "ä"),
    ],
)
def test_a_pattern_does_not_find_another_name(pattern: str, name: str):
    assert not finds(pattern, name)


@pytest.mark.parametrize(
    ("pattern", "offset", "why"),
    [
        ("a**", 2, "nothing stands before it"),
        ("*a", 0, "nothing stands before it"),
        ("^*", 1, "nothing stands before it"),
        ("a|+", 2, "nothing stands before it"),
        ("(?:a)", 1, "nothing stands before it"),
        ("a{2}{3}", 4, "nothing stands before it"),
        ("(a", 0, "the group is not closed"),
        ("a)", 1, "no group is open"),
        ("a\\", 1, "nothing follows the backslash"),
        (r"\d", 0, "has no meaning"),
        (r"(a)\1", 3, "has no meaning"),
        ("a{", 1, "wanted {n}"),
        ("a{}", 1, "wanted {n}"),
        ("a{,}", 1, "wanted {n}"),
        ("a{x}", 1, "wanted {n}"),
        ("a{3,2}", 1, "bounds ascend"),
        ("a{256}", 1, "at most 255"),
        ("a{1,256}", 1, "at most 255"),
        ("[a", 0, "not closed"),
        ("[]", 0, "not closed"),
        ("[a-", 0, "not closed"),
        ("[z-a]", 0, "is empty"),
        ("[[:word:]]", 1, "there is no class"),
        ("[[.ab.]]", 1, "does not stand for one character"),
        ("[a-[:digit:]]", 3, "does not stand for one character"),
        ("(a+)+", 4, "take too long"),
        ("(a*b*)*", 6, "take too long"),
        ("(a+b?)+", 6, "take too long"),
        ("((a+))+", 6, "take too long"),
        ("(x|a+){9}", 6, "take too long"),
        ("(x|a+){2,}", 6, "take too long"),
    ],
)
def test_a_pattern_that_is_none_is_refused_at_its_place(pattern: str, offset: int, why: str):
    with pytest.raises(PatternError, match=why) as caught:
        translate(pattern)
    assert caught.value.offset == offset
    assert str(caught.value).startswith(f"/{pattern}/ at character {offset + 1}: ")
