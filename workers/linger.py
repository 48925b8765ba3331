"""How long a busy loop waits between two turns, so that batches fill. Sans-I/O: times are arguments.

A turn costs as much as several datagrams, whatever it finds. A loop that finds one datagram a turn is busy all the time
at a fraction of what it could do, and answers late whenever anything disturbs it; one that waits a few microseconds
first finds several. It waits only while turns come thick and the processor is nearly used up: a lone client that waits
for each answer before it asks again never meets it.
"""

from __future__ import annotations

STEP_NS = 10_000
LONGEST_NS = 30_000
"""A round trip passes the loop twice: it is up to twice this longer. Twice as long saves a tenth of the processor at
half load, and makes answers half as late again."""
HIGH_PERCENT, LOW_PERCENT = 70, 45
"""The share of the processor above which it waits longer, and below which it waits less."""
FULL_TURN = 30
"""Turns with as many datagrams, both ways together, have found enough."""


class Linger:
    """Adapts the pause of one loop. pause_s: seconds to wait after a turn, 0 for not at all."""

    def __init__(self) -> None:
        self.pause_s = 0.0
        self._pause_ns = 0
        self._began_ns = self._used_ns = self._datagrams = 0

    def adapt(self, turns: int, datagrams: int, used_ns: int, now_ns: int) -> None:
        """Take in how many turns there were since the last call.

        datagrams: how many have been seen so far; used_ns: processor time so far.
        """
        elapsed_ns = now_ns - self._began_ns
        news, self._datagrams = datagrams - self._datagrams, datagrams
        used_percent = 100 * (used_ns - self._used_ns) // max(1, elapsed_ns)
        self._began_ns, self._used_ns = now_ns, used_ns
        if used_percent >= HIGH_PERCENT and news < turns * FULL_TURN:
            self._pause_ns = min(LONGEST_NS, self._pause_ns + STEP_NS)
        elif used_percent < LOW_PERCENT or news >= turns * FULL_TURN:
            self._pause_ns = max(0, self._pause_ns - STEP_NS)
        self.pause_s = self._pause_ns / 1e9
