"""The right to have one more session, shared by all workers without a lock: an eventfd that counts free sessions.

A worker takes one at a time: N + 1 sessions never exist at once. What ended sessions gave back serves new ones of the
same worker first, and goes back to the common pool a turn of the loop later, within a millisecond: so long, at most,
another worker refuses a session though fewer than N exist. How many the worker holds stands in shared memory, for the
parent to give back if it dies.
Source: eventfd(2), EFD_SEMAPHORE.
"""

from __future__ import annotations

import os

from workers.contract.slots import Counter


class Permits:
    """One worker's view of the pool. words: its region's header. total: how many sessions the proxy may have."""

    def __init__(self, pool: int, words: memoryview, total: int) -> None:
        self.total = total
        self._pool = pool
        self._words = words
        self._spare = self._aging = 0
        self._owed: int = words[Counter.OWED]

    @property
    def holding(self) -> bool:
        """Whether settle has something to put back."""
        return self._spare > 0

    def take(self) -> bool:
        """Take one; False if none is left in the whole proxy."""
        if self._spare:
            self._spare -= 1
            self._aging -= self._aging > 0
            return True
        try:
            os.eventfd_read(self._pool)
        except BlockingIOError:
            return False
        self._words[Counter.PERMITS] += 1
        return True

    def take_some(self, count: int) -> int:
        """Take as many as there are, count at most; return how many."""
        taken = min(count, self._spare)
        self._spare -= taken
        self._aging -= min(self._aging, taken)
        while taken < count and self.take():
            taken += 1
        return taken

    def give(self, count: int = 1) -> None:
        """Give some back; the others see it after settle."""
        if self._owed:
            count = self._pay(count)
        self._spare += count

    def untake(self, count: int) -> None:
        """Give back some that were taken for sessions that did not come: the next `age` puts them back."""
        if self._owed:
            count = self._pay(count)
        self._spare += count
        self._aging += count

    def age(self) -> None:
        """Put back what was given before the last call and has not been taken since: once a turn."""
        self._put(min(self._aging, self._spare))
        self._aging = self._spare

    def settle(self) -> None:
        """Put everything that was given back into the common pool."""
        self._put(self._spare)
        self._aging = 0

    def _pay(self, count: int) -> int:
        """Give to nobody, of so many, what there is too many of since a reload; return what is left."""
        paid = min(self._owed, count)
        # In this order: a worker killed in between leaves permits too few in the world, never too many.
        self._words[Counter.PERMITS] -= paid
        self._owed -= paid
        self._words[Counter.OWED] = self._owed
        return count - paid

    def _put(self, spare: int) -> None:
        if spare:
            # In this order: a worker killed in between leaves a permit too few in the world, never one too many.
            self._spare -= spare
            self._words[Counter.PERMITS] -= spare
            os.eventfd_write(self._pool, spare)
