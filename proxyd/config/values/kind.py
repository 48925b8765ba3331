"""What every value type has, and how a value that does not fit is reported.

Source: udp-proxy.cfg(5), VALUE TYPES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

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
    Text,
    Value,
    Word,
)
from proxyd.errors import ProxydError

MAX_SHOWN_CHARS = 40

T = TypeVar("T")


class UnfitError(ProxydError):
    """An element is not what its type wants; the checker adds file and section. others: more of the same element."""

    def __init__(self, place: Place, found: str, wanted: str) -> None:
        super().__init__(place, found, wanted)
        self.place = place
        self.found = found
        self.wanted = wanted
        self.others: list[UnfitError] = []


def _undoubted(_: Member) -> Iterable[UnfitError]:
    return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A value type.

    name: as the manual page writes it. wanted: what to ask for when something else stands there.
    parse: element to value, raises UnfitError. show: value to the text that parses to it again.
    doubts: what an element that parses may not mean as it was meant; each as found, and what to do.
    """

    name: str
    wanted: str
    parse: Callable[[Member], Any]
    show: Callable[[Any], str]
    doubts: Callable[[Member], Iterable[UnfitError]] = _undoubted


def describe(value: Value) -> str:
    """Return a value as it was written, cut where it is long, in quotes fit for a message."""
    text = _written(value)
    if len(text) > MAX_SHOWN_CHARS:
        text = f"{text[:MAX_SHOWN_CHARS]}..."
    return f"'{text}'"


def _written(value: Value) -> str:
    match value:
        case Word(text, _):
            return text
        case Text(text, _):
            return f'"{text}"'
        case Bracketed(text, _):
            return f"[{text}]"
        case Pattern(text, _):
            return f"/{text}/"
        case Star():
            return "*"
        case Span(first, last, _):
            return f"{_written(first)}-{_written(last)}"
        case HostPort(host, port, _):
            return f"{_written(host)}:{_written(port)}"
        case Braces():
            return "{ ... }" if value.members else "{ }"


def parse_each(members: Iterable[Member], parse: Callable[[Member], T]) -> tuple[T, ...]:
    """Parse every member of a set. Raises the first UnfitError with the others in it, so that all are reported."""
    values: list[T] = []
    errors: list[UnfitError] = []
    for member in members:
        try:
            values.append(parse(member))
        except UnfitError as error:
            errors += [error, *error.others]
    if errors:
        errors[0].others = errors[1:]
        raise errors[0]
    return tuple(values)


def unfit(value: Value, wanted: str) -> UnfitError:
    """Return the error for a value of a wrong form."""
    return UnfitError(value.place, f"found {describe(value)}", f"wanted {wanted}")


def scalar(member: Member, wanted: str) -> Scalar:
    """Return the member's one plain value. Raises UnfitError for sets, ranges, pairs and anything negated."""
    value = member.value
    if member.negated:
        raise UnfitError(member.place, f"found '!' before {describe(value)}", f"wanted {wanted}")
    if isinstance(value, Braces | Span | HostPort):
        raise unfit(value, wanted)
    return value


def word(member: Member, wanted: str) -> Word:
    """Return the member's bare word. Raises UnfitError when it is anything else."""
    value = scalar(member, wanted)
    if not isinstance(value, Word):
        raise unfit(value, wanted)
    return value
