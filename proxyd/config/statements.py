"""What the parser makes of a configuration's text: statements, their elements and where each was written.

Nothing here knows a keyword or a type; the checker gives the words their meaning. Source: udp-proxy.cfg(5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias


class Place(NamedTuple):
    """A line and a column, both from 1; the file is the reader's to know."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Word:
    """A bare word: a keyword, a number, a name, a range such as `0800-1630`."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Text:
    """A string in double quotes; text as written between them, escapes not undone."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Bracketed:
    """What stands in square brackets: an address, or an address and a mask."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Pattern:
    """What stands between slashes, escapes not undone."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Star:
    """The value `*`."""

    place: Place


Scalar: TypeAlias = Word | Text | Bracketed | Pattern | Star


@dataclass(frozen=True, slots=True)
class Span:
    """Two scalars with `-` between them."""

    first: Scalar
    last: Scalar
    place: Place


@dataclass(frozen=True, slots=True)
class HostPort:
    """Two scalars with `:` between them."""

    host: Scalar
    port: Scalar
    place: Place


@dataclass(frozen=True, slots=True)
class Braces:
    """A set: members in braces. depth: 1 without further braces inside."""

    members: tuple[Member, ...]
    place: Place
    depth: int = 1


Value: TypeAlias = Scalar | Span | HostPort | Braces


@dataclass(frozen=True, slots=True)
class Member:
    """An element of an item or a member of a set, with `!` in front or not."""

    value: Value
    place: Place
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """An item (body is None) or a section. depth: how deep braces nest inside."""

    keyword: Word
    elements: tuple[Member, ...]
    body: tuple[Statement, ...] | None
    depth: int = field(default=0, compare=False)
