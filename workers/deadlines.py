"""Deadlines by coarse ticks: cheap to set, cheap to cancel, never early, at most a tick late.

Sans-I/O: the clock is an argument. An item has at most one deadline.
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")

TICK_NS = 1 << 27
"""134 ms: a session must be gone within a second of its deadline."""
NEVER = (1 << 60) - 1
"""Later than any deadline: 36 years of monotonic time."""


class Deadlines(Generic[T]):
    """Items and the tick in which each is due."""

    def __init__(self) -> None:
        self._ticks: dict[int, set[T]] = {}
        self._order: list[int] = []
        self._tick = 0

    def __len__(self) -> int:
        return sum(map(len, self._ticks.values()))

    def set(self, item: T, deadline_ns: int) -> int:
        """Add an item that is not set; return the tick that finds it again for cancel."""
        tick = (deadline_ns + TICK_NS - 1) // TICK_NS
        # Who comes together keeps the same number, not equal ones: 32 bytes an item.
        if tick == self._tick:
            tick = self._tick
        else:
            self._tick = tick
        items = self._ticks.get(tick)
        if items is None:
            items = self._ticks[tick] = set()
            heapq.heappush(self._order, tick)
        items.add(item)
        return tick

    def cancel(self, item: T, tick: int) -> None:
        """Forget an item; tick is what set returned. No matter if it was due already."""
        items = self._ticks.get(tick)
        if items is not None:
            items.discard(item)
            if not items:  # a set keeps the room it once needed
                self._ticks[tick] = set()

    def due(self, now_ns: int) -> list[T]:
        """Take out and return every item whose tick has come; none of them is before its deadline."""
        items: list[T] = []
        while self._order and self._order[0] * TICK_NS <= now_ns:
            items.extend(self._ticks.pop(heapq.heappop(self._order)))
        return items

    def next_ns(self) -> int:
        """Return when due has something to say, NEVER if nothing is set."""
        order, ticks = self._order, self._ticks
        while order and not ticks[order[0]]:
            del ticks[heapq.heappop(order)]
        return order[0] * TICK_NS if order else NEVER
