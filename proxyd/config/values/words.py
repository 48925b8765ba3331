"""Words and strings: enumerations, names of sections, free text, paths. Source: udp-proxy.cfg(5), VALUE TYPES."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from proxyd.config.statements import Braces, Member, Place, Star, Text, Word
from proxyd.config.values.kind import Kind, UnfitError, parse_each, scalar, unfit, word
from proxyd.config.values.numbers import parse_number

_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)")
_UNESCAPED = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_TAG = re.compile(r"[A-Za-z0-9.\-]+")


def nearest(text: str, candidates: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the candidate that looks most like text, or nothing."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(text.lower()[:64], by_lower, n=1, cutoff=0.6)
    return f" (did you mean '{by_lower[found[0]]}'?)" if found else ""


def enumeration(name: str, words: Mapping[str, Any], numbers: Mapping[int, Any] | None = None) -> Kind:
    """Make the type whose values go by these words, in either case; numbers: where numbers are valid as well."""
    by_number = numbers or {}
    wanted = f"one of {', '.join(words)}"
    if by_number:
        wanted += f", or {_span(sorted(by_number))}"
    by_value = {value: text for text, value in reversed(list(words.items()))}

    def parse(member: Member) -> Any:
        value = word(member, wanted)
        text = value.text.lower()
        if text in words:
            return words[text]
        number = parse_number(text)
        if number is not None and number in by_number:
            return by_number[number]
        raise UnfitError(value.place, f"found '{value.text[:64]}'", f"wanted {wanted}{nearest(text, words)}")

    return Kind(name, wanted, parse, lambda value: by_value.get(value, str(value)))


def _span(numbers: list[int]) -> str:
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"a number from {numbers[0]} to {numbers[-1]}"
    return f"the number {' or '.join(map(str, numbers))}"


def parse_string(member: Member, wanted: str = "a string") -> str:
    """Return the text of a string or of a bare word. Raises UnfitError, also for NUL and unknown escapes."""
    value = scalar(member, wanted)
    if isinstance(value, Word):
        return value.text
    if not isinstance(value, Text):
        raise unfit(value, f'{wanted}; other texts than single words stand in double quotes: "..."')
    return _unescape(value.text, value.place)


def _unescape(text: str, place: Place) -> str:
    def replace(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) == 3:
            return chr(int(escape[1:], 16))
        if escape not in _UNESCAPED:
            raise UnfitError(place, f"found the escape '\\{escape}' in a string", 'wanted \\", \\\\, \\n, \\t or \\xHH')
        return _UNESCAPED[escape]

    plain = _ESCAPE.sub(replace, text)
    if "\0" in plain:
        raise UnfitError(place, "found a NUL character in a string", "wanted text without it")
    return plain


def show_string(text: str) -> str:
    """Return the string in double quotes, escaped so that it parses to the same text."""
    escaped = "".join(
        _ESCAPED.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 0x20 or ord(char) == 0x7F else char)
        for char in text
    )
    return f'"{escaped}"'


def _checked_string(name: str, wanted: str, fits: Callable[[str], bool]) -> Kind:
    def parse(member: Member) -> str:
        text = parse_string(member, wanted)
        if not fits(text):
            raise unfit(member.value, wanted)
        return text

    return Kind(name, wanted, parse, show_string)


def _parse_name(member: Member) -> str:
    return word(member, "the name of a section").text


def _parse_strings(member: Member) -> tuple[str, ...]:
    if member.negated or not isinstance(member.value, Braces):
        return (parse_string(member),)
    return parse_each(member.value.members, parse_string)


def _show_strings(texts: Iterable[str]) -> str:
    return f"{{ {', '.join(map(show_string, texts))} }}"


def _parse_some_or_all(member: Member) -> frozenset[str] | None:
    if not member.negated and isinstance(member.value, Star):
        return None
    return frozenset(_parse_strings(member))


def name_of(section: str) -> Kind:
    """Make the type of a reference to a section of this kind."""
    return Kind(f"name of {section}", f"the name of a section '{section}'", _parse_name, str)


STRING = Kind("str", "a string", parse_string, show_string)
NONEMPTY = _checked_string("str", "a string that is not empty", bool)
PATH = _checked_string("str", "an absolute path", lambda text: text.startswith("/"))
TAG = _checked_string("str", "letters, digits, hyphens and dots", lambda text: _TAG.fullmatch(text) is not None)
WORD = Kind("word", "a word", lambda member: word(member, "a word").text, str)
STRING_LIST = Kind("str-list", "a list of strings", _parse_strings, _show_strings)
STRING_SET = Kind(
    "str-set",
    "a set of strings",
    lambda member: frozenset(_parse_strings(member)),
    lambda texts: _show_strings(sorted(texts)),
)
STRINGS_OR_ALL = Kind(
    "str-set",
    "a set of strings or '*'",
    _parse_some_or_all,
    lambda texts: "*" if texts is None else _show_strings(sorted(texts)),
)
