"""What scripts/bench works out, and its load generator against its own upstream; no proxy is measured here."""

import json
import math
import subprocess
from pathlib import Path

import pytest

from scripts.benchmark.errors import CannotMeasure
from scripts.benchmark.figures import Goal, judge, medians, percentile, ratio
from scripts.benchmark.loads import Census, run_closed, run_paced, run_requests
from scripts.benchmark.measurements import Rig
from scripts.benchmark.meter import cpu_ns, family_of
from scripts.benchmark.peers import Clients, Echo, wait_for_answer
from scripts.benchmark.plan import GOALS, MEASUREMENTS, Measurement, Results, run_rounds
from scripts.benchmark.proxies import Product, find_udp_proxy
from scripts.benchmark.report import as_json, as_text, goals_as_text, outcomes, table
from scripts.benchmark.window import Window

ROOT = Path(__file__).parents[2]
FACTS = {"processor": "P", "cores": 2, "kernel": "6.1", "python": "3.11.2", "nginx": "1.22.1", "load_average": 0.1}
SET_UP = next(measurement for measurement in MEASUREMENTS if measurement.name == "set-up")
COST = Goal("set-up", "cpu_us_per_session", "CPU per session", 0.8)
RATE = Goal("set-up", "sessions_per_cpu_s", "sessions", 1.0, at_least=True)


def set_up_figures(**changed):
    return dict.fromkeys(SET_UP.columns, 1.0) | changed


@pytest.fixture
def echo():
    upstream = Echo()
    yield upstream
    upstream.close()


@pytest.fixture
def edges():
    return []


@pytest.fixture
def window(edges):
    return Window(0.01, 0.05, lambda: edges.append("begin"), lambda: edges.append("end"))


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(1, 10), (25, 10), (26, 20), (50, 20), (75, 30), (99, 40), (100, 40)],
)
def test_percentile_is_the_nearest_rank(percent, expected):
    assert percentile([10, 20, 30, 40], percent) == expected


def test_percentile_of_nothing_is_not_a_number():
    assert math.isnan(percentile([], 99))


def test_ratio_to_nothing_is_not_a_number():
    assert ratio(3, 2) == 1.5
    assert math.isnan(ratio(3, 0))


def test_medians_are_taken_figure_by_figure():
    assert medians([{"a": 1, "b": 9}, {"a": 5, "b": 7}, {"a": 3, "b": 8}]) == {"a": 3, "b": 8}
    assert medians([]) == {}


def test_a_ratio_goal_is_judged_by_the_median_of_the_rounds_ratios():
    ours = [{"cpu_us_per_session": value} for value in (8, 30, 5)]
    theirs = [{"cpu_us_per_session": value} for value in (10, 10, 10)]
    outcome = judge(COST, "udp-proxy", ours, "nginx", theirs)
    assert (outcome.median, outcome.least, outcome.greatest) == (0.8, 0.5, 3.0)
    assert outcome.reached


@pytest.mark.parametrize(("rate", "reached"), [(99, False), (100, True), (101, True)])
def test_a_goal_with_a_lower_limit_is_missed_below_it(rate, reached):
    outcome = judge(RATE, "udp-proxy", [{"sessions_per_cpu_s": rate}], "nginx", [{"sessions_per_cpu_s": 100}])
    assert outcome.reached is reached


def test_a_goal_that_is_not_a_number_is_missed():
    assert not judge(COST, "udp-proxy", [{"cpu_us_per_session": 1}], "nginx", [{"cpu_us_per_session": 0}]).reached


def test_an_absolute_goal_needs_no_other_proxy():
    goal = Goal("idle", "pss_mb", "idle", 70, as_ratio=False)
    outcome = judge(goal, "udp-proxy", [{"pss_mb": 71}], "nginx", [])
    assert outcome.over == ""
    assert not outcome.reached


def test_a_goal_without_rounds_has_no_outcome():
    assert judge(COST, "udp-proxy", [], "nginx", []) is None


def test_each_goal_names_a_measurement_and_a_figure_of_its_report():
    columns = {measurement.name: measurement.columns for measurement in MEASUREMENTS}
    for goal in GOALS:
        assert goal.figure in columns[goal.measurement]


def test_table_aligns_its_columns():
    assert table([["", "us"], ["nginx", "1"], ["a", "1,000"]]) == ["          us", "nginx      1", "a      1,000"]


def results_of_two_rounds():
    results = Results()
    for ours, theirs in ((12.0, 10.0), (9.0, 10.0)):
        results.add("set-up", "nginx", set_up_figures(sessions_per_cpu_s=theirs))
        results.add("set-up", "udp-proxy", set_up_figures(sessions_per_cpu_s=ours, p99_us=1234.5))
    return results


