"""Finding regular expressions in a text in linear time: all ways to match go side by side, as bits of one integer.

An expression is written out into positions, one for each character or set of characters in it, and links: after any of
these positions any of those may come. A search keeps the set of positions that the last character stood at, and makes
the next set of it with at most two links a position; it never goes back. So the time is bounded by characters times
positions, whatever the text, and texts seen before cost one look-up a character.

`^` and `$` take no character: they are in where a part fits the empty text, and so in which positions may be the first
and the last. Between two characters neither holds, so links need no distinction.
Source: Glushkov's construction ("The abstract theory of automata", 1961), with sets of positions in place of states.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

MAX_TRANSITIONS = 512
"""How many results of steps, and of characters, an automaton remembers; names are chosen by strangers."""

ALONE, START, MIDDLE, END = 1, 2, 4, 8
"""Places in a text: the only place of an empty one; before all characters; between two of them; after all."""
EVERYWHERE = ALONE | START | MIDDLE | END
_UNREAD = -1
"""In place of a set of positions: no character has been read yet."""


class CharacterSet(NamedTuple):
    """Characters from the first to the last of each range, ASCII letters in either case; negated: all others."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def has(self, character: str) -> bool:
        """Tell whether a character is in the set."""
        cases = (character.lower(), character.upper()) if character.isascii() else (character,)
        return self.negated is not any(first <= case <= last for first, last in self.ranges for case in cases)


class Piece(NamedTuple):
    """A part of an expression. Sets of positions are integers, in which bit n stands for position n.

    start, links: how many positions and links there were before it. void: the places at which it fits the empty text.
    opening, first: where it may begin, at the start of the text and elsewhere. last, closing: where it may end,
    before another character and at the end of the text. What it may begin or end with elsewhere it also may there.
    """

    start: int
    links: int
    void: int = 0
    opening: int = 0
    first: int = 0
    last: int = 0
    closing: int = 0

    def optional(self) -> Piece:
        """Return what fits as this one does, and the empty text everywhere."""
        return self._replace(void=EVERYWHERE)

    def either(self, other: Piece) -> Piece:
        """Return what fits where this one or a later one does."""
        return Piece(*self[:2], *(mine | its for mine, its in zip(self[2:], other[2:], strict=True)))


class Builder:
    """The positions and links of one expression, to which pieces are added from left to right.

    What is repeated must be the piece that was made last, and in no sequence yet.
    """

    def __init__(self) -> None:
        self._sets: list[CharacterSet] = []
        self._links: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        """How many positions there are."""
        return len(self._sets)

    def empty(self, places: int = EVERYWHERE) -> Piece:
        """Add what fits the empty text at some places only; at none: what never fits."""
        return Piece(len(self._sets), len(self._links), places)

    def one(self, characters: CharacterSet) -> Piece:
        """Add what fits one character."""
        bit = 1 << len(self._sets)
        self._sets.append(characters)
        return Piece(len(self._sets) - 1, len(self._links), 0, bit, bit, bit, bit)

    def sequence(self, left: Piece, right: Piece) -> Piece:
        """Return what fits where right comes after left, the pieces that were made last."""
        self._link(left.last, right.first)
        return Piece(
            left.start,
            left.links,
            left.void & right.void,
            left.opening | (right.opening if left.void & START else 0),
            left.first | (right.first if left.void & MIDDLE else 0),
            right.last | (left.last if right.void & MIDDLE else 0),
            right.closing | (left.closing if right.void & END else 0),
        )

    def written_out(self, piece: Piece, least: int, most: int | None) -> int:
        """Return how many positions a repetition of a piece takes, those that it has included."""
        return (self.size - piece.start) * (max(least, 1) if most is None else most)

    def repeated(self, piece: Piece, least: int, most: int | None) -> Piece:
        """Return what fits as often as that; most None: without end."""
        sets, links = self._sets[piece.start :], self._links[piece.links :]
        if most == 0:
            del self._sets[piece.start :], self._links[piece.links :]
            return self.empty()
        if not sets:  # what takes no character fits twice where it fits once
            return piece if least else piece.optional()
        copies = self.written_out(piece, least, most) // len(sets)
        whole = Piece(piece.start, piece.links, EVERYWHERE)
        fitting = Piece(piece.start, piece.links, 0 if least else EVERYWHERE)
        for count in range(copies):
            part = self._copy(piece, sets, links) if count else piece
            if most is None and count + 1 == copies:
                self._link(part.last, part.first)
            whole = self.sequence(whole, part)
            if count + 1 >= least:
                fitting = fitting.either(whole)
        return fitting

    def finish(self, piece: Piece) -> Automaton:
        """Return the automaton for the whole expression."""
        return Automaton(piece, self._sets, self._links)

    def _link(self, before: int, after: int) -> None:
        if before and after:
            self._links.append((before, after))

    def _copy(self, piece: Piece, sets: list[CharacterSet], links: list[tuple[int, int]]) -> Piece:
        """Add a piece once more, from the sets and links that it had when it stood alone."""
        by = self.size - piece.start
        copied = Piece(self.size, len(self._links), piece.void, *(positions << by for positions in piece[3:]))
        self._sets.extend(sets)
        self._links.extend((before << by, after << by) for before, after in links)
        return copied


class Automaton:
    """A compiled expression."""

    def __init__(self, piece: Piece, sets: Iterable[CharacterSet], links: Iterable[tuple[int, int]]) -> None:
        self._piece = piece
        self._positions: dict[CharacterSet, int] = {}
        for number, characters in enumerate(sets):
            self._positions[characters] = self._positions.get(characters, 0) | 1 << number
        self._runs, self._jumps = _split(links)
        self._standing: dict[str, int] = {}
        self._steps: dict[tuple[int, str], int] = {}

    def search(self, text: str) -> int | None:
        """Return after how many characters it is certain that the expression is found in a text; None if it is not."""
        void, last = self._piece.void, self._piece.last
        if void & (START if text else ALONE):
            return 0
        if not text:
            return None
        steps = self._steps
        live = _UNREAD
        for count, character in enumerate(text, 1):
            following = steps.get((live, character))
            live = self._step(live, character) if following is None else following
            if live & last:
                return count
        return len(text) if live & self._piece.closing or void & END else None

    def _step(self, live: int, character: str) -> int:
        """Read a character; return the positions that it may stand at."""
        if live == _UNREAD:
            ready = self._piece.opening
        else:
            ready = self._piece.first | (live & self._runs) << 1
            for before, after in self._jumps:
                if live & before:
                    ready |= after
        following = ready & self._where(character)
        if len(self._steps) >= MAX_TRANSITIONS:
            self._steps.clear()
        self._steps[live, character] = following
        return following

    def _where(self, character: str) -> int:
        """Return all positions that a character fits."""
        positions = self._standing.get(character)
        if positions is None:
            fitting = (mask for characters, mask in self._positions.items() if characters.has(character))
            positions = sum(fitting)  # no position is in two of them
            if len(self._standing) >= MAX_TRANSITIONS:
                self._standing.clear()
            self._standing[character] = positions
        return positions


def _split(links: Iterable[tuple[int, int]]) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return the positions that one link leads from to the next position; and the other links, one a goal."""
    runs = 0
    jumps: dict[int, int] = {}
    for before, after in links:
        if after == before << 1 and before.bit_count() == 1:
            runs |= before
        else:
            jumps[after] = jumps.get(after, 0) | before
    return runs, tuple((before, after) for after, before in jumps.items())
