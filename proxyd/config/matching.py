"""An item's elements against the forms of its row: which form is meant, which value belongs to which part.

Named parts and keys may come in any order, the others in theirs. Source: udp-proxy.cfg(5), SYNTAX.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from proxyd.config.parser import parse
from proxyd.config.prototype import Keyword, Part, Parts
from proxyd.config.statements import Member, Place, Statement, Word
from proxyd.config.values.kind import UnfitError, describe
from proxyd.config.values.words import nearest

_HINT = re.compile(r" \(did you mean '[^']*'\?\)$")


@dataclass(slots=True)
class Match:
    """What came of matching one form.

    faults carry places; reached: how many elements came before the first one. doubts: of elements that fit.
    """

    form: int
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    faults: list[UnfitError] = field(default_factory=list)
    doubts: list[UnfitError] = field(default_factory=list)
    reached: int = 0


def match(row: Keyword, statement: Statement) -> Match:
    """Match an item against its row; the form without faults, or the one that explains the most elements."""
    best: list[Match] = []
    for number, parts in enumerate(row.all_forms):
        found = _Form(number, parts, statement).run()
        if not found.faults:
            return found
        if not best or _depth(found) > _depth(best[0]):
            best = [found]
        elif _depth(found) == _depth(best[0]):
            best.append(found)
    return _merged(best, len(row.forms))


def _depth(found: Match) -> tuple[int, Place]:
    """Return how far a form has led: how many elements, and how deep into the next one."""
    return found.reached, found.faults[0].place


def _merged(best: list[Match], shown_forms: int) -> Match:
    """Return one match whose first fault asks for all that the equally good forms would have taken.

    Of its other faults those remain that all of these forms have: the rest may come from the wrong form.
    """
    chosen = best[0]
    first, *others = chosen.faults
    chosen.faults = [first, *(fault for fault in others if all(_has(found, fault) for found in best))]
    asked = [
        found.faults[0].wanted for found in best if found.form < shown_forms and found.faults[0].place == first.place
    ]
    alternatives = list(dict.fromkeys([first.wanted, *asked]))
    if len(alternatives) > 1 and all(text.startswith("wanted ") for text in alternatives):
        chosen.faults[0] = UnfitError(first.place, first.found, _joined(alternatives))
    return chosen


def _joined(alternatives: Sequence[str]) -> str:
    """Return one text that asks for all that these ask for: nothing twice, the end of the item and a hint last."""
    hints = [hint[0] for text in alternatives if (hint := _HINT.search(text)) is not None]
    asked = [piece for text in alternatives for piece in _HINT.sub("", text).removeprefix("wanted ").split(" or ")]
    ends = [piece for piece in asked if piece.startswith("';'")]
    pieces = [*dict.fromkeys(piece for piece in asked if piece not in ends), *ends[:1]]
    return f"wanted {' or '.join(pieces)}{''.join(hints[:1])}"


def _has(found: Match, fault: UnfitError) -> bool:
    return any((its.place, its.found) == (fault.place, fault.found) for its in found.faults)


class _Form:
    """One form being filled."""

    def __init__(self, number: int, parts: Parts, statement: Statement) -> None:
        self._elements: Sequence[Member] = statement.elements
        self._keyword = statement.keyword
        self._open = list(parts)
        self._names = {part.name for part in parts if part.kind is None or part.named}
        self._match = Match(number)
        self._next = 0
        self._lost = False

    def run(self) -> Match:
        while self._next < len(self._elements):
            self._take()
        for part in self._open:
            if not part.optional and not self._lost:
                self._missing(part)
            elif part.default is not None and part.kind is not None:
                self._match.values[part.name] = part.kind.parse(_element(part.default))
        if not self._match.faults:
            self._match.reached = len(self._elements)
        return self._match

    def _take(self) -> None:
        element = self._elements[self._next]
        part = self._called(element) or self._positional()
        if part is None:
            self._fault(self._surplus(element))
            self._lost = True
            self._next = len(self._elements)
            return
        self._open.remove(part)
        if part.kind is None and self._called_is(part, element):
            self._store(part, True, element.place)
        elif part.kind is None:
            self._fault(UnfitError(element.place, f"found {_shown(element)}", f"wanted '{part.name}'"))
        elif part.named and self._next + 1 == len(self._elements):
            self._fault(UnfitError(element.place, f"found nothing after '{part.name}'", f"wanted {part.kind.wanted}"))
        else:
            self._next += part.named
            self._parse(part, self._elements[self._next])
        self._next += 1

    def _called(self, element: Member) -> Part | None:
        """Return the open part that this element names, keys and named parts only."""
        return next((part for part in self._open if self._called_is(part, element)), None)

    @staticmethod
    def _called_is(part: Part, element: Member) -> bool:
        value = element.value
        if element.negated or not isinstance(value, Word) or not (part.kind is None or part.named):
            return False
        return value.text.lower() == part.name

    def _positional(self) -> Part | None:
        """Return the next part that stands without a name, or a leading key that has to be there."""
        for part in self._open:
            if part.kind is None and not part.optional:
                # What stands behind such a key cannot be meant before it.
                return None if self._match.values else part
            if part.kind is not None and not part.named:
                return part
        return None

    def _parse(self, part: Part, element: Member) -> None:
        assert part.kind is not None
        try:
            self._store(part, part.kind.parse(element), element.place)
            self._match.doubts += part.kind.doubts(element)
        except UnfitError as error:
            for fault in (error, *error.others):
                self._fault(fault)

    def _store(self, part: Part, value: Any, place: Place) -> None:
        self._match.values[part.name] = value
        self._match.places[part.name] = place

    def _fault(self, error: UnfitError) -> None:
        if not self._match.faults:
            self._match.reached = self._next
        self._match.faults.append(error)

    def _missing(self, part: Part) -> None:
        found = f"found no '{part.name}' in '{self._keyword.text}'"
        wanted = f"wanted {_wanted(part)}"
        if not self._match.faults:
            self._match.reached = len(self._elements)
        place = self._elements[-1].place if self._elements else self._keyword.place
        self._match.faults.append(UnfitError(place, found, wanted))

    def _surplus(self, element: Member) -> UnfitError:
        value = element.value
        hint = ""
        if isinstance(value, Word):
            if value.text.lower() in self._names and not element.negated:
                return UnfitError(element.place, f"found '{value.text}' a second time", "wanted it once")
            hint = nearest(value.text, self._names)
        options = [f"'{part.name}'" for part in self._open if (part.kind is None or part.named) and not part.silent]
        if not options:
            options = [f"';' after '{self._keyword.text}'"]
        elif all(part.optional for part in self._open):
            options.append("';'")
        wanted = " or ".join(options)
        return UnfitError(element.place, f"found {_shown(element)}", f"wanted {wanted}{hint}")


def _shown(element: Member) -> str:
    return f"'!' before {describe(element.value)}" if element.negated else describe(element.value)


def _wanted(part: Part) -> str:
    if part.kind is None:
        return f"'{part.name}'"
    return f"'{part.name}' and {part.kind.wanted}" if part.named else part.kind.wanted


@cache
def default_match(row: Keyword) -> Match:
    """Return what counts when an item with a default is left out: its row's text, matched like a written item."""
    statement = parse(f"{row.name} {row.absent};", "defaults", lambda _: True)[0]
    return match(row, statement)


@cache
def _element(text: str) -> Member:
    return parse(f"x {text};", "defaults", lambda _: True)[0].elements[0]
