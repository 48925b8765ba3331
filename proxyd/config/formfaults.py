"""What to say of the mistake of form that ended the reading: what was found where, and what was probably meant.

The parser knows only what could have come next; slips that are made again and again are known by what stands there.
Source: udp-proxy.cfg(5), SYNTAX.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from proxyd.config.statements import HostPort, Member, Pattern, Place, Span, Word
from proxyd.config.values.kind import describe
from proxyd.errors import ConfigError, Position

MAX_DEPTH = 16
"""Braces inside braces: no sensible configuration comes near, and what walks the tree may recurse."""

MAX_SHOWN_CHARS = 40
MAX_ADDRESS_CHARS = 15
"""Of an IPv4 address or mask."""

_TERMINALS = {
    "WORD": "a word",
    "STRING": "a string",
    "BRACKETED": "an address in brackets",
    "PATTERN": "a regular expression",
    "STAR": "'*'",
    "EMPTY": "'{'",
    "LBRACE": "'{'",
    "RBRACE": "'}'",
    "SEMICOLON": "';'",
    "COMMA": "','",
    "COLON": "':'",
    "MINUS": "'-'",
    "BANG": "'!'",
    "$END": "the end of the file",
}

_IN_SECTION = "wanted an item, a section, or '}' to end the section"
_WANTED = (
    ({"SEMICOLON", "LBRACE"}, "wanted ';' to end the item, another element, or '{'"),
    ({"SEMICOLON"}, "wanted ';' to end the item"),
    ({"COMMA", "RBRACE"}, "wanted ',' or '}' in the set"),
    ({"RBRACE", "WORD"}, _IN_SECTION),
    ({"$END", "WORD"}, "wanted an item or a section"),
    ({"BRACKETED", "WORD"}, "wanted a value"),
)
"""What to ask for when these terminals, and perhaps more, could have come; the first row that fits."""

_COMMENTS = "; comments begin with '#'"
_SLIPS = {
    ("COMMA", "SEMICOLON"): "; several values stand in braces: { a, b }",
    **{
        ("COLON", other): "; IPv6 addresses stand in brackets, times have no ':'"
        for other in ("SEMICOLON", "RBRACE", "BRACKETED")
    },
    ("PATTERN", "$END"): _COMMENTS,
}
"""What to add to what is wanted, by the terminal that came and one that could have come."""

_BROKEN = {
    '"': ("a string that does not end on its line", "wanted '\"' at its end"),
    "/": (
        "a regular expression that does not end on its line",
        "wanted '/' at its end, or double quotes around a path",
    ),
    "[": ("a bracket that is not closed on its line", "wanted ']'"),
}

_STRANGE = {
    "$": "there are no variables",
    "=": "values follow without it",
    "]": "wanted '[' before the address",
    ".": "words and numbers begin with a letter or a digit",
    "(": "several values stand in braces: { a, b }",
    "\\": "a line that goes on needs no sign",
    "\ufeff": "a byte order mark stands at the beginning of the file only",
    "\xa0": "it looks like a blank: wanted a plain one",
    **dict.fromkeys("\u2012\u2013\u2014\u2212", "ranges have a plain '-'"),
    **dict.fromkeys("'`\u2018\u2019\u201a\u201c\u201d\u201e\xab\xbb", 'strings stand in plain double quotes: "..."'),
}
"""What to say of characters that others use, by character."""

_VARIABLE = re.compile(r"\$[A-Za-z0-9_.\-]*")
_NETWORK = re.compile(r"[0-9]+(\.[0-9]+){3}/[0-9][0-9A-Fa-fx.]*")


_BRACES = re.compile(r'#[^\n]*|"(?:\\.|[^"\\\r\n])*"|/(?:\\.|[^/\\\r\n])*/|\[[^\[\]\r\n]*\]|([{}])')
"""Braces, and whatever may hold some that are none."""


class Source(NamedTuple):
    """The text that was read. name: for the file in messages. end: what to call where it ends."""

    text: str
    name: str
    end: str

    def line(self, number: int) -> str:
        """Return a line by its number."""
        return self.text.split("\n")[number - 1]


class _Mistake(NamedTuple):
    place: Place
    found: str
    wanted: str


def too_deep(text: str) -> Place:
    """Return the place of the first brace that is nested more than MAX_DEPTH deep, the text's start without one."""
    depth = 0
    for brace in _BRACES.finditer(text):
        depth += {"{": 1, "}": -1}.get(brace[1], 0)
        if depth > MAX_DEPTH:
            before = text[: brace.start()]
            return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
    return Place(1, 1)


def explain(error: UnexpectedInput, source: Source, is_item: Callable[[str], bool]) -> ConfigError:
    """Return what to say of a mistake of form. is_item: whether the table knows a lower-case keyword as an item."""
    stack = _stack(error)
    heads = _open_braces(stack)[:MAX_DEPTH]
    in_set = bool(heads) and is_item(heads[-1].partition(" ")[0].lower())
    path = " / ".join(heads[:-1] if in_set else heads)
    mistake = _bare_network(error, stack, source)
    if mistake is None and isinstance(error, UnexpectedToken):
        mistake = _out_of_set(stack) if heads and not in_set else None
        mistake = mistake or _token(error, stack, source, heads[-1].partition(" ")[0] if in_set else "")
    elif mistake is None:
        mistake = _character(error, source, in_set)
    return ConfigError(Position(source.name, *mistake.place), path, mistake.found, mistake.wanted)


