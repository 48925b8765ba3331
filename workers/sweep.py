"""Which sessions' slots are written next, so that none is a second old and no turn is long. Sans-I/O.

All sessions are swept again and again, a few whenever the loop does what is due: what is written and looked up for one
costs 2 us where it lies in the processor's caches, 8 us where it does not, and clients wait meanwhile.
"""

from __future__ import annotations

from workers.session.session import Session

SWEEP_NS = 900_000_000
"""How often slots are written again: none may be a second old."""
PORTION = 8
"""How many slots are written in one turn at least: less than a tenth of a millisecond's worth."""
SPAN_NS = 400_000_000
"""How long a sweep may take: where there are many sessions, or long turns, portions are larger for its sake."""


class Sweep:
    """One worker's sweeps. left: the sessions that this one has still to come to."""

    def __init__(self, now_ns: int) -> None:
        self.left: list[Session] = []
        self._count = 0
        self._due_ns = self._taken_ns = now_ns

    @property
    def since_ns(self) -> int:
        """When the sweep before this one began, or later."""
        return self._due_ns - 2 * SWEEP_NS

    def is_due(self, now_ns: int) -> bool:
        """Tell whether the next sweep should begin; the one before has ended."""
        return now_ns >= self._due_ns and not self.left

    def begin(self, sessions: list[Session], now_ns: int) -> None:
        """Begin a sweep over these sessions."""
        self.left = sessions
        self._count = len(sessions)
        self._taken_ns = now_ns
        self._due_ns = now_ns + SWEEP_NS

    def take(self, now_ns: int) -> list[Session]:
        """Return the sessions of this turn: as many as are due since the last one."""
        portion = max(PORTION, self._count * (now_ns - self._taken_ns) // SPAN_NS)
        self._taken_ns = now_ns
        taken = self.left[-portion:]
        del self.left[-portion:]
        return taken
