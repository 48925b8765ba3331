from __future__ import annotations

import pytest

from workers.policy.pattern import PatternError, compile_pattern


def finds(pattern: str, name: str) -> bool:
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
        ("^(a*)*$", ""),
        ("^(a+b?)+$", "aabab"),
        ("^((a|)b){2,}$", "abbab"),
        ("^a{2,}(b{0,2}|c){2}$", "aaabbb"),
        ("^(ab{0}){2}$", "aa"),
        ("(^a|b)+$", "xb"),
        ("^(^a|b$|^c|d$)+$", "ad"),
        ("(^|x)a", "xa"),
        ("(^|x){3}a", "a"),
        ("a($|b)", "xa"),
        ("^$", ""),
        ("$^", ""),
        ("$", "a"),
        ("", ""),
        ("()", "a"),
        ("[[:space:]]", "\v"),
        ("[[:cntrl:]]", "\x7f"),
        ("^[[:xdigit:]]+$", "09afAF"),
        ("^[^Z-a]$", "b"),
        ("^[À-ÿ]$", "é"),
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
        ("^[Z-a]$", "b"),
        ("^[^a]$", "A"),
        ("^[À-ÿ]$", "Ā"),
        ("é", "É"),
        ("k", "\N{KELVIN SIGN}"),
        ("a$b", "ab"),
        ("a^b", "ab"),
        ("(a|^)b", "xb"),
        ("(^a)+$", "ba"),
        ("^(a{2}){2}$", "aaa"),
        ("^(ab?){2}$", "ababa"),
        ("^a{0}$", "a"),
        ("^$", "a"),
        ("a", ""),
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
        ("[[:digit]]", 1, "wanted :"),
        ("[a[.]", 2, "wanted ."),
        ("[a-[=]", 3, "wanted ="),
        ("[[.ab.]]", 1, "does not stand for one character"),
        ("[a-[:digit:]]", 3, "does not stand for one character"),
        ("x(a{100}b){5}c{7}d", 14, "more than 512 characters"),
        ("x(a{102}b){5}", 10, "more than 512 characters"),
        ("(((((a{255}){255}){255}){255}){255}){255}", 12, "more than 512 characters"),
        ("a" * 513, 512, "more than 512 characters"),
    ],
)
def test_a_pattern_that_is_none_is_refused_at_its_place(pattern: str, offset: int, why: str):
    with pytest.raises(PatternError, match=why) as caught:
        compile_pattern(pattern)
    assert caught.value.offset == offset
    assert str(caught.value).startswith(f"/{pattern}/ at character {offset + 1}: ")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("^a{255}.{255}[ab]{2}$", "a" * 512),
        ("^(a{15}b){32}$", ("a" * 15 + "b") * 32),
        ("^(){255}a{255}$", "a" * 255),
        ("^((^|$){255}){255}$", ""),
        ("(" * 2000 + "a" + ")" * 2000, "a"),
    ],
)
def test_a_pattern_as_large_as_may_be_finds_what_it_describes(pattern: str, name: str):
    assert finds(pattern, name)
    assert not finds(pattern, "b" * 600)
