"""Rates: what passes never exceeds burst and rate, whoever asks, and nothing that fits is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.buckets import BITS, CHUNKS_A_BURST, LEAST_BURST_BYTES, SECOND_NS, Buckets, Direction, clamp
from workers.contract.settings import QueueSettings

RATE_BPS = 800_000
BYTES_A_SECOND = RATE_BPS // BITS
BURST_BYTES = 10_000
START_NS = 5 * SECOND_NS
SLOW = QueueSettings("slow", rate_bps=RATE_BPS, burst_bytes=BURST_BYTES)
MARKED = QueueSettings("marked", mark=7)
QUEUES = (MARKED, SLOW)


class Memory:
    """Words of this process alone, whose lock is always free."""

    def __init__(self, buckets: int) -> None:
        self.words = memoryview(bytearray(8 * buckets)).cast("q")

    @contextmanager
    def locked(self, _bucket: int) -> Iterator[bool]:
        yield True


def make(count: int = 1) -> tuple[list[Buckets], int]:
    """Return buckets of so many workers on one region, and the number of the slow queue's outgoing one."""
    region = Memory(len(QUEUES) * len(Direction))
    workers = [Buckets(QUEUES, region) for _ in range(count)]
    bucket = workers[0].find("slow", Direction.OUT)
    assert bucket is not None
    return workers, bucket


def test_only_queues_with_a_rate_have_buckets() -> None:
    (worker,), bucket = make()
    assert worker.find("marked", Direction.OUT) is None
    assert worker.find(None, Direction.OUT) is None
    assert worker.find("other", Direction.IN) is None
    assert worker.find("slow", Direction.IN) == bucket + 1


def test_without_shared_memory_nothing_is_shaped() -> None:
    assert Buckets(QUEUES, None).find("slow", Direction.OUT) is None


def test_a_full_bucket_gives_its_burst_and_then_its_rate() -> None:
    (worker,), bucket = make()
    assert worker.take(bucket, [1000] * 11, START_NS) == 10
    assert worker.take(bucket, [1], START_NS) == 0
    later_ns = START_NS + SECOND_NS // 100
    assert worker.take(bucket, [1000, 1], later_ns) == 1


def test_the_two_directions_do_not_share_a_bucket() -> None:
    (worker,), bucket = make()
    assert worker.take(bucket, [BURST_BYTES], START_NS) == 1
    assert worker.take(bucket + 1, [BURST_BYTES], START_NS) == 1


def test_workers_share_the_rate() -> None:
    (one, other), bucket = make(2)
    assert one.take(bucket, [BURST_BYTES - 1000], START_NS) == 1
    assert other.take(bucket, [1000], START_NS) == 1
    assert one.take(bucket, [1], START_NS) + other.take(bucket, [1], START_NS) == 0


def test_empty_datagrams_pass_always() -> None:
    (worker,), bucket = make()
    assert worker.take(bucket, [BURST_BYTES, 0, 0, 1], START_NS) == 3


def test_a_datagram_larger_than_the_burst_never_passes() -> None:
    (worker,), bucket = make()
    for second in range(5):
        assert worker.take(bucket, [BURST_BYTES + 1], START_NS + second * SECOND_NS) == 0


