"""Estates for tests: real sockets on an address of their own, real shared memory."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxyd.daemon import identity, sockets
from proxyd.daemon.naming import DnsNaming
from proxyd.daemon.shared import Shared
from proxyd.daemon.spawn import Estate
from workers.contract.settings import Address, ListenerSettings, LogSettings, Settings

_numbers = itertools.count(1)


def own_listener() -> ListenerSettings:
    """Return a listener on a loopback address that no other test process uses at this time."""
    process = os.getpid()
    value = 127 << 24 | (process >> 8 & 0x1F | 0x20) << 16 | (process & 0xFF) << 8 | next(_numbers) % 250 + 1
    return ListenerSettings(Address(4, value), 5300)


def make_settings(log: Path, **changes: object) -> Settings:
    settings = Settings("TEST", (own_listener(),), 10, 1, (), debug_log=LogSettings(level=7, file=str(log)))
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]


@contextmanager
def an_estate(log: Path, **changes: object) -> Iterator[Estate]:
    settings = make_settings(log, **changes)
    listeners = sockets.bind_listeners(settings.listeners, settings.workers)
    shared = Shared.create(settings, settings.workers)
    try:
        yield Estate(settings, listeners, shared, identity.look_up(settings), naming=DnsNaming())
    finally:
        for group in listeners:
            sockets.close_all(group)
        free(shared)


def free(shared: Shared) -> None:
    """Close what is shared."""
    for region in shared.regions:
        region.unmap()
    os.close(shared.permits)
