"""The bench: messages in, messages out, a clock by hand."""

from __future__ import annotations

from tests.kit.uftp_bench import GRTT_NS, Bench, announcement, of
from tests.kit.uftp_world import PUBLIC
from workers.uftp.actions import Note
from workers.uftp.header import Function


def test_what_is_sent_comes_back_decoded_and_once() -> None:
    bench = Bench()
    (sent,) = bench.announce()
    assert (sent.to, sent.message) == (PUBLIC, announcement())
    assert bench.wait(0) == []
    assert len(bench.notes("uftp-group-opened")) == 1
    assert len(bench.taken(Note)) == 2


def test_waiting_wakes_the_machine_at_its_own_times() -> None:
    bench = Bench()
    bench.announce()
    bench.register(7)
    sent = bench.wait(3 * GRTT_NS)
    assert len(of(sent, Function.REGISTER)) == 1
    assert bench.now_ns == 3 * GRTT_NS
    assert sent[0].message.timestamp == bench.stamp(2 * GRTT_NS)
