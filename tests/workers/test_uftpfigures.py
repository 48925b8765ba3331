"""What the kernel drops for a UFTP socket is told apart, and counts go on where a predecessor's have ended."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.kit.uftp_process import datagram
from tests.kit.uftp_worker import Bench, announce
from workers.contract.slots import Counter, Region
from workers.contract.uftp import DropReason, Fact
from workers.net import cbpf
from workers.uftpfigures import MOST_ROOM_BYTES, Figures, Losses


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket of the second of two workers, which keeps groups with odd numbers, and who sends to it."""
    ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _ in range(2))
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MOST_ROOM_BYTES)
    ours.bind(("127.0.0.1", 0))
    cbpf.attach_filter(ours, cbpf.keep_group(1, 2))
    theirs.connect(ours.getsockname())
    yield ours, theirs
    for sock in (ours, theirs):
        sock.close()


def take_all(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.recv(65536)
        except BlockingIOError:
            return count
        count += 1


def test_what_the_filter_keeps_out_is_not_lost(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    losses = Losses(ours, filtered=True)
    for group in range(10):
        theirs.send(datagram(9, group, bytes(100)))
    losses.look(take_all(ours))
    assert (losses.overflow, losses.kept_out) == (0, 5)


def test_what_finds_no_room_is_lost(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    losses = Losses(ours, filtered=True)
    for _ in range(2_000):
        theirs.send(datagram(9, 1, bytes(100)))
    waited = take_all(ours)
    assert waited >= losses.full_at
    losses.look(waited)
    assert (losses.overflow, losses.kept_out) == (2_000 - waited, 0)


def test_without_a_filter_everything_dropped_is_lost(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    losses = Losses(ours, filtered=False)
    theirs.send(datagram(9, 2, bytes(100)))
    losses.look()
    assert losses.overflow == 1


def test_counts_grow_over_replacements_and_gauges_do_not() -> None:
    region = Region.create("test", 1)
    for life in (1, 2):
        with Bench() as bench:
            figures = Figures(region.words, bench.sock, 1)
            bench.send(b"\x30" + bytes(40), announce(7))
            bench.turn()
            figures.publish(bench.outbox.stats, bench.machine)
            assert region.words[Counter.UFTP_DROPS + DropReason.VERSION] == life
            assert region.words[Counter.UFTP_FACTS + Fact.GROUPS] == 1
            assert region.words[Counter.RECEIVED_OUT] == 2 * life
    region.unmap()


def test_turns_are_published_with_the_other_figures() -> None:
    region = Region.create("test", 1)
    with Bench() as bench:
        figures = Figures(region.words, bench.sock, 1)
        figures.lag.note(50_000)
        figures.publish(bench.outbox.stats, bench.machine)
    assert (region.words[Counter.LAG], region.words[Counter.LAG_NS]) == (1, 50_000)
    region.unmap()


def test_figures_are_told_in_words() -> None:
    region = Region.create("test", 1)
    with Bench() as bench:
        figures = Figures(region.words, bench.sock, 1)
        assert figures.describe(bench.outbox.stats, bench.machine) == (
            "0 datagrams received, 0 sent, 0 lost in the queue, 0 for other workers; not used: none; no facts"
        )
        bench.send(b"\x30" + bytes(40), announce(7))
        bench.turn()
        said = figures.describe(bench.outbox.stats, bench.machine)
        assert said.startswith("2 datagrams received, 1 sent")
        assert said.endswith("not used: 1 version; 1 groups")
    region.unmap()
