"""The results as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .figures import Figures, Outcome, judge, medians
from .plan import GOALS, Measurement, Results

_OTHERS_PERCENT, _LOAD_PERCENT = 5, 95  # beyond these the report warns
_HEADINGS = {
    "cpu_us_per_datagram": "CPU us/dgram",
    "datagrams_per_cpu_s": "dgrams/CPU-s",
    "datagrams_per_s": "dgrams/s",
    "cpu_us_per_session": "CPU us/session",
    "sessions_per_cpu_s": "sessions/CPU-s",
    "sessions_per_s": "sessions/s",
    "busy_percent": "core busy %",
    "p50_us": "p50 us",
    "p99_us": "p99 us",
    "lost": "lost",
    "buffer_drops": "buffer drops",
    "sessions": "sessions",
    "rss_mb": "RSS MB",
    "pss_mb": "PSS MB",
    "bytes_per_session": "bytes/session",
    "few_sessions_pss_mb": "PSS MB at 1,000",
    "processes": "processes",
    "cpu_percent": "CPU %",
}


def machine(nginx: str) -> dict[str, Any]:
    """Return what the figures depend on; nginx: its executable."""
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
    processor = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "processor": processor[0].partition(":")[2].strip() if processor else platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": said.strip().rpartition("/")[2],
        "load_average": round(os.getloadavg()[0], 2),
    }


def outcomes(results: Results, subjects: Sequence[str], others: Sequence[str]) -> list[Outcome]:
    """Return how each subject stands to each goal against each of the others; goals not measured are left out."""
    found: dict[tuple[str, str, str], Outcome] = {}
    for goal in GOALS:
        for proxy in subjects:
            for other in others:
                if proxy == other:
                    continue
                ours, theirs = results.of(goal.measurement, proxy), results.of(goal.measurement, other)
                outcome = judge(goal, proxy, ours, other, theirs)
                if outcome is not None:
                    found[goal.title, proxy, outcome.over] = outcome
    return list(found.values())


def as_text(facts: dict[str, Any], notes: Sequence[str], results: Results, chosen: Sequence[Measurement]) -> str:
    """Return the machine line, the notes and a table of medians for each measurement."""
    lines = [
        "{processor}, {cores} cores; Linux {kernel}; Python {python}; nginx {nginx}; load {load_average}".format(
            **facts
        ),
        *notes,
    ]
    for measurement in chosen:
        rows = [["", *(_HEADINGS[column] for column in measurement.columns)]]
        for proxy, rounds in results.rounds.get(measurement.name, {}).items():
            figures = medians(rounds)
            rows.append([proxy, *(_number(figures[column]) for column in measurement.columns)])
        lines += ["", f"{measurement.name}: {measurement.title}", *table(rows)]
        lines += _disturbances(results.rounds.get(measurement.name, {}))
    return "\n".join(lines)


def _disturbances(proxies: Mapping[str, Sequence[Figures]]) -> list[str]:
    """Return a warning for each proxy that had to share the cores: CPU figures bear that, latencies do not."""
    lines = []
    for proxy, rounds in proxies.items():
        figures = medians(rounds)
        others, load = figures.get("others_percent", 0.0), figures.get("load_percent", 100.0)
        if others > _OTHERS_PERCENT or load < _LOAD_PERCENT:
            lines.append(f"! {proxy}: others had {others:.0f} % of its core, the load got {load:.0f} % of the other")
    return lines


def goals_as_text(found: Sequence[Outcome]) -> str:
    """Return a table of the outcomes, each with its target."""
    rows = [["goal", "proxy", "figure", "rounds", "target", ""]]
    for outcome in found:
        goal = outcome.goal
        rows.append(
            [
                goal.title,
                f"{outcome.proxy} / {outcome.over}" if outcome.over else outcome.proxy,
                _number(outcome.median),
                f"{_number(outcome.least)} to {_number(outcome.greatest)}",
                f"{'>=' if goal.at_least else '<='} {goal.limit:g}",
                "reached" if outcome.reached else "MISSED",
            ]
        )
    return "\n".join(table(rows))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines with aligned columns, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def as_json(facts: dict[str, Any], options: dict[str, Any], results: Results, found: Sequence[Outcome]) -> str:
    """Return everything, the single rounds too; what is not a number is null."""
    document = {
        "machine": facts,
        "options": options,
        "measurements": {
            name: {
                proxy: {"median": _plain(medians(rounds)), "rounds": [_plain(figures) for figures in rounds]}
                for proxy, rounds in proxies.items()
            }
            for name, proxies in results.rounds.items()
        },
        "goals": [_outcome_fields(outcome) for outcome in found],
    }
    return json.dumps(document, indent=2) + "\n"


def _outcome_fields(outcome: Outcome) -> dict[str, Any]:
    goal = outcome.goal
    return {
        "measurement": goal.measurement,
        "figure": goal.figure,
        "proxy": outcome.proxy,
        "over": outcome.over or None,
        "limit": goal.limit,
        "at_least": goal.at_least,
        "reached": outcome.reached,
        **_plain({"median": outcome.median, "least": outcome.least, "greatest": outcome.greatest}),
    }


def _plain(figures: Figures) -> dict[str, float | None]:
    return {name: round(value, 4) if math.isfinite(value) else None for name, value in figures.items()}


def _number(value: float) -> str:
    """Return a value with three significant digits or, from a hundred on, without decimals."""
    if not math.isfinite(value):
        return "-"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.3f}"
