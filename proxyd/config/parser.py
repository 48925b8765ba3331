"""Text to statements. Does not know what a keyword means, except which ones are items (see parse).

The first mistake of form ends the reading: after it every further message would be a guess.
Source: udp-proxy.cfg(5); the grammar is grammar.lark beside this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput

from proxyd.config.formfaults import MAX_DEPTH, Source, explain, too_deep
from proxyd.config.statements import (
    Braces,
    Bracketed,
    HostPort,
    Member,
    Pattern,
    Place,
    Scalar,
    Span,
    Star,
    Statement,
    Text,
    Value,
    Word,
)
from proxyd.errors import ConfigError, ConfigErrors, Position

END_OF_FILE = "the end of the file"


class _TooDeep(Exception):
    pass


def _place(token: Token) -> Place:
    return Place(token.line or 1, token.column or 1)


def _deeper(inner: Iterable[int]) -> int:
    depth = 1 + max(inner, default=0)
    if depth > MAX_DEPTH:
        raise _TooDeep
    return depth


def _value_depth(value: Value) -> int:
    return value.depth if isinstance(value, Braces) else 0


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    """Builds nodes while the text is read: no second walk, so depth of nesting costs no stack."""

    def start(self, statements: list[Statement] | None = None) -> list[Statement]:
        return statements or []

    def statements(self, *parts: Any) -> list[Statement]:
        return _extended(parts)

    def elements(self, *parts: Any) -> list[Member]:
        return _extended(parts)

    def members(self, *parts: Any) -> list[Member]:
        return _extended(parts)

    def item(self, keyword: Token, elements: list[Member]) -> Statement:
        return Statement(self.word(keyword), tuple(elements), None, _elements_depth(elements))

    def section(self, keyword: Token, elements: list[Member], body: list[Statement]) -> Statement:
        depth = _deeper(statement.depth for statement in body)
        return Statement(self.word(keyword), tuple(elements), tuple(body), max(depth, _elements_depth(elements)))

    def hollow(self, keyword: Token, elements: list[Member], _: Token) -> Statement:
        return Statement(self.word(keyword), tuple(elements), (), max(1, _elements_depth(elements)))

    def plain(self, value: Value) -> Member:
        return Member(value, value.place)

    def negated(self, value: Value) -> Member:
        return Member(value, value.place, negated=True)

    def span(self, first: Scalar, last: Scalar) -> Span:
        return Span(first, last, first.place)

    def sock(self, host: Scalar, port: Scalar) -> HostPort:
        return HostPort(host, port, host.place)

    def filled(self, brace: Token, members: list[Member]) -> Braces:
        return Braces(tuple(members), _place(brace), _deeper(_value_depth(member.value) for member in members))

    def empty(self, token: Token) -> Braces:
        return Braces((), _place(token))

    def word(self, token: Token) -> Word:
        return Word(str(token), _place(token))

    def string(self, token: Token) -> Text:
        return Text(str(token)[1:-1], _place(token))

    def bracketed(self, token: Token) -> Bracketed:
        return Bracketed(str(token)[1:-1].strip(), _place(token))

    def pattern(self, token: Token) -> Pattern:
        return Pattern(str(token)[1:-1], _place(token))

    def star(self, token: Token) -> Star:
        return Star(_place(token))


def _extended(parts: tuple[Any, ...]) -> list[Any]:
    """Return the list so far with the new part; in place, as the list has no other owner yet."""
    if len(parts) == 2:
        parts[0].append(parts[1])
        return parts[0]  # type: ignore[no-any-return]
    return list(parts)


def _elements_depth(elements: list[Member]) -> int:
    return max((_value_depth(element.value) for element in elements), default=0)


_PARSER = Lark(
    Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8"),
    parser="lalr",
    lexer="contextual",
    transformer=_Builder(),
)


def parse(text: str, name: str, is_item: Callable[[str], bool], end: str = END_OF_FILE) -> tuple[Statement, ...]:
    """Parse a whole configuration; name stands for the file in messages, and end for where it ends.

    is_item tells of a lower-case keyword whether the table knows it as an item: `{ }` before a further word
    ends a section, but is an empty set inside an item, and only the table can tell these apart.
    Raises ConfigErrors with the one mistake of form that ended the reading.
    """
    try:
        statements: list[Statement] = _PARSER.parse(text)  # type: ignore[assignment]
    except _TooDeep:
        position = Position(name, *too_deep(text))
        found = f"braces nested more than {MAX_DEPTH} deep"
        raise ConfigErrors([ConfigError(position, "", found, "wanted fewer levels")]) from None
    except UnexpectedInput as error:
        raise ConfigErrors([explain(error, Source(text, name, end), is_item)]) from None
    return tuple(part for statement in statements for part in _split(statement, is_item))


def _split(statement: Statement, is_item: Callable[[str], bool]) -> Iterable[Statement]:
    """Cut off the sections that ended in `{ }` and took the following statement for their elements."""
    body = statement.body
    if body is not None:
        body = tuple(part for inner in body for part in _split(inner, is_item))
    keyword, elements, start = statement.keyword, statement.elements, 0
    while (cut := _hollow_end(keyword, elements, start, body, is_item)) is not None:
        following = elements[cut + 1].value
        yield Statement(keyword, elements[start:cut], ())
        if not isinstance(following, Word):
            raise TypeError("the grammar lets only a word follow")
        keyword, start = following, cut + 2
    yield Statement(keyword, elements[start:], body, statement.depth)


def _hollow_end(
    keyword: Word,
    elements: Sequence[Member],
    start: int,
    body: tuple[Statement, ...] | None,
    is_item: Callable[[str], bool],
) -> int | None:
    """Return the index of the first empty braces from start on that end a section inside these elements, if any."""
    if body is None and is_item(keyword.text.lower()):
        return None
    for index in range(start, len(elements) - 1):
        element, following = elements[index], elements[index + 1]
        hollow = isinstance(element.value, Braces) and not element.value.members and not element.negated
        if hollow and isinstance(following.value, Word) and not following.negated:
            return index
    return None
