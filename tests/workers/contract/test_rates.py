"""The shared words of buckets, and the locks on them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from workers.buckets import Buckets
from workers.contract.rates import RateRegion
from workers.contract.settings import QueueSettings


@pytest.fixture
def region() -> Iterator[RateRegion]:
    made = RateRegion.create("test", 3)
    yield made
    made.unmap()


def test_buckets_begin_full_and_are_seen_by_a_child(region: RateRegion) -> None:
    assert list(region.words) == [0, 0, 0]
    process = os.fork()
    if process == 0:
        region.words[1] = -5
        os._exit(0)
    os.waitpid(process, 0)
    assert list(region.words) == [0, -5, 0]


def test_a_region_without_buckets_can_be_made() -> None:
    made = RateRegion.create("test", 0)
    assert len(made.words) == 1
    made.unmap()


def test_workers_draw_from_one_region(region: RateRegion) -> None:
    queues = (QueueSettings("q", rate_bps=8, burst_bytes=100),)
    one, other = (Buckets(queues, region) for _ in range(2))
    assert one.take(0, [60], 10**9) == 1
    assert other.take(0, [60], 10**9) == 0
    assert other.take(0, [40], 10**9) == 1


def locked_in_a_child(region: RateRegion, bucket: int) -> tuple[int, int]:
    """Let a child take a lock and keep it; return its process and the end of the pipe that it waits at."""
    told, tells = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(told)
        with region.locked(bucket) as held:
            os.write(tells, b"y" if held else b"n")
            signal.pause()
    os.close(tells)
    assert os.read(told, 1) == b"y"
    os.close(told)
    return process, bucket


def test_a_lock_that_another_process_holds_cannot_be_had_and_others_can(region: RateRegion) -> None:
    process, _ = locked_in_a_child(region, 1)
    try:
        with region.locked(1) as held:
            assert not held
        with region.locked(0) as below, region.locked(2) as above:
            assert below
            assert above
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def test_the_lock_of_a_dead_process_is_free(region: RateRegion) -> None:
    process, _ = locked_in_a_child(region, 2)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    with region.locked(2) as held:
        assert held


def test_a_process_that_unmaps_it_leaves_it_to_the_others(region: RateRegion) -> None:
    process = os.fork()
    if process == 0:
        region.unmap()
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0
    region.words[0] = 1
    with region.locked(0) as held:
        assert held


def test_a_lock_is_given_back(region: RateRegion) -> None:
    with region.locked(0) as held:
        assert held
    process, _ = locked_in_a_child(region, 0)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
