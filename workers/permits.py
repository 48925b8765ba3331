"""The right to have one more session, shared by all workers without a lock: an eventfd that counts free sessions.

A worker takes one at a time, so none is held in vain: N + 1 sessions never exist at once, and a session is refused
only when N exist. What ended sessions gave back serves new ones within the same turn of the loop and goes back to the
common pool at its end. How many the worker holds stands in shared memory, for the parent to give back if it dies.
Source: eventfd(2), EFD_SEMAPHORE.
"""

from __future__ import annotations

import os

from workers.contract.slots import Counter


class Permits:
    """One worker's view of the pool. words: its region's header."""

    def __init__(self, pool: int, words: memoryview) -> None:
        self._pool = pool
        self._words = words
        self._spare = 0

    def take(self) -> bool:
        """Take one; False if none is left in the whole proxy."""
        if self._spare:
            self._spare -= 1
            return True
        try:
            os.eventfd_read(self._pool)
        except BlockingIOError:
            return False
        self._words[Counter.PERMITS] += 1
        return True

    def give(self) -> None:
        """Give one back; the others see it after settle."""
        self._spare += 1

    def settle(self) -> None:
        """Put what was given back into the common pool: once a turn."""
        if self._spare:
            # In this order: a worker killed in between leaves a permit too few in the world, never one too many.
            spare, self._spare = self._spare, 0
            self._words[Counter.PERMITS] -= spare
            os.eventfd_write(self._pool, spare)
