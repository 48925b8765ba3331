"""What the monitor sees: whether a proxy is ready, and sums over its workers."""

from __future__ import annotations

from tests.proxyd.monitor.views import a_view
from workers.contract.slots import Counter, DropReason


def test_a_proxy_is_ready_when_all_workers_turn_and_none_drains() -> None:
    with a_view() as view:
        assert (view.ready, view.state) == (True, "serving")
        view.regions[1].words[Counter.DRAINING] = 1
        assert (view.ready, view.draining, view.state) == (False, True, "draining")
        view.regions[1].words[Counter.DRAINING] = view.regions[0].words[Counter.TURNS] = 0
        assert (view.ready, view.draining, view.state) == (False, False, "starting")


def test_sums_are_over_all_workers() -> None:
    with a_view(workers=3) as view:
        for region in view.regions:
            region.words[Counter.DROPS_IN + DropReason.ONE_WAY] = 2
            region.words[Counter.CLOSES] = 1
        assert view.drops("in")["one-way"] == 6
        assert view.drops("out")["one-way"] == 0
        assert view.closes()["dgrams-out"] == 3


def test_a_view_without_rules_of_the_present_generation_has_none() -> None:
    with a_view() as view:
        assert [rule.name for rule in view.present_rules] == ["LAN", "SYSLOG", "REST"]
    assert not list(type(view)("p", "n", "v", 1, 9, (), 0.0, view.board).present_rules)
