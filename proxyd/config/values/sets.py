"""Sets of numbers, days, months, ports, minutes: ordered, with `!`, kept as the bits of one integer.

A set is read as a host list is: the first member that says something of a number decides, and a number of which no
member says anything is not in the set. Source: udp-proxy.cfg(5), VALUE TYPES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proxyd.config.statements import Braces, Member, Span, Star, Value, Word
from proxyd.config.values.kind import Kind, UnfitError, describe, parse_each, unfit
from proxyd.config.values.numbers import LAST_PORT, parse_number, parse_port

Single = Callable[[Value], int]
"""From a scalar to a number of the domain; raises UnfitError."""


@dataclass(frozen=True, slots=True)
class Domain:
    """What a set is a set of.

    first, last: its numbers. single: one member. final: the last number of a range when its end is exclusive, as in
    times of day (then single may yield last + 1). show: a number, for text. cyclic: after the last comes the first.
    """

    name: str
    wanted: str
    first: int
    last: int
    single: Single
    show: Callable[[int], str] = str
    exclusive: bool = False
    cyclic: bool = False


def _bits(first: int, last: int) -> int:
    return (1 << (last + 1)) - (1 << first)


def _range(domain: Domain, first: Value, last: Value, whole: Value) -> int:
    low, high = domain.single(first), domain.single(last)
    if domain.exclusive:
        high -= 1
    if low > high:
        wanted = "wanted its start before its end" + _as_two(domain, low, high)
        raise UnfitError(whole.place, f"found the range {describe(whole)}", wanted)
    return _bits(low, high)


def _as_two(domain: Domain, low: int, high: int) -> str:
    """Return how to write a range that runs across the end of the domain, where it can."""
    if not domain.cyclic:
        return ""
    ranges = ((low, domain.last), (domain.first, high))
    return f", as in {{ {', '.join(_show_run(domain, first, last) for first, last in ranges if first <= last)} }}"


def _show_run(domain: Domain, first: int, last: int) -> str:
    step = 1 if domain.exclusive else 0
    return domain.show(first) if first == last else f"{domain.show(first)}-{domain.show(last + step)}"


def _one(domain: Domain, value: Value) -> int:
    """Return the bits of a member that is no set."""
    if isinstance(value, Star):
        return _bits(domain.first, domain.last)
    if isinstance(value, Span):
        return _range(domain, value.first, value.last, value)
    if isinstance(value, Word) and value.text.count("-") == 1:
        first, _, last = value.text.partition("-")
        ends = Word(first, value.place), Word(last, value.place)
        if _looks_like_range(domain, ends):
            return _range(domain, *ends, value)
    number = domain.single(value)
    if number > domain.last:
        raise unfit(value, domain.wanted)
    return 1 << number


def _looks_like_range(domain: Domain, ends: tuple[Word, Word]) -> bool:
    """Tell a range from a word with a hyphen in it (names of services have them)."""
    try:
        for end in ends:
            domain.single(end)
    except UnfitError:
        return all(parse_number(end.text) is not None for end in ends)
    return True


def _evaluate(domain: Domain, members: tuple[Member, ...]) -> tuple[int, int]:
    """Return what a list takes in and what it puts out."""

    def say(member: Member) -> tuple[bool, int, int]:
        if isinstance(member.value, Braces):
            return member.negated, *_evaluate(domain, member.value.members)
        return member.negated, _one(domain, member.value), 0

    included = excluded = 0
    for negated, taken, put_out in parse_each(members, say):
        decided = included | excluded
        if negated:
            excluded |= taken & ~decided
        else:
            included |= taken & ~decided
            excluded |= put_out & ~decided
    return included, excluded


def parse_set(domain: Domain, member: Member) -> int:
    """Return the set as bits. Raises UnfitError."""
    return _evaluate(domain, (member,))[0]


def ranges(bits: int) -> tuple[tuple[int, int], ...]:
    """Return the sorted, disjoint, inclusive (first, last) pairs of a set."""
    return tuple(_runs(bits))


def _runs(bits: int) -> Iterator[tuple[int, int]]:
    offset = 0
    while bits:
        low = (bits & -bits).bit_length() - 1
        bits >>= low
        length = (~bits & (bits + 1)).bit_length() - 1
        yield offset + low, offset + low + length - 1
        bits >>= length
        offset += low + length


def numbers(bits: int) -> frozenset[int]:
    """Return the numbers of a set."""
    return frozenset(number for first, last in _runs(bits) for number in range(first, last + 1))


def is_whole(domain: Domain, bits: int) -> bool:
    """Tell whether a set holds everything there is."""
    return bits == _bits(domain.first, domain.last)


def _show(domain: Domain, bits: int) -> str:
    if is_whole(domain, bits):
        return "*"
    return f"{{ {', '.join(_show_run(domain, first, last) for first, last in _runs(bits))} }}"


def set_kind(domain: Domain) -> Kind:
    """Make the type of a set over a domain; values are bits."""
    return Kind(
        domain.name,
        domain.wanted,
        lambda member: parse_set(domain, member),
        lambda bits: _show(domain, bits),
        lambda member: _idle_negations(domain, member),
    )


def _idle_negations(domain: Domain, member: Member) -> Iterator[UnfitError]:
    """Yield the members behind `!` that say nothing new, as members before them have taken them in."""
    if not isinstance(member.value, Braces):
        return
    included = 0
    for one in member.value.members:
        yield from _idle_negations(domain, one)
        taken, _ = _evaluate(domain, (Member(one.value, one.place),))
        if not one.negated:
            included |= taken
        elif taken and not taken & ~included:
            found = f"'! {describe(one.value)[1:-1]}' comes after what covers it, and has no effect"
            yield UnfitError(one.place, found, "put it first to leave it out")


def number_domain(name: str, first: int, last: int, cyclic: bool = False) -> Domain:
    """Make the domain of the whole numbers from first to last."""
    wanted = f"numbers from {first} to {last}, ranges of them, or '*'"

    def single(value: Value) -> int:
        number = parse_number(value.text) if isinstance(value, Word) else None
        if number is None or not first <= number <= last:
            raise unfit(value, wanted)
        return number

    return Domain(name, wanted, first, last, single, cyclic=cyclic)


UINT8_DOMAIN = number_domain("uint8-set", 0, 255)
DAY_DOMAIN = number_domain("uint8-set", 1, 31, cyclic=True)
PORT_DOMAIN = Domain("port-set", "ports, ranges of them, or '*'", 0, LAST_PORT, parse_port)

UINT8_SET = set_kind(UINT8_DOMAIN)
DAY_SET = set_kind(DAY_DOMAIN)
PORT_SET = set_kind(PORT_DOMAIN)
