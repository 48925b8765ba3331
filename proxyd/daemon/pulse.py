"""Whether the proxy is alive: its own loop turns, or nobody would ask, and no worker is stuck.

A worker without work stands still as a stuck one does; the difference is that datagrams wait for it. One that has not
turned from one look to the next, with datagrams waiting at both, is stuck.
Sans-I/O: what workers have done and what waits for them comes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Beat(NamedTuple):
    """A worker at one look. turns: how often its loop has turned. waiting: whether datagrams wait for it."""

    turns: int
    waiting: bool


class Pulse:
    """Says when a sign of life is due, and whether it may be given.

    every_ns: the time between two, 0: none is wanted.
    """

    def __init__(self, every_ns: int) -> None:
        self._every_ns = every_ns
        self._due_ns = 0
        self._last: dict[int, Beat] = {}

    def due(self, now_ns: int) -> bool:
        """Tell whether it is time to look at the workers."""
        return self._every_ns > 0 and now_ns >= self._due_ns

    def wait_ns(self, now_ns: int, longest_ns: int) -> int:
        """Return how long the next look can wait, longest_ns at most."""
        return min(max(self._due_ns - now_ns, 0), longest_ns) if self._every_ns else longest_ns

    def look(self, now_ns: int, beats: Mapping[int, Beat]) -> list[int]:
        """Return the workers that are stuck; with none, the sign of life may be given.

        beats: all workers that are ready, by their index.
        """
        self._due_ns = now_ns + self._every_ns
        stuck = [worker for worker, beat in beats.items() if beat.waiting and self._last.get(worker) == beat]
        self._last = dict(beats)
        return stuck
