"""A map from ranges of integers to values, looked up by bisection.

Ranges may overlap when the map is made: the one of the lowest rank wins, as in an ordered list. Host sets and rule
sets of plain addresses are compiled to it, so that their size hardly matters on the session set-up path.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Piece(NamedTuple, Generic[T]):
    """value holds for first <= number <= last, unless a piece of a lower rank says otherwise."""

    first: int
    last: int
    rank: int
    value: T


class IntervalMap(Generic[T]):
    """Values by number, from pieces in any order.

    starts: where each stretch of one value begins, ascending from 0; values: the value of each, None where no piece
    lies. The last stretch never has a value. Numbers are not negative.
    """

    __slots__ = ("starts", "values")

    def __init__(self, pieces: Iterable[Piece[T]] = ()) -> None:
        starts: list[int] = [0]
        values: list[T | None] = [None]
        for point, value in _stretches(sorted(pieces, key=lambda piece: piece.first)):
            if point == starts[-1]:
                values[-1] = value
            elif value != values[-1]:
                starts.append(point)
                values.append(value)
        self.starts = tuple(starts)
        self.values = tuple(values)

    def at(self, number: int) -> T | None:
        """Return the value at number, None where there is none."""
        return self.values[bisect_right(self.starts, number) - 1]

    def stretches(self) -> Iterator[tuple[int, int, T]]:
        """Yield (first, last, value) in ascending order, disjoint, only where there is a value."""
        for index, value in enumerate(self.values):
            if value is not None:
                yield self.starts[index], self.starts[index + 1] - 1, value


def _stretches(pieces: list[Piece[T]]) -> Iterator[tuple[int, T | None]]:
    """Sweep over pieces sorted by first; yield every point where something begins or ends, and the value from it."""
    points = sorted({piece.first for piece in pieces} | {piece.last + 1 for piece in pieces})
    waiting = iter(pieces)
    coming = next(waiting, None)
    active: list[tuple[int, int, int]] = []
    held: list[T] = []
    for point in points:
        while coming is not None and coming.first == point:
            heappush(active, (coming.rank, coming.last, len(held)))
            held.append(coming.value)
            coming = next(waiting, None)
        while active and active[0][1] < point:
            heappop(active)
        yield point, held[active[0][2]] if active else None
