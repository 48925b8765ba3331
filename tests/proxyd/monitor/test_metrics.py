"""Counters as metrics: every one of them there, summed over workers, in a form that the library's own parser takes."""

from __future__ import annotations

import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from proxyd.daemon.board import PARENT
from proxyd.daemon.roster import Child, Role
from proxyd.monitor.exposition import expose
from proxyd.monitor.metrics import collect
from proxyd.monitor.view import NO_RULE_LABEL, SERVER_SIDE, View
from tests.proxyd.monitor.views import LISTENERS, a_view, count_lines, count_rule, hear_of
from workers.contract.slots import CLOSE_WORDS, CloseReason, Counter, DropReason
from workers.contract.tallies import LAG_BOUNDS_NS, NO_RULE

SECOND = 1_000_000_000
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(view: View) -> Samples:
    """Return what the collector says, written out and read again."""
    families = list(text_string_to_metric_families(expose(collect(view), open_metrics=True)))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def by_label(view: View, metric: str) -> dict[str, float]:
    """Return a metric's samples by the value of their one label."""
    return {labels[0][1]: value for (name, labels), value in samples(view).items() if name == metric}


def test_counters_of_all_workers_are_summed_up() -> None:
    with a_view() as view:
        for number, region in enumerate(view.regions, start=1):
            region.words[Counter.FORWARDED_OUT] = 10 * number
            region.words[Counter.BYTES_IN] = 1000 * number
            region.words[Counter.SESSIONS] = number
        found = samples(view)
    assert found["udp_proxy_datagrams_total", (("direction", "out"),)] == 30
    assert found["udp_proxy_bytes_total", (("direction", "in"),)] == 3000
    assert found["udp_proxy_sessions", ()] == 3
    assert found["udp_proxy_worker_sessions", (("worker", "1"),)] == 2
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


def test_rules_are_summed_over_workers_and_named() -> None:
    with a_view() as view:
        count_rule(view, 0, "LAN", "normal", 5, 0, 1)
        count_rule(view, 1, "LAN", "normal", 7, 2, 0)
        count_rule(view, 1, NO_RULE, "", 0, 9, 0)
        found = samples(view)
    assert found["udp_proxy_sessions_opened_total", (("acl", "LAN"), ("type", "normal"))] == 11
    assert found["udp_proxy_acl_hits_total", (("acl", "LAN"), ("verdict", "accepted"))] == 12
    assert found["udp_proxy_acl_hits_total", (("acl", "LAN"), ("verdict", "rejected"))] == 2
    assert found["udp_proxy_acl_hits_total", (("acl", NO_RULE_LABEL), ("verdict", "rejected"))] == 9
    assert found["udp_proxy_sessions_opened_total", (("acl", "SYSLOG"), ("type", "one-way"))] == 0


def test_what_a_rule_of_another_kind_counted_is_not_this_ones() -> None:
    with a_view() as view:
        count_rule(view, 0, "LAN", "any-port", 5, 0, 0)
        assert samples(view)["udp_proxy_sessions_opened_total", (("acl", "LAN"), ("type", "normal"))] == 0


def test_losses_are_by_listener_and_the_rest_is_the_server_sides() -> None:
    with a_view() as view:
        count_lines(view, 0, (10, 100, 3), (20, 200, 4))
        count_lines(view, 1, (1, 10, 0), (0, 0, 1))
        view.regions[0].words[Counter.QUEUE_OVERFLOW] = 10
        found = samples(view)
    losses = {dict(labels)["listener"]: value for (name, labels), value in found.items() if "overflow" in name}
    assert losses == {LISTENERS[0].address: 3, LISTENERS[1].address: 5, SERVER_SIDE: 2}
    assert found["udp_proxy_listener_datagrams_received_total", (("listener", LISTENERS[0].address),)] == 11
    assert found["udp_proxy_listener_bytes_total", (("listener", LISTENERS[1].address),)] == 200


