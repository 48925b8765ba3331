"""The shared memory of queues with a rate: one word a bucket, that all workers draw from.

The parent makes it before it forks. A word is the instant (CLOCK_MONOTONIC nanoseconds) at which the bucket will be
full again; workers.buckets has the arithmetic. A word is changed under a record lock on its eight bytes: the kernel
gives it back when its holder dies. Source: fcntl(2), Advisory record locking; memfd_create(2).
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

WORD_BYTES = 8
ATTEMPTS = 200
"""How often a lock that somebody else holds is tried: it is held for two microseconds, unless its holder waits for the
processor, or is ill."""


class RateRegion:
    """The words of a proxy's buckets. words: signed 64-bit integers, one a bucket."""

    def __init__(self, fd: int, memory: mmap.mmap) -> None:
        self.fd = fd
        self.words = memoryview(memory).cast("q")
        self._memory = memory

    @classmethod
    def create(cls, name: str, buckets: int) -> RateRegion:
        """Make a region of so many full buckets. Raises OSError when memory or descriptors ran out."""
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
        size = max(buckets, 1) * WORD_BYTES
        os.ftruncate(fd, size)
        return cls(fd, mmap.mmap(fd, size))

    def unmap(self) -> None:
        """Take the region out of this process's memory, for good; other processes keep theirs."""
        self.words.release()
        self._memory.close()
        os.close(self.fd)

    @contextmanager
    def locked(self, bucket: int) -> Iterator[bool]:
        """Hold a bucket's lock; False where it cannot be had now, and then its word must be left alone."""
        held = self._lock(bucket)
        try:
            yield held
        finally:
            if held:
                fcntl.lockf(self.fd, fcntl.LOCK_UN, WORD_BYTES, bucket * WORD_BYTES)

    def _lock(self, bucket: int) -> bool:
        for _ in range(ATTEMPTS):
            try:
                fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, WORD_BYTES, bucket * WORD_BYTES)
            except OSError:
                os.sched_yield()
            else:
                return True
        return False
