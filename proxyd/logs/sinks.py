"""What every place that lines go to has in common: nobody waits for it, nothing piles up in it without a bound.

A sink keeps lines until flush() and, while it does not work, up to its bound; what comes after that is shed and
counted in its Trouble, which the owner reports once the sink works again.
"""

from __future__ import annotations

import select
import time
from typing import Protocol

MAX_WAITING_BYTES = 1 << 20
"""How much a sink keeps while it takes nothing."""
CLOSE_WAIT_NS = 500_000_000
"""How long closing waits for a slow reader, in all."""


def wait_for_room(fd: int, end_ns: int) -> bool:
    """Wait until fd takes something, or until end_ns (CLOCK_MONOTONIC; 0: do not wait); tell whether it does."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(max(end_ns - time.monotonic_ns(), 0) // 1_000_000))


class Trouble:
    """What went wrong in a sink since it was last reported, and how many records it cost. shed: ever."""

    def __init__(self) -> None:
        self.shed = 0
        self.unreported = 0
        self.reason: str | None = None

    def note(self, reason: str, records: int = 0) -> None:
        """Remember a failure and the records lost by it."""
        self.reason = reason
        self.shed += records
        self.unreported += records

    def take(self) -> tuple[str, int] | None:
        """Return (reason, records lost) and forget it; None when nothing went wrong."""
        if self.reason is None:
            return None
        report = (self.reason, self.unreported)
        self.reason, self.unreported = None, 0
        return report


class Sink(Protocol):
    """Where the lines of a log go.

    name: for the administrator. failure: why the whole proxy must end, None while it need not.
    None of the methods raises for what the machine does, none of them blocks but as a disk does.
    """

    name: str
    trouble: Trouble
    failure: str | None

    @property
    def waiting(self) -> bool:
        """Whether lines wait in here."""
        ...

    @property
    def healthy(self) -> bool:
        """Whether what it was last given was taken."""
        ...

    def fileno(self) -> int:
        """Return the descriptor in use, -1 when there is none."""
        ...

    def write(self, head: str, body: str) -> None:
        """Take one line, of printable characters only and without its end; head is what a split line repeats."""
        ...

    def flush(self) -> None:
        """Pass on what waits, as far as it is taken."""
        ...

    def reopen(self) -> None:
        """Go by name again to the file or socket: it may be another one now."""
        ...

    def close(self) -> None:
        """Pass on what waits, within half a second, and close."""
        ...