def test_turns_of_the_loop_are_a_histogram_in_seconds() -> None:
    with a_view() as view:
        words = view.regions[1].words
        words[Counter.LAG], words[Counter.LAG + 2], words[Counter.LAG + len(LAG_BOUNDS_NS)] = 3, 4, 1
        words[Counter.LAG_NS] = 2_500_000_000
        found = samples(view)
    worker = ("worker", "1")
    buckets = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name.endswith("_bucket") and worker in labels
    }
    assert (buckets["0.0001"], buckets["0.0005"], buckets["1.0"], buckets["+Inf"]) == (3, 7, 7, 8)
    assert found["udp_proxy_event_loop_lag_seconds_sum", (worker,)] == 2.5
    assert found["udp_proxy_event_loop_lag_seconds_count", (worker,)] == 8


def test_processes_and_reloads_are_as_the_board_says() -> None:
    with a_view() as view:
        view.board.look([Child(Role.WORKER, 0, pid=1, lives=3)], 0)
        view.board.note_reload(failed=False)
        view.board.note_reload(failed=True)
        found = samples(view)
    assert found["udp_proxy_process_starts_total", (("process", "worker 0"),)] == 3
    assert found["udp_proxy_process_resident_memory_bytes", (("process", PARENT),)] > 1 << 20
    assert found["udp_proxy_process_open_fds", (("process", PARENT),)] > 2
    assert found["udp_proxy_config_last_reload_successful", ()] == 0
    assert found["udp_proxy_config_reloads_total", (("result", "failed"),)] == 1
    assert found["udp_proxy_config_last_reload_timestamp_seconds", ()] > 1_700_000_000


def test_before_the_first_reload_the_start_counts_as_one() -> None:
    with a_view() as view:
        found = samples(view)
    assert found["udp_proxy_config_last_reload_successful", ()] == 1
    assert found["udp_proxy_config_last_reload_timestamp_seconds", ()] == view.started_unix


def test_a_relay_of_transfers_has_metrics_of_its_own() -> None:
    with a_view(program="uftpproxyd") as view:
        view.regions[0].words[Counter.SESSIONS] = 2
        view.regions[0].words[Counter.UFTP_FACTS + 2] = 30
        view.regions[1].words[Counter.UFTP_DROPS + 4] = 5
        found = samples(view)
    assert found["uftp_proxy_groups", ()] == 2
    assert found["uftp_proxy_clients", ()] == 30
    assert found["uftp_proxy_dropped_total", (("reason", "no-downstream"),)] == 5
    assert not [name for name, _ in found if "session" in name or "acl" in name]


def test_two_scrapes_are_made_of_the_same_series() -> None:
    with a_view() as view:
        assert set(samples(view)) == set(samples(view))


def test_a_server_is_up_when_an_answer_is_the_last_that_was_heard_of_it_by_any_worker() -> None:
    now_ns, server = time.monotonic_ns(), "[203.0.113.53]:53"
    with a_view() as view:
        assert by_label(view, "udp_proxy_upstream_up") == {}
        hear_of(view, 0, server, now_ns - 60 * SECOND, now_ns - 50 * SECOND)
        hear_of(view, 1, "ns.example:53", 0, now_ns)
        assert by_label(view, "udp_proxy_upstream_up") == {server: 0, "ns.example:53": 0}
        hear_of(view, 1, server, now_ns - 40 * SECOND, 0)
        assert by_label(view, "udp_proxy_upstream_up")[server] == 1
        answers = by_label(view, "udp_proxy_upstream_last_answer_timestamp_seconds")
        assert list(answers) == [server]
        began = time.time() - (time.monotonic_ns() - now_ns) / SECOND
        assert abs(answers[server] - (began - 40)) < 5
        refusals = by_label(view, "udp_proxy_upstream_last_refusal_timestamp_seconds")
        assert set(refusals) == {server, "ns.example:53"}
        assert abs(refusals[server] - (began - 50)) < 5


def test_what_is_kept_of_sessions_is_as_old_as_the_last_sweep_while_there_are_any() -> None:
    with a_view() as view:
        swept_ns = time.monotonic_ns() - 5 * SECOND
        for region in view.regions:
            region.words[Counter.SWEPT] = swept_ns
        view.regions[1].words[Counter.SESSIONS] = 1
        lags = by_label(view, "udp_proxy_store_lag_seconds")
        assert lags["0"] == 0
        assert 5 <= lags["1"] <= (time.monotonic_ns() - swept_ns) / SECOND
