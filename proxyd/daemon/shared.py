"""What all processes of a proxy share in memory: a region for each worker, and the free sessions of the whole proxy."""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from proxyd.errors import SetupError
from workers.contract.rates import RateRegion
from workers.contract.settings import Settings
from workers.contract.slots import Counter, Region
from workers.contract.store import Store


@dataclass(slots=True)
class Shared:
    """regions: one a worker. permits: an eventfd (semaphore) that holds how many sessions may still be opened.

    rates: the buckets of the queues that have a rate, None where none has. stores: one a worker, for what its
    replacement needs beside the region; none where the program needs none.
    """

    regions: tuple[Region, ...]
    permits: int
    max_sessions: int
    rates: RateRegion | None = None
    stores: tuple[Store, ...] = ()
    owing: set[int] | None = None
    """While there are to be less sessions than are open: the workers that know what they owe."""

    @classmethod
    def create(cls, settings: Settings, workers: int, store_bytes: int = 0) -> Shared:
        """Make regions, permits and, of store_bytes each, stores. Raises SetupError: no memory or no descriptors."""
        try:
            regions = tuple(
                Region.create(f"{settings.program} {settings.name} {index}", settings.max_sessions)
                for index in range(workers)
            )
            permits = _make_pool(settings.max_sessions)
            rates = make_buckets(settings)
            stores = tuple(
                Store.create(f"{settings.program} {settings.name} store {index}", store_bytes)
                for index in range(workers if store_bytes else 0)
            )
        except OSError as error:
            raise SetupError("create shared memory", error.strerror or str(error)) from error
        return cls(regions, permits, settings.max_sessions, rates, stores)

    @property
    def sessions(self) -> int:
        """Return how many sessions are open in all workers."""
        return sum(region.sessions for region in self.regions)

    @property
    def left(self) -> int:
        """Return how many sessions there are, a millisecond ago at most: each holds a permit.

        UFTP's groups hold none; of them it is known what workers tell, five times a second.
        """
        return self.sessions if self.stores else self.total(Counter.PERMITS)

    def total(self, counter: Counter) -> int:
        """Return a counter's sum over all workers."""
        return sum(region.words[counter] for region in self.regions)

    def fit(self, index: int, name: str) -> None:
        """Give a worker that is not there now a region for as many sessions as there may be by now. Raises OSError.

        Its sessions and counters are carried over. name: as in `create`.
        """
        old = self.regions[index]
        if old.slot_count >= self.max_sessions:
            return
        region = Region.create(name, self.max_sessions)
        end = old.offset(min(old.words[Counter.TOP], old.slot_count))
        region.memory[:end] = old.memory[:end]
        region.words[Counter.SLOTS] = region.slot_count
        self.regions = (*self.regions[:index], region, *self.regions[index + 1 :])
        old.unmap()

    def narrow(self, sessions: int) -> None:
        """Let there be so many sessions less. Who is open goes on: workers to come owe the permits of what is too many.

        To be followed by the renewal of all workers, and `settle`.
        """
        self.max_sessions -= sessions
        taken = _drain(self.permits, sessions - 1)
        self.owing = None if taken is None else set()

    def settle(self, wider: int) -> None:
        """Note that all workers are renewed; let there be so many sessions more, for which they all have slots now."""
        self.owing = None
        _put(self.permits, wider)

    def reclaim(self, index: int, kept: Set[int] = frozenset()) -> int:
        """Give back the permits of a worker that is dead, and forget its sessions; return how many they were.

        kept: the slots of those that its replacement goes on with: they stay, each with its permit.
        What the worker wrote is not believed: what is free and what the living hold never exceed max_sessions after it.
        """
        region = self.regions[index]
        ended = max(region.words[Counter.PERMITS] - len(kept), 0)
        paid = min(region.words[Counter.OWED], ended)
        owed = min(region.words[Counter.OWED] - paid, len(kept))
        claimed = ended - paid
        region.reset(kept)
        region.words[Counter.OWED] = owed
        self._owe(index)
        before = self._holdings()
        free = _count(self.permits)
        # Of two looks the larger: what moves meanwhile is counted twice at worst, and repaired without need.
        held = sum(map(max, before, self._holdings()))
        if free is None or free + claimed + held > self.max_sessions or not _put(self.permits, claimed):
            return self._repair(min(claimed, self.max_sessions))
        return claimed

    def _owe(self, index: int) -> None:
        """Let a worker that is not there now pay its share of what is too many, as its sessions end."""
        if self.owing is None:
            return
        self.owing.add(index)
        held = self._holdings()
        too_many = sum(held) + (_count(self.permits) or 0) - self.max_sessions
        unpaid = held[index] + sum(held[other] for other in range(len(held)) if other not in self.owing)
        if too_many > 0:
            share = -(-too_many * held[index] // max(unpaid, 1))
            self.regions[index].words[Counter.OWED] += min(held[index], share)

    def _holdings(self) -> list[int]:
        """Return how many permits each worker holds that it will give back; as it says, within what there can be."""
        words = [region.words for region in self.regions]
        return [min(max(word[Counter.PERMITS] - word[Counter.OWED], 0), self._most) for word in words]

    @property
    def _most(self) -> int:
        return max(self.max_sessions, *(region.slot_count for region in self.regions))

    def _repair(self, claimed: int) -> int:
        """Bring the pool down to what there can be; return how many permits of those claimed are in it."""
        # In this order: once the pool is empty nobody can take from it any more, so that what the living hold only
        # shrinks while it is looked at. Of two looks at each the larger counts: what is put back in between is in the
        # pool already, or lost. And never more is put back than was there and was claimed.
        before = self._holdings()
        free = _drain(self.permits, 2 * self._most)
        held = sum(map(max, before, self._holdings()))
        if free is None:
            return self._replace(max(self.max_sessions - held, 0))
        back = min(free + claimed, max(self.max_sessions - held, 0))
        return max(back - free, 0) if _put(self.permits, back) else 0

    def _replace(self, permits: int) -> int:
        """Put a new pool in the place of one that was filled beyond emptying: workers to come get the new one.

        The living keep the old one until they end, where each is bounded by its own slots.
        """
        try:
            pool = _make_pool(permits)
        except OSError:
            return 0
        os.dup2(pool, self.permits, inheritable=False)
        os.close(pool)
        return permits


def make_buckets(settings: Settings) -> RateRegion | None:
    """Make a bucket for each queue and direction, where one has a rate at all."""
    if all(queue.rate_bps is None for queue in settings.queues):
        return None
    return RateRegion.create(f"{settings.program} {settings.name} rates", 2 * len(settings.queues))


def _make_pool(permits: int) -> int:
    return os.eventfd(permits, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)


def _count(pool: int) -> int | None:
    """Return what is in a pool without taking it, None where the kernel does not tell. Source: proc(5), fdinfo."""
    try:
        lines = Path(f"/proc/self/fdinfo/{pool}").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.partition(":")[2], 16) for line in lines if line.startswith("eventfd-count:")), None)


def _put(pool: int, permits: int) -> bool:
    """Put permits into a pool; tell whether it took them."""
    try:
        os.eventfd_write(pool, permits)
    except OSError:
        # EAGAIN: somebody has filled it; EINVAL: nobody can hold that many.
        return False
    return True


def _drain(pool: int, most: int) -> int | None:
    """Empty a pool; return what was in it, None when that was more than most."""
    for count in range(most + 1):
        try:
            os.eventfd_read(pool)
        except BlockingIOError:
            return count
    return None
