"""The shared memory of sessions that the kernel carries: a record for each slot of a worker.

The parent makes it, one array of records a worker, a table of the kernel's that can be mapped; the program on the
interfaces counts in it, the worker reads it, sets limits, and ends the kernel's part in a session by writing one word.
Counters only grow, but for what is taken back at once; they outlive the session, so that nothing counted late is lost.
Source: bpf(2), BPF_MAP_TYPE_ARRAY; linux/bpf.h, BPF_F_MMAPABLE (Linux 5.5).
"""

from __future__ import annotations

import mmap

WORD_BYTES, RECORD_BYTES = 8, 128
DIRECTION_BYTES = 64
"""Of a record's halves: out, and in behind it, a cache line each."""
EPOCH, DATAGRAMS, DATAGRAMS_LIMIT, BYTES, BYTES_LIMIT, LAST_NS = 0, 8, 16, 24, 32, 40
COUNTED_DATAGRAMS, COUNTED_BYTES = 48, 56
"""Where in a half. The epoch, in the first one only: which of the slot's sessions the kernel may carry, 0 for none.

Datagrams and bytes of payload passed so far, and up to which count more may pass; when the last one did
(CLOCK_MONOTONIC, ns). The worker's own: how much of it the session's counts contain already, for a replacement."""


class Records:
    """One worker's records. fd: the table; words: 64-bit words, RECORD_BYTES // 8 a slot."""

    def __init__(self, fd: int, slots: int) -> None:
        """Map a table of so many records. Raises OSError."""
        self.fd = fd
        self.slots = slots
        self._memory = mmap.mmap(fd, -(-slots * RECORD_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE)
        self.words = memoryview(self._memory).cast("Q")

    def clear(self, slots: int) -> None:
        """Let the kernel pass nothing of the first so many slots: whoever had them is gone."""
        for slot in range(min(slots, self.slots)):
            self.words[slot * RECORD_BYTES // WORD_BYTES] = 0

    def unmap(self) -> None:
        """Take the records out of this process's memory, for good."""
        self.words.release()
        self._memory.close()
