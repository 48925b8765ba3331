"""Views for tests: shared memory that the test fills in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from proxyd.monitor.metrics import View
from workers.contract.slots import Counter, Region


@contextmanager
def a_view(workers: int = 2, program: str = "udp-proxy") -> Iterator[View]:
    """Give a view of workers that turn and have nothing to do."""
    regions = tuple(Region.create(f"monitor {index}", 4) for index in range(workers))
    for region in regions:
        region.words[Counter.TURNS] = 1
    try:
        yield View(program, "TEST", "0.1", 100, 3, regions, 1_700_000_000.0)
    finally:
        for region in regions:
            region.unmap()
