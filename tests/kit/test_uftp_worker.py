"""The bench has a real worker's parts: what a server sends goes through them to the downstream."""

from __future__ import annotations

from tests.kit.uftp_worker import Bench, announce, fileseg


def test_what_the_server_sends_is_taken_and_passed_on() -> None:
    with Bench() as bench:
        bench.send(announce(7), fileseg(7, 1))
        assert bench.turn() == 2
        assert bench.downstream.received() == [announce(7), fileseg(7, 1)]
        assert bench.pass_through([fileseg(7, 2)]) == [fileseg(7, 2)]
        assert bench.logged()[0].event == "uftp-group-opened"
