"""Counters: balanced or not, published at their places, added to what predecessors left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from workers.contract.slots import CloseReason, Counter, DropReason, Region
from workers.stats import Publisher, Stats


@pytest.fixture
def region() -> Iterator[Region]:
    made = Region.create("test stats", 1)
    yield made
    made.unmap()


def busy() -> Stats:
    stats = Stats()
    stats.received_out, stats.forwarded_out, stats.bytes_out = 10, 7, 700
    stats.drops_out[DropReason.LIMIT], stats.drops_out[DropReason.SEND_BUSY] = 1, 2
    stats.received_in, stats.forwarded_in, stats.bytes_in = 5, 4, 40
    stats.drops_in[DropReason.NO_SESSION] = 1
    stats.sessions_opened, stats.overflow = 3, 9
    stats.closes[CloseReason.TIMEOUT_BOTH] = 2
    return stats


def test_nothing_is_balanced() -> None:
    assert Stats().balanced


def test_what_is_forwarded_or_dropped_was_received() -> None:
    assert busy().balanced


@pytest.mark.parametrize("name", ["received_out", "forwarded_out", "received_in", "forwarded_in"])
def test_one_datagram_more_is_not_balanced(name: str) -> None:
    stats = busy()
    setattr(stats, name, getattr(stats, name) + 1)
    assert not stats.balanced


@pytest.mark.parametrize("name", ["drops_out", "drops_in"])
def test_one_drop_more_is_not_balanced(name: str) -> None:
    stats = busy()
    getattr(stats, name)[DropReason.OWN] += 1
    assert not stats.balanced


def test_every_counter_has_its_word(region: Region) -> None:
    Publisher(region.words).publish(busy())
    words = region.words
    assert [words[index] for index in (Counter.RECEIVED_OUT, Counter.FORWARDED_OUT, Counter.BYTES_OUT)] == [10, 7, 700]
    assert [words[index] for index in (Counter.RECEIVED_IN, Counter.FORWARDED_IN, Counter.BYTES_IN)] == [5, 4, 40]
    assert (words[Counter.SESSIONS_OPENED], words[Counter.QUEUE_OVERFLOW]) == (3, 9)
    assert words[Counter.DROPS_OUT + DropReason.LIMIT] == 1
    assert words[Counter.DROPS_OUT + DropReason.SEND_BUSY] == 2
    assert words[Counter.DROPS_IN + DropReason.NO_SESSION] == 1
    assert words[Counter.CLOSES + CloseReason.TIMEOUT_BOTH] == 2


def test_no_two_counters_share_a_word() -> None:
    expected = 10 + 2 * len(DropReason) + len(CloseReason)
    assert len(Stats().published()) == expected
    assert len({*Stats().published(), *range(Counter.TOP + 1)}) == expected + Counter.TOP + 1


def test_publishing_again_adds_nothing(region: Region) -> None:
    publisher, stats = Publisher(region.words), busy()
    publisher.publish(stats)
    publisher.publish(stats)
    assert region.words[Counter.BYTES_OUT] == 700


def test_a_successor_adds_to_what_its_predecessor_left(region: Region) -> None:
    Publisher(region.words).publish(busy())
    region.words[Counter.SESSIONS] = 3
    region.reset()
    successor = Publisher(region.words)
    successor.publish(Stats())
    assert region.words[Counter.BYTES_OUT] == 700
    successor.publish(busy())
    assert region.words[Counter.BYTES_OUT] == 1400
    assert region.words[Counter.CLOSES + CloseReason.TIMEOUT_BOTH] == 4
    assert region.words[Counter.SESSIONS] == 0
