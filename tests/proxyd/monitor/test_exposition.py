"""What is written, read by the library that the monitoring system itself is known by."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from proxyd.monitor.exposition import (
    Kind,
    Metric,
    Sample,
    counter,
    expose,
    gauge,
    histogram,
    wants_open_metrics,
)

NASTY = 'a "quoted" \\ back\nslash {} , = é'
METRICS = [
    counter("p_things", NASTY, [Sample((("what", NASTY), ("n", "1")), 7), Sample((("what", ""), ("n", "2")), 2**64)]),
    gauge("p_level", "Level.", [Sample((), 0.25)]),
    gauge("p_none", "Nothing of it.", []),
    gauge("p_flag", "Flag.", [Sample((), value=True)]),
    Metric("p_span_seconds", "Span.", Kind.HISTOGRAM, histogram((("w", "0"),), [("0.5", 3), ("+Inf", 1)], 2.5)),
]
Reader = Callable[[str], Iterable[Family]]


@pytest.mark.parametrize(("read", "modern"), [(read_open_metrics, True), (read_plain, False)], ids=["open", "plain"])
def test_what_is_written_is_what_is_read(read: Reader, modern: bool) -> None:
    families = {family.name: family for family in read(expose(METRICS, open_metrics=modern))}
    assert set(families) == {"p_things", "p_level", "p_none", "p_flag", "p_span_seconds"}
    things = families["p_things"]
    assert (things.type, things.documentation) == ("counter", NASTY)
    assert [(sample.name, sample.labels, sample.value) for sample in things.samples] == [
        ("p_things_total", {"what": NASTY, "n": "1"}, 7),
        ("p_things_total", {"what": "", "n": "2"}, 2**64),
    ]
    assert families["p_flag"].samples[0].value == 1
    span = [(sample.name, sample.labels.get("le"), sample.value) for sample in families["p_span_seconds"].samples]
    assert span == [
        ("p_span_seconds_bucket", "0.5", 3),
        ("p_span_seconds_bucket", "+Inf", 4),
        ("p_span_seconds_count", None, 4),
        ("p_span_seconds_sum", None, 2.5),
    ]


def test_the_modern_form_ends_as_it_has_to_and_the_older_one_does_not() -> None:
    assert expose(METRICS, open_metrics=True).endswith("\n# EOF\n")
    assert "# EOF" not in expose(METRICS, open_metrics=False)


@pytest.mark.parametrize(
    ("accept", "modern"),
    [
        ("application/openmetrics-text; version=1.0.0,text/plain;q=0.5", True),
        ("text/plain;q=0.5 , application/openmetrics-text;version=0.0.1;q=0.7", True),
        ("text/plain", False),
        ("*/*", False),
        ("", False),
        ("application/openmetrics-textual", False),
    ],
)
def test_the_modern_form_is_for_who_asks_for_it(accept: str, modern: bool) -> None:
    assert wants_open_metrics(accept) is modern