@pytest.mark.parametrize(("rate_bps", "burst"), [(8_000, LEAST_BURST_BYTES), (80_000_000, 1_250_000)])
def test_without_a_burst_it_follows_the_rate_and_any_datagram_passes(rate_bps: int, burst: int) -> None:
    worker = Buckets((QueueSettings("q", rate_bps=rate_bps),), Memory(2))
    assert worker.take(0, [burst], START_NS) == 1
    assert worker.take(0, [rate_bps // BITS // 100 + 1], START_NS) == 0


def test_what_was_drawn_and_not_used_is_forgotten_after_the_burst() -> None:
    (worker,), bucket = make()
    assert worker.take(bucket, [1], START_NS) == 1
    much_later_ns = START_NS + 10 * SECOND_NS
    assert worker.take(bucket, [BURST_BYTES], much_later_ns) == 1
    assert worker.take(bucket, [1], much_later_ns) == 0


def test_an_instant_out_of_all_reason_counts_as_an_empty_bucket() -> None:
    region = Memory(4)
    region.words[2] = 2**62
    worker = Buckets(QUEUES, region)
    assert worker.take(2, [1], START_NS) == 0
    assert worker.take(2, [100], START_NS + SECOND_NS // 100) == 1


class Refusing:
    """Words whose lock cannot be had."""

    words = memoryview(bytearray(32)).cast("q")

    @contextmanager
    def locked(self, _bucket: int) -> Iterator[bool]:
        yield False


def test_without_the_lock_nothing_is_drawn() -> None:
    assert Buckets(QUEUES, Refusing()).take(2, [1], START_NS) == 0


@given(st.integers(0, 2**63), st.integers(0, 2**40), st.integers(1, 2**36))
def test_a_bucket_is_full_now_or_within_a_burst(full: int, now: int, burst: int) -> None:
    clamped = clamp(full, now, burst)
    assert now <= clamped <= now + burst
    assert clamped == full or not now <= full <= now + burst


@pytest.mark.parametrize("gap_ns", [1_000, 100_000, 10_000_000])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_slow_queue_passes_its_rate_however_much_more_is_wanted(gap_ns: int, workers: int) -> None:
    region, size, steps = Memory(2), 100, 2_000
    queue = QueueSettings("q", rate_bps=max(8_000_000_000_000 // (gap_ns * 1000), 1), burst_bytes=200)
    takers = [Buckets((queue,), region) for _ in range(workers)]
    passed = sum(takers[step % workers].take(0, [size], START_NS + step * gap_ns) for step in range(steps))
    # A byte a step, where a hundred are wanted.
    assert steps // size - 1 <= passed <= steps // size + 200 // size + 1


def test_a_small_burst_does_not_stay_with_the_worker_that_came_first() -> None:
    region = Memory(2)
    takers = [Buckets((QueueSettings("q", rate_bps=RATE_BPS, burst_bytes=1000),), region) for _ in range(4)]
    assert [taker.take(0, [200], START_NS) for taker in takers] == [1, 1, 1, 1]


def test_what_was_drawn_ahead_makes_no_datagram_pass_that_is_larger_than_the_burst() -> None:
    (worker,), bucket = make()
    assert worker.take(bucket, [1], START_NS) == 1
    soon_ns = START_NS + SECOND_NS // 200
    assert worker.take(bucket, [BURST_BYTES + 1], soon_ns) == 0
    assert worker.take(bucket, [BURST_BYTES], soon_ns) == 1


def test_behind_a_refused_datagram_a_smaller_one_may_pass() -> None:
    (worker,), bucket = make()
    assert worker.take(bucket, [BURST_BYTES + 1, 10], START_NS) == 0
    assert worker.take(bucket, [10], START_NS) == 1


def test_a_burst_of_many_years_is_no_number_too_large() -> None:
    worker = Buckets((QueueSettings("q", rate_bps=1, burst_bytes=2**64 - 1),), Memory(2))
    assert worker.take(0, [65_507] * 10_000, START_NS) < 10_000


steps = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, SECOND_NS // 4), st.lists(st.integers(0, 4000), max_size=6)),
    max_size=60,
)


@given(steps)
def test_no_span_of_time_passes_more_than_its_burst_and_rate(taken: list[tuple[int, int, list[int]]]) -> None:
    workers, bucket = make(3)
    now_ns, passed = START_NS, []
    for number, pause_ns, sizes in taken:
        now_ns += pause_ns
        count = workers[number].take(bucket, sizes, now_ns)
        passed.append((now_ns, sum(sizes[:count])))
    chunk = BURST_BYTES / CHUNKS_A_BURST
    for index, (since_ns, _) in enumerate(passed):
        total = 0
        for until_ns, size in passed[index:]:
            total += size
            # What a worker has drawn before the span and spends in it comes on top: a chunk a worker.
            bound = BURST_BYTES + BYTES_A_SECOND * (until_ns - since_ns) / SECOND_NS + len(workers) * chunk
            assert total <= bound + 1


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=30))
def test_a_run_within_the_burst_passes_whole(sizes: list[int]) -> None:
    (worker,), bucket = make()
    fitting = next((n for n in range(len(sizes), 0, -1) if sum(sizes[:n]) <= BURST_BYTES), 0)
    assert worker.take(bucket, sizes, START_NS) == fitting
