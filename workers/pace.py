"""How long the UFTP loop waits before it reads again, so that a stream of datagrams fills its batches. Sans-I/O.

A server sends at a steady rate for minutes: reading every datagram as it comes costs three times what reading thirty at
once does (scripts/bench). While datagrams come thick, each turn is followed by a pause in which BATCH of them gather;
the socket's queue holds several times as many. Single messages never wait.
"""

from __future__ import annotations

BATCH = 88
"""Datagrams to gather at most: with those that come meanwhile, about two trains of 1,300 bytes, and half of what the
queue of a receiver holds that has the size of 4.10.2's."""
FEWEST = 8
ROOM_BYTES = 8192
"""Of the buffer, for each datagram that is to gather: four times what one of 1,300 bytes takes there."""
LONGEST_NS = 2_000_000
THICK_NS = 400_000
"""Closer together than this, 2,500 a second, datagrams are worth gathering: five in the longest pause."""
IDLE_NS = 20_000_000
STEADY_TURNS = 16
"""Turns of a stream before it is believed to go on."""


class Pace:
    """The pace of one socket's datagrams. buffer_bytes: of its queue; a small one must not overflow during a pause."""

    def __init__(self, buffer_bytes: int) -> None:
        self._batch = max(FEWEST, min(BATCH, buffer_bytes // ROOM_BYTES))
        self._last_ns = 0
        self._gap_ns = THICK_NS
        self._turns = 0

    def pause_s(self, datagrams: int, now_ns: int) -> float:
        """Take in that a turn at now_ns has found datagrams; return how many seconds to wait before the next."""
        elapsed_ns, self._last_ns = now_ns - self._last_ns, now_ns
        if elapsed_ns > IDLE_NS or not datagrams:
            self._turns = 0
            self._gap_ns = THICK_NS
            return 0.0
        self._turns += 1
        self._gap_ns += (elapsed_ns // datagrams - self._gap_ns) // 8
        if self._turns < STEADY_TURNS or self._gap_ns >= THICK_NS:
            return 0.0
        return min(self._batch * self._gap_ns, LONGEST_NS) / 1e9
