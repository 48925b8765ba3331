"""Counters as metrics: every one of them there, summed over workers, in a form that the library's own parser takes."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from proxyd.monitor.metrics import ProxyCollector, View
from tests.proxyd.monitor.views import a_view
from workers.contract.slots import CLOSE_WORDS, CloseReason, Counter, DropReason

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(view: View) -> Samples:
    """Return what the collector says, written out and read again."""
    registry = CollectorRegistry()
    registry.register(ProxyCollector(view))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_counters_of_all_workers_are_summed_up() -> None:
    with a_view() as view:
        for number, region in enumerate(view.regions, start=1):
            region.words[Counter.FORWARDED_OUT] = 10 * number
            region.words[Counter.BYTES_IN] = 1000 * number
            region.words[Counter.SESSIONS] = number
            region.words[Counter.SESSIONS_OPENED] = 5
        found = samples(view)
    assert found["udp_proxy_datagrams_total", (("direction", "out"),)] == 30
    assert found["udp_proxy_bytes_total", (("direction", "in"),)] == 3000
    assert found["udp_proxy_sessions", ()] == 3
    assert found["udp_proxy_worker_sessions", (("worker", "1"),)] == 2
    assert found["udp_proxy_sessions_opened_total", ()] == 10
    assert found["udp_proxy_max_sessions", ()] == 100
    assert found["udp_proxy_config_generation", ()] == 3


@pytest.mark.parametrize("reason", DropReason)
@pytest.mark.parametrize("direction", ["out", "in"])
def test_every_drop_reason_has_its_sample(reason: DropReason, direction: str) -> None:
    with a_view() as view:
        first = Counter.DROPS_OUT if direction == "out" else Counter.DROPS_IN
        view.regions[1].words[first + reason] = 7
        dropped = {key: value for key, value in samples(view).items() if key[0] == "udp_proxy_dropped_total"}
    assert len(dropped) == 2 * len(DropReason)
    word = reason.name.lower().replace("_", "-")
    assert {key for key, value in dropped.items() if value} == {
        ("udp_proxy_dropped_total", (("direction", direction), ("reason", word)))
    }


@pytest.mark.parametrize("reason", CloseReason)
def test_every_end_has_its_sample(reason: CloseReason) -> None:
    with a_view() as view:
        view.regions[0].words[Counter.CLOSES + reason] = 9
        found = samples(view)
    assert found["udp_proxy_sessions_closed_total", (("reason", CLOSE_WORDS[reason]),)] == 9


def test_names_begin_with_the_program() -> None:
    with a_view(program="other-thing") as view:
        assert all(name.startswith("other_thing_") for name, _ in samples(view))


def test_what_runs_is_said() -> None:
    with a_view() as view:
        assert samples(view)["udp_proxy_build_info", (("name", "TEST"), ("version", "0.1"))] == 1


def test_a_proxy_is_ready_when_all_workers_turn_and_none_drains() -> None:
    with a_view() as view:
        assert view.ready
        view.regions[1].words[Counter.DRAINING] = 1
        assert (view.ready, view.draining) == (False, True)
        view.regions[1].words[Counter.DRAINING] = view.regions[0].words[Counter.TURNS] = 0
        assert (view.ready, view.draining) == (False, False)