def test_report_has_the_machine_the_notes_and_the_medians():
    lines = as_text(FACTS, ["a note"], results_of_two_rounds(), [SET_UP]).splitlines()
    assert lines[0] == "P, 2 cores; Linux 6.1; Python 3.11.2; nginx 1.22.1; load 0.1"
    assert lines[1] == "a note"
    row = next(line for line in lines if line.startswith("udp-proxy"))
    assert "10.5" in row
    assert "1,234" in row


def test_report_warns_of_others_on_the_cores():
    results = Results()
    results.add("set-up", "nginx", set_up_figures(others_percent=30.0, load_percent=97.0))
    results.add("set-up", "udp-proxy", set_up_figures(others_percent=2.0, load_percent=98.0))
    warnings = [line for line in as_text(FACTS, [], results, [SET_UP]).splitlines() if line.startswith("!")]
    assert warnings == ["! nginx: others had 30 % of its core, the load got 97 % of the other"]


def test_goals_are_shown_beside_their_targets():
    (outcome,) = outcomes(results_of_two_rounds(), ["udp-proxy"], ["nginx"])
    text = goals_as_text([outcome])
    assert "udp-proxy / nginx" in text
    assert ">= 1" in text
    assert "0.900 to 1.2" in text
    assert text.endswith("reached")


def test_json_has_medians_rounds_and_goals():
    results = results_of_two_rounds()
    results.add("set-up", "no proxy", set_up_figures(cpu_us_per_session=math.nan))
    document = json.loads(as_json(FACTS, {"rounds": 2}, results, outcomes(results, ["udp-proxy"], ["nginx"])))
    assert document["machine"] == FACTS
    ours = document["measurements"]["set-up"]["udp-proxy"]
    assert ours["median"]["sessions_per_cpu_s"] == 10.5
    assert [figures["sessions_per_cpu_s"] for figures in ours["rounds"]] == [12.0, 9.0]
    assert document["measurements"]["set-up"]["no proxy"]["median"]["cpu_us_per_session"] is None
    (goal,) = document["goals"]
    assert (goal["over"], goal["median"], goal["reached"]) == ("nginx", 1.05, True)


def test_census_finds_those_not_seen_in_a_whole_roll_call():
    second = 1_000_000_000
    census = Census(4, 0)
    assert census.missing(second // 10) == []
    assert not census.looking
    assert census.missing(second) == []
    assert census.looking
    census.note([0, 3])
    census.note([1])
    assert census.missing(second + 1) == []
    assert census.missing(2 * second) == [2]
    assert not census.looking


def test_closed_loop_loses_nothing_without_a_proxy(echo, window, edges):
    clients = Clients(("127.0.0.1", echo.port))
    traffic = run_closed(echo, clients, 16, 4, window)
    clients.close()
    assert edges == ["begin", "end"]
    assert traffic.lost == 0
    assert 0 < traffic.answered <= traffic.offered
    assert len(traffic.latencies_ns) == traffic.answered
    assert min(traffic.latencies_ns) > 0


def test_offered_rate_is_kept_and_answered(echo, window):
    clients = Clients(("127.0.0.1", echo.port))
    traffic = run_paced(echo, clients, 16, 2_000.0, window)
    clients.close()
    assert traffic.lost == 0
    assert traffic.offered >= 100
    assert traffic.answered > 0


def test_requests_are_answered_each_on_a_socket_of_its_own(echo, window):
    traffic = run_requests(echo, ("127.0.0.1", echo.port), 8, window)
    assert traffic.lost == 0
    assert 0 < traffic.answered <= traffic.offered


def test_nobody_answers_on_a_port_without_a_listener(echo):
    other = Echo()
    other.close()
    assert not wait_for_answer(echo, ("127.0.0.1", other.port), 0.1)


def test_rounds_alternate_which_proxy_is_first(echo):
    told = []
    products = [Product(name, lambda _scene, _place: "", (), "") for name in ("nginx", "udp-proxy")]
    counting = Measurement("count", "", lambda _rig, _product, _flows: {"count": 1.0}, ("count",))
    results = run_rounds(Rig(echo, products[0], 0, 1.0), products, [counting], 2, told.append)
    assert len(results.of("count", "nginx")) == 2
    assert [line.partition(": ")[2] for line in told] == [
        "nginx, round 1",
        "udp-proxy, round 1",
        "udp-proxy, round 2",
        "nginx, round 2",
    ]


def test_a_place_without_udp_proxy_cannot_be_measured(tmp_path):
    with pytest.raises(CannotMeasure, match="no udp-proxy"):
        find_udp_proxy(tmp_path)


def test_processor_time_of_a_process_that_is_gone_cannot_be_read():
    with subprocess.Popen(["sleep", "60"]) as process:
        assert family_of(process.pid) == [process.pid]
        assert cpu_ns([process.pid]) > 0
        process.kill()
    with pytest.raises(CannotMeasure):
        cpu_ns([process.pid])


def test_help_shows_a_usage_and_exits_0():
    done = subprocess.run([ROOT / "scripts/bench", "--help"], capture_output=True, text=True, check=True)
    assert "scripts/bench --only" in done.stdout