def _bare_network(error: UnexpectedInput, stack: list[Any], source: Source) -> _Mistake | None:
    """Find a network without brackets: its '/' has begun a regular expression."""
    places = [member.place for member in _last_members(stack) if isinstance(member.value, Pattern)]
    if isinstance(error, UnexpectedCharacters) and error.char == "/":
        places.append(Place(error.line, error.column))
    lines = source.text.split("\n") if places else []
    for place in places:
        slash = place.column - 1
        around = max(slash - MAX_ADDRESS_CHARS, 0), slash + 1 + MAX_ADDRESS_CHARS
        for network in _NETWORK.finditer(lines[place.line - 1], *around):
            if network.start() < slash < network.end():
                start = Place(place.line, network.start() + 1)
                return _Mistake(start, f"found '{network[0]}'", f"wanted brackets around a network: [{network[0]}]")
    return None


def _last_members(stack: list[Any]) -> list[Member]:
    """Return the elements, or members of a set, that were read last: a list, and the newest not yet in it."""
    members: list[Member] = []
    for entry in reversed(stack[-2:]):
        if isinstance(entry, Member):
            members.insert(0, entry)
        elif isinstance(entry, list):
            return [*(one for one in entry if isinstance(one, Member)), *members]
    return members


def _out_of_set(stack: list[Any]) -> _Mistake | None:
    """Find what made a section's first item look like the member of a set: a sign, or a comment in another style."""
    before, last = stack[-2:] if len(stack) > 1 else (None, None)
    begins = isinstance(before, Token) and before.type == "LBRACE"
    match last.value if begins and isinstance(last, Member) else None:
        case Span(Word(), behind, _):
            return _Mistake(behind.place, "found '-' before this value", "wanted the value alone")
        case HostPort(Word(), behind, _):
            return _Mistake(behind.place, "found ':' before this value", "wanted the value alone")
        case Pattern(_, place) as pattern:
            return _Mistake(place, f"found {describe(pattern)}", _IN_SECTION + _COMMENTS)
    return None


def _token(error: UnexpectedToken, stack: list[Any], source: Source, item: str) -> _Mistake:
    """Explain a token that could not come; item: the item in whose set it came, if in one."""
    token = error.token
    accepted = set(error.accepts or error.expected or ())
    if item and ("SEMICOLON" in accepted or {"RBRACE", "WORD"} <= accepted):
        # Members without a comma look like the beginning of an item: only the table knows that they are none.
        hint = f"wanted ',' between members, or '}}' and ';' to end '{item}'"
        for second in _last_members(stack)[:1]:
            return _Mistake(second.place, f"found {describe(second.value)}", hint)
        return _Mistake(*_found(token, source), hint)
    opened = bool(stack) and isinstance(stack[-1], Token) and stack[-1].type == "LBRACE"
    wanted = _IN_SECTION if opened and not item and token.type in ("SEMICOLON", "$END") else _wanted(accepted)
    return _Mistake(*_found(token, source), wanted + _slip(token.type, accepted))


def _found(token: Token, source: Source) -> tuple[Place, str]:
    if token.type == "$END":
        lines = source.text.split("\n")
        return Place(len(lines), len(lines[-1]) + 1), f"found {source.end}"
    return Place(token.line or 1, token.column or 1), f"found {_quoted(token)}"


def _quoted(text: str) -> str:
    shown = text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."
    return f"'{' '.join(shown.split())}'"


def _slip(came: str, accepted: set[str]) -> str:
    return next((hint for (one, other), hint in _SLIPS.items() if one == came and other in accepted), "")


def _wanted(accepted: set[str]) -> str:
    for terminals, wanted in _WANTED:
        if terminals <= accepted:
            return wanted
    words = sorted({_TERMINALS.get(terminal, terminal) for terminal in accepted})
    return f"wanted {' or '.join(words)}" if words else ""


def _character(error: UnexpectedInput, source: Source, in_set: bool) -> _Mistake:
    """Explain a character with which nothing begins."""
    place = Place(error.line, error.column)
    char = error.char if isinstance(error, UnexpectedCharacters) else ""
    if char in _BROKEN:
        found, wanted = _BROKEN[char]
        return _Mistake(place, f"found {found}", wanted)
    allowed = getattr(error, "allowed", None) or ()
    variable = _VARIABLE.match(source.line(place.line), place.column - 1)
    if variable is not None and not in_set and "SEMICOLON" not in allowed:
        return _Mistake(place, f"found the unknown item {_quoted(variable[0])}", _STRANGE["$"])
    usual = 'a text with such characters stands in double quotes: "..."' if char.isprintable() else ""
    # What looks like another character is told from it by its number.
    shown = repr(char) if char.isascii() else f"{char!r} (U+{ord(char):04X})"
    return _Mistake(place, f"found the character {shown}", _STRANGE.get(char) or usual or "which begins nothing here")


def _open_braces(stack: list[Any]) -> list[str]:
    """Name the statements whose braces are open where the reading ended: what lies on the stack before each '{'.

    Braces that were closed last may still lie there, with their '}'.
    """
    names: list[str | None] = []
    head: Token | None = None
    words: list[Member] = []
    for entry in stack:
        if isinstance(entry, list):
            words = entry
        elif not isinstance(entry, Token):
            continue
        elif entry.type == "WORD":
            head, words = entry, []
        elif entry.type == "LBRACE":
            named = words[0].value if words else None
            names.append(None if head is None else f"{head} {named.text}" if isinstance(named, Word) else str(head))
            head = None
        elif entry.type == "RBRACE" and names:
            names.pop()
    return [name for name in names if name is not None]


def _stack(error: UnexpectedInput) -> list[Any]:
    """Return what the parser has read and not yet put together; of a character that no terminal has, too."""
    interactive = getattr(error, "interactive_parser", None)
    return [] if interactive is None else list(interactive.parser_state.value_stack)
