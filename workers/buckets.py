"""Rates of queues: how many of a run's datagrams may leave now. One bucket a queue and direction, for all workers.

A bucket is one instant, the one at which it will be full again: sending n bytes puts it off by the time they take at
the rate, and it may not lie further ahead than the burst takes (GCRA, the virtual scheduling form of a token bucket). A
worker draws from it in chunks, so that the lock is taken a few times in ten milliseconds, not once a datagram; what it
drew counts for as long as the burst lasts. Bytes are payload bytes.
Source: ITU-T I.371 annex A; udp-proxy.cfg(5), QUEUE.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from workers.contract.settings import QueueSettings

SECOND_NS = 1_000_000_000
BITS = 8
CHUNK_NS = 10_000_000
"""How much of the rate's time a worker draws at once."""
LEAST_BURST_BYTES = 65_536
"""Without `burst`, a bucket holds any datagram, and an eighth of a second of its rate."""
BURSTS_A_SECOND = 8


class Direction(IntEnum):
    """Which of a queue's two buckets."""

    OUT = 0
    """To the server."""
    IN = 1
    """To the client."""


class Words(Protocol):
    """Where the instants are kept (workers.contract.rates)."""

    @property
    def words(self) -> memoryview:
        """One signed 64-bit integer a bucket."""
        ...

    def locked(self, bucket: int) -> AbstractContextManager[bool]:
        """Hold a bucket's lock, or say that it cannot be had."""
        ...


@dataclass(slots=True)
class _Bucket:
    """One worker's view of a bucket: its rate, and what has been drawn and not been used: until_ns says how long."""

    rate_bps: int
    burst_ns: int
    credit_bytes: int = 0
    until_ns: int = 0

    def cost_ns(self, size_bytes: int) -> int:
        """Return how long so many bytes take at the rate."""
        return -(-size_bytes * BITS * SECOND_NS // self.rate_bps)

    def bytes_in(self, span_ns: int) -> int:
        """Return how many bytes the rate lets through in this time."""
        return span_ns * self.rate_bps // (BITS * SECOND_NS)


def draw(full_ns: int, now_ns: int, wanted_ns: int, burst_ns: int) -> tuple[int, int]:
    """Draw from a bucket that is full again at full_ns; return what was got, up to wanted_ns, and its new instant.

    An instant further ahead than the burst can only be a mistake, and counts as an empty bucket.
    """
    full_ns = min(max(full_ns, now_ns), now_ns + burst_ns)
    got_ns = min(wanted_ns, now_ns + burst_ns - full_ns)
    return got_ns, full_ns + got_ns


class Buckets:
    """One worker's way to all buckets of a configuration. Queues without a rate let everything pass."""

    def __init__(self, queues: Sequence[QueueSettings], shared: Words | None) -> None:
        self._shared = shared
        self._buckets: dict[int, _Bucket] = {}
        self._numbers = {queue.name: number for number, queue in enumerate(queues)}
        for number, queue in enumerate(queues):
            if queue.rate_bps is not None and shared is not None:
                for direction in Direction:
                    self._buckets[bucket_of(number, direction)] = _new_bucket(queue.rate_bps, queue.burst_bytes)

    def find(self, queue: str | None, direction: Direction) -> int | None:
        """Return the bucket of a queue and direction, None where nothing is shaped."""
        number = None if queue is None else self._numbers.get(queue)
        if number is None or bucket_of(number, direction) not in self._buckets:
            return None
        return bucket_of(number, direction)

    def take(self, bucket: int, sizes: Sequence[int], now_ns: int) -> int:
        """Return how many leading datagrams of a run may leave now; they count as sent.

        sizes: payload bytes of each. What stands behind the first that may not is to be dropped with it.
        """
        mine = self._buckets[bucket]
        if now_ns >= mine.until_ns:
            mine.credit_bytes = 0
        total = sum(sizes)
        if total > mine.credit_bytes:
            self._draw(bucket, mine, total - mine.credit_bytes, now_ns)
        if total <= mine.credit_bytes:
            mine.credit_bytes -= total
            return len(sizes)
        for passed, size in enumerate(sizes):
            if size > mine.credit_bytes:
                return passed
            mine.credit_bytes -= size
        return len(sizes)

    def _draw(self, bucket: int, mine: _Bucket, wanted_bytes: int, now_ns: int) -> None:
        """Draw what is wanted, or a chunk if that is more, as far as there is."""
        shared = self._shared
        if shared is None:
            return
        wanted_ns = max(mine.cost_ns(wanted_bytes), CHUNK_NS)
        with shared.locked(bucket) as held:
            if not held:
                return
            got_ns, shared.words[bucket] = draw(shared.words[bucket], now_ns, wanted_ns, mine.burst_ns)
        mine.credit_bytes += mine.bytes_in(got_ns)
        mine.until_ns = now_ns + mine.burst_ns


def bucket_of(queue: int, direction: Direction) -> int:
    """Return the number of a queue's bucket; queue: its number in the settings."""
    return queue * len(Direction) + direction


def _new_bucket(rate_bps: int, burst_bytes: int | None) -> _Bucket:
    if burst_bytes is None:
        burst_bytes = max(rate_bps // (BITS * BURSTS_A_SECOND), LEAST_BURST_BYTES)
    bucket = _Bucket(rate_bps, 0)
    bucket.burst_ns = bucket.cost_ns(burst_bytes)
    return bucket
