"""docs/monitoring.md names every metric that there is, with its kind and labels, and none that is not."""

from __future__ import annotations

import re

from proxyd.monitor.exposition import Kind
from proxyd.monitor.metrics import collect
from tests.kit.machine import ROOT
from tests.proxyd.monitor.views import a_view, hear_of

PAGE = (ROOT / "docs/monitoring.md").read_text()
ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \| ([^|]*) \|", re.MULTILINE)
PREFIXES = ("udp_proxy_", "uftp_proxy_")
WITHOUT_SAMPLES = {"process"}
"""What is by process has none where no parent has written."""


def described() -> dict[str, tuple[str, set[str]]]:
    """Return kind and labels by name; without the prefix where both programs have it."""
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(PAGE)}


def exported() -> dict[str, tuple[str, set[str]]]:
    by_program = []
    for program in ("udp-proxy", "uftpproxyd"):
        with a_view(program=program) as view:
            hear_of(view, 0, "ns.example:53", 1, 1)
            found = {}
            for metric in collect(view):
                labels = {name for sample in metric.samples for name, _ in sample.labels} - {"le"}
                suffix = "_total" if metric.kind is Kind.COUNTER else ""
                found[f"{metric.name}{suffix}"] = (metric.kind.value, labels)
        by_program.append(found)
    udp, uftp = (
        {name.removeprefix(prefix): what for name, what in found.items()}
        for prefix, found in zip(PREFIXES, by_program, strict=True)
    )
    both = {name: what for name, what in udp.items() if name in uftp}
    return (
        both
        | {f"{PREFIXES[0]}{name}": what for name, what in udp.items() if name not in both}
        | {f"{PREFIXES[1]}{name}": what for name, what in uftp.items() if name not in both}
    )


def test_every_metric_stands_in_the_page_and_no_other() -> None:
    assert set(described()) == set(exported())


def test_kinds_and_labels_are_as_they_are() -> None:
    page = described()
    for name, (kind, labels) in exported().items():
        assert page[name][0] == kind, name
        assert page[name][1] >= labels, name
        assert page[name][1] - labels <= WITHOUT_SAMPLES, name
