"""Rates of queues: how many of a run's datagrams may leave now. One bucket a queue and direction, for all workers.

A bucket is one instant, the one at which it will be full again: sending n bytes puts it off by the time they take at
the rate, and it may not lie further ahead than the burst takes (GCRA, the virtual scheduling form of a token bucket). A
worker draws a chunk at least, so that the lock is not taken once a datagram; what it drew counts for as long as the
burst lasts, and goes back when it draws again. Bytes are payload bytes.
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
"""How much of the rate's time a worker draws at once, where less would do."""
CHUNKS_A_BURST = 64
"""What workers have drawn ahead others lack: with a small burst it is but this part of it."""
LEAST_BURST_BYTES = 65_536
"""Without `burst`, a bucket holds any datagram, and an eighth of a second of its rate."""
BURSTS_A_SECOND = 8
LONGEST_NS = 2**61
"""No burst takes longer, however large it is and low the rate: instants are kept in 64 bits."""


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
    """One worker's view of a bucket: its rate, and what has been drawn and not been used: until_ns says how long.

    Everything is kept as the time that it takes at the rate: of a slow rate a byte takes long, and what is too little
    for one must not get lost. refused_ns: when something was last refused, with left_ns left in all.
    """

    rate_bps: int
    burst_ns: int
    chunk_ns: int
    credit_ns: int = 0
    until_ns: int = 0
    refused_ns: int = -1
    left_ns: int = 0

    def fit(self, sizes: Sequence[int], there_ns: int) -> tuple[int, int]:
        """Return how many leading datagrams fit into what is there, and how long they take."""
        used_ns = cost_ns(sum(sizes), self.rate_bps)
        if used_ns <= there_ns:
            return len(sizes), used_ns
        total_bytes = used_ns = 0
        for passed, size in enumerate(sizes):
            total_bytes += size
            next_ns = cost_ns(total_bytes, self.rate_bps)
            if next_ns > there_ns:
                return passed, used_ns
            used_ns = next_ns
        return len(sizes), used_ns


def cost_ns(size_bytes: int, rate_bps: int) -> int:
    """Return how long so many bytes take at a rate."""
    return -(-size_bytes * BITS * SECOND_NS // rate_bps)


def clamp(full_ns: int, now_ns: int, burst_ns: int) -> int:
    """Return the instant at which a bucket is full again: now at the earliest, and a burst ahead when it is empty.

    One further ahead can only be a mistake, and counts as an empty bucket.
    """
    return min(max(full_ns, now_ns), now_ns + burst_ns)


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

        sizes: payload bytes of each. The first that may not is to be dropped; those behind it may be asked for again.
        """
        mine = self._buckets[bucket]
        if now_ns >= mine.until_ns:
            mine.credit_ns = 0
        passed, used_ns = mine.fit(sizes, mine.credit_ns)
        if passed == len(sizes):
            mine.credit_ns -= used_ns
            return passed
        if now_ns == mine.refused_ns and cost_ns(sizes[0], mine.rate_bps) > mine.left_ns:
            return 0
        return self._draw(bucket, mine, sizes, now_ns)

    def _draw(self, bucket: int, mine: _Bucket, sizes: Sequence[int], now_ns: int) -> int:
        """Draw what the datagrams take, a chunk at least; what was drawn before and not used goes back first."""
        shared = self._shared
        if shared is None:
            return 0
        with shared.locked(bucket) as held:
            if not held:
                return 0
            full_ns = clamp(shared.words[bucket] - mine.credit_ns, now_ns, mine.burst_ns)
            there_ns = now_ns + mine.burst_ns - full_ns
            passed, used_ns = mine.fit(sizes, there_ns)
            left_ns = there_ns - used_ns
            mine.credit_ns = min(left_ns, max(mine.chunk_ns - used_ns, 0))
            shared.words[bucket] = full_ns + used_ns + mine.credit_ns
        mine.until_ns = now_ns + mine.burst_ns
        if passed < len(sizes):
            mine.refused_ns, mine.left_ns = now_ns, left_ns
        return passed


def bucket_of(queue: int, direction: Direction) -> int:
    """Return the number of a queue's bucket; queue: its number in the settings."""
    return queue * len(Direction) + direction


def _new_bucket(rate_bps: int, burst_bytes: int | None) -> _Bucket:
    if burst_bytes is None:
        burst_bytes = max(rate_bps // (BITS * BURSTS_A_SECOND), LEAST_BURST_BYTES)
    burst_ns = min(cost_ns(burst_bytes, rate_bps), LONGEST_NS)
    return _Bucket(rate_bps, burst_ns, min(CHUNK_NS, burst_ns // CHUNKS_A_BURST))
