"""What came to the listeners while no worker was there, to the socket of another one: treated once, before all else.

Source: workers.contract.backlog.
"""

from __future__ import annotations

from functools import partial

from workers.contract.backlog import read_backlog
from workers.errors import ContractError
from workers.net.transport import Stored
from workers.parts import Parts
from workers.tallies import Intake


def take_backlog(fd: int, parts: Parts, intake: Intake, now_ns: int) -> None:
    """Forward what was left for this worker. fd: closed afterwards; -1: nothing was left. Raises ContractError."""
    if fd < 0:
        return
    listeners = list(parts.listeners.values())
    for waited in read_backlog(fd):
        if waited.listener >= len(listeners):
            raise ContractError("a datagram of a listener that does not exist")
        stored = Stored(waited.source, waited.control, waited.payload)
        take = partial(parts.outbound.take_waited, waited=stored)
        intake.follow(take)(listeners[waited.listener], now_ns)
