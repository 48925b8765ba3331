"""What all processes of a proxy share in memory: a region for each worker, and the free sessions of the whole proxy."""

from __future__ import annotations

import os
from dataclasses import dataclass

from proxyd.errors import SetupError
from workers.contract.settings import Settings
from workers.contract.slots import Counter, Region


@dataclass(frozen=True, slots=True)
class Shared:
    """regions: one a worker. permits: an eventfd (semaphore) that holds how many sessions may still be opened."""

    regions: tuple[Region, ...]
    permits: int
    max_sessions: int

    @classmethod
    def create(cls, settings: Settings, workers: int) -> Shared:
        """Make regions and permits. Raises SetupError when memory or descriptors ran out."""
        try:
            regions = tuple(
                Region.create(f"udp-proxy {settings.name} {index}", settings.max_sessions) for index in range(workers)
            )
            permits = os.eventfd(settings.max_sessions, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError as error:
            raise SetupError("create shared memory", error.strerror or str(error)) from error
        return cls(regions, permits, settings.max_sessions)

    @property
    def sessions(self) -> int:
        """Return how many sessions are open in all workers."""
        return sum(region.sessions for region in self.regions)

    def total(self, counter: Counter) -> int:
        """Return a counter's sum over all workers."""
        return sum(region.words[counter] for region in self.regions)

    def reclaim(self, index: int) -> int:
        """Give back the permits of a worker that is dead, and forget its sessions; return how many they were.

        What the worker wrote is not believed beyond what there can be.
        """
        region = self.regions[index]
        permits = min(region.words[Counter.PERMITS], self.max_sessions)
        region.reset()
        if permits:
            os.eventfd_write(self.permits, permits)
        return permits
