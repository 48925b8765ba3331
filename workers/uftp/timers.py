"""Deadlines of groups, to the nanosecond, and rations of what may be sent in a second. The clock is an argument.

workers.deadlines is for sessions that live for minutes and may end 134 ms late; a group's round trip is often 10 ms.
A deadline that moves later costs nothing: whoever is woken too early sets itself again.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

from workers.deadlines import NEVER

T = TypeVar("T", bound=Hashable)

SECOND_NS = 1_000_000_000
_SPARE_ENTRIES = 64
"""How many outdated entries the heap may hold before it is built anew, beside one an item."""


class Timers(Generic[T]):
    """Items and when each is due; an item has at most one deadline. Setting and taking: O(log items), amortised."""

    def __init__(self) -> None:
        self._due: dict[T, int] = {}
        self._heap: list[tuple[int, int, T]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._due)

    def set(self, item: T, due_ns: int) -> None:
        """Give an item this deadline and no other."""
        self._due[item] = due_ns
        self._serial += 1
        heapq.heappush(self._heap, (due_ns, self._serial, item))
        if len(self._heap) > 2 * len(self._due) + _SPARE_ENTRIES:
            self._rebuild()

    def bring_forward(self, item: T, due_ns: int) -> None:
        """Give an item this deadline unless the one it has is earlier."""
        if due_ns < self._due.get(item, NEVER):
            self.set(item, due_ns)

    def cancel(self, item: T) -> None:
        """Forget an item; no matter if it is not set."""
        self._due.pop(item, None)

    def due(self, now_ns: int) -> list[T]:
        """Take out and return every item whose deadline has come, the earliest first."""
        items: list[T] = []
        while self._heap and self._heap[0][0] <= now_ns:
            due_ns, _, item = heapq.heappop(self._heap)
            if self._due.get(item) == due_ns:
                del self._due[item]
                items.append(item)
        return items

    def next_ns(self) -> int:
        """Return the earliest deadline, NEVER if nothing is set."""
        heap = self._heap
        while heap and self._due.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else NEVER

    def _rebuild(self) -> None:
        self._heap = [(due_ns, serial, item) for serial, (item, due_ns) in enumerate(self._due.items())]
        self._serial = len(self._heap)
        heapq.heapify(self._heap)


class Ration:
    """So many a second, and no more at once: what a stranger can make us send is bounded by one of these."""

    __slots__ = ("_cost_ns", "_paid_ns", "_span_ns")

    def __init__(self, a_second: float, at_once: int, now_ns: int) -> None:
        self._cost_ns = int(SECOND_NS / a_second)
        self._span_ns = self._cost_ns * at_once
        self._paid_ns = now_ns - self._span_ns

    def take(self, now_ns: int) -> bool:
        """Take one; say whether there was one to take."""
        paid_ns = max(self._paid_ns, now_ns - self._span_ns)
        if paid_ns + self._cost_ns > now_ns:
            return False
        self._paid_ns = paid_ns + self._cost_ns
        return True
