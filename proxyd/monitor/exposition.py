"""Metrics as text: the format of Prometheus, and that of OpenMetrics for who asks for it.

Source: Prometheus, Exposition Formats, text format 0.0.4; OpenMetrics 1.0.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Kind(Enum):
    """What a metric is. A counter's samples end in _total."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Sample(NamedTuple):
    """One value. suffix: behind the metric's name."""

    labels: tuple[tuple[str, str], ...]
    value: float
    suffix: str = ""


class Metric(NamedTuple):
    """One metric with all its samples. name: without _total."""

    name: str
    text: str
    kind: Kind
    samples: list[Sample]


def counter(name: str, text: str, samples: Iterable[Sample]) -> Metric:
    """Make a metric that only grows."""
    return Metric(name, text, Kind.COUNTER, [sample._replace(suffix="_total") for sample in samples])


def gauge(name: str, text: str, samples: Iterable[Sample]) -> Metric:
    """Make a metric that goes up and down."""
    return Metric(name, text, Kind.GAUGE, list(samples))


def histogram(labels: tuple[tuple[str, str], ...], buckets: Iterable[tuple[str, int]], total: float) -> list[Sample]:
    """Return a histogram's samples. buckets: upper bound and count of each alone, the last one +Inf. total: the sum."""
    found, count = [], 0
    for bound, more in buckets:
        count += more
        found.append(Sample((*labels, ("le", bound)), count, "_bucket"))
    return [*found, Sample(labels, count, "_count"), Sample(labels, total, "_sum")]


def wants_open_metrics(accept: str) -> bool:
    """Tell whether an Accept header asks for OpenMetrics."""
    return any(part.split(";")[0].strip() == "application/openmetrics-text" for part in accept.split(","))


def expose(metrics: Iterable[Metric], *, open_metrics: bool) -> str:
    """Write metrics."""
    lines: list[str] = []
    for name, text, kind, samples in metrics:
        # The older format gives a counter's description to the name with _total.
        described = f"{name}_total" if kind is Kind.COUNTER and not open_metrics else name
        lines += (f"# HELP {described} {_escape(text, quotes=open_metrics)}", f"# TYPE {described} {kind.value}")
        for labels, value, suffix in samples:
            lines.append(f"{name}{suffix}{_labels(labels)} {_number(value)}")
    lines += ("# EOF", "") if open_metrics else ("",)
    return "\n".join(lines)


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    return "{" + ",".join([f'{name}="{_escape(value, quotes=True)}"' for name, value in labels]) + "}"


def _escape(text: str, *, quotes: bool) -> str:
    found = text.replace("\\", "\\\\").replace("\n", "\\n")
    return found.replace('"', '\\"') if quotes else found


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
