"""The dashboard and the alert rules ask for metrics that there are, with labels that they have."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from proxyd.monitor.exposition import Kind, Metric, expose
from proxyd.monitor.metrics import collect
from tests.kit.requirement import find_program, requires_program
from tests.proxyd.monitor.views import a_view, hear_of

FOLDER = Path(__file__).parents[2] / "etc/grafana"
ALERTS = FOLDER / "alerts.yml"
NAME = re.compile(r"\b(u(?:dp|ftp)_proxy_[a-z_]+)(\{[^}]*\})?")
SERIES_LABELS = {"instance", "job"}
"""Every series has these from who scrapes it."""


def exported() -> dict[str, tuple[set[str], dict[str, set[str]]]]:
    """Return by the name of a sample its labels, and their values."""
    found: dict[str, tuple[set[str], dict[str, set[str]]]] = {}
    for program in ("udp-proxy", "uftpproxyd"):
        with a_view(program=program) as view:
            hear_of(view, 0, "ns.example:53", 1, 0)
            for metric in collect(view):
                for sample in metric.samples:
                    labels, values = found.setdefault(f"{metric.name}{sample.suffix}", (set(), {}))
                    labels |= {name for name, _ in sample.labels}
                    for name, value in sample.labels:
                        values.setdefault(name, set()).add(value)
                if not metric.samples:
                    found[_bare(metric)] = ({"process"}, {})
    return found


def _bare(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.kind is Kind.COUNTER else metric.name


EXPORTED = exported()


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return found


def questions() -> list[str]:
    """Return every expression, and what a legend names behind it."""
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    return asked + re.findall(r"^ +expr: (.*)$", ALERTS.read_text(), re.MULTILINE)


@pytest.mark.parametrize("question", questions())
def test_a_question_is_about_something_that_is_exported(question: str) -> None:
    names = NAME.findall(question)
    assert names
    for name, chosen in names:
        assert name in EXPORTED, name
        for label, operator, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', chosen):
            assert label in EXPORTED[name][0] | SERIES_LABELS, f"{name} has no {label}"
            if operator == "=":
                assert value in EXPORTED[name][1][label], f"{label} of {name} is never {value}"
    for labels in re.findall(r"\bby \(([^)]*)\)", question):
        known = set().union(*(EXPORTED[name][0] for name, _ in names)) | SERIES_LABELS
        assert set(labels.replace(" ", "").split(",")) <= known, labels


def test_every_metric_that_the_proxy_has_for_trouble_is_looked_at() -> None:
    asked = "\n".join(questions())
    assert {"udp_proxy_upstream_up", "udp_proxy_store_lag_seconds"} <= {found[0] for found in NAME.findall(asked)}
    for name in ("dropped_total", "kernel_rx_overflow_total", "event_loop_lag_seconds_bucket", "ready"):
        assert f"udp_proxy_{name}" in asked
        assert f"uftp_proxy_{name}" in asked


def test_two_proxies_are_told_apart_where_their_processes_have_the_same_names() -> None:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            if re.search(r"\{\{(?:process|worker|listener)\}\}", target["legendFormat"]):
                assert "{{instance}}" in target["legendFormat"], panel["title"]
                assert not re.search(r"\bby \((?![^)]*instance)", target["expr"]), panel["title"]


def test_panels_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@requires_program("promtool")
def test_the_monitoring_system_takes_the_rules() -> None:
    check = (str(find_program("promtool")), "check", "rules", str(ALERTS))
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@requires_program("promtool")
def test_the_rules_tell_proxies_that_end_and_not_counters_that_begin_anew() -> None:
    check = (str(find_program("promtool")), "test", "rules", str(Path(__file__).with_name("alerts.test.yml")))
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@requires_program("promtool")
@pytest.mark.parametrize("program", ["udp-proxy", "uftpproxyd"])
def test_the_monitoring_system_finds_no_fault_with_the_metrics(program: str) -> None:
    with a_view(program=program) as view:
        text = expose(collect(view), open_metrics=False)
    check = (str(find_program("promtool")), "check", "metrics")
    done = subprocess.run(check, input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_server_that_nobody_has_tried_for_long_is_no_alert() -> None:
    (asked,) = re.findall(r"alert: UdpProxyServerDown\n +expr: (.*)$", ALERTS.read_text(), re.MULTILINE)
    assert re.search(r"time\(\) - udp_proxy_upstream_last_refusal_timestamp_seconds < \d+$", asked)
