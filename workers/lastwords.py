"""What is left of a worker's log when it ends: written as far as the parent takes it in time, the rest shed."""

from __future__ import annotations

import select
import time

from workers.journal import Journal

WAIT_NS = 2_000_000_000
"""How long a worker that ends waits for its last records to be taken; the parent gives it five seconds in all."""


def write_rest(journal: Journal, channel_fd: int, wait_ns: int = WAIT_NS) -> None:
    """Write what is left, waiting wait_ns at most for the channel, whose descriptor is -1 where it is never full."""
    deadline_ns = time.monotonic_ns() + wait_ns
    writable = select.poll()
    if channel_fd >= 0:
        writable.register(channel_fd, select.POLLOUT)
    while not journal.send_some() and time.monotonic_ns() < deadline_ns:
        writable.poll(wait_ns // 1_000_000)
    journal.flush()
