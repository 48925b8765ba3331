"""Whether something can be read, whatever the number of its descriptor: select takes none from 1,024 on."""

from __future__ import annotations

import select
from typing import Protocol


class Readable(Protocol):
    """A socket, or what else has a descriptor."""

    def fileno(self) -> int: ...


def is_readable(what: Readable | int, within_s: float = 0.0) -> bool:
    """Tell whether there is something to read now, or comes in time."""
    poll = select.poll()
    poll.register(what, select.POLLIN)
    return bool(poll.poll(max(within_s, 0.0) * 1000))
