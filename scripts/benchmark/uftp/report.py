"""The figures of transfers as tables, and how ours stands to the original."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..figures import Figures, Goal, Outcome, judge, medians
from ..report import goals_as_text, table


@dataclass(slots=True)
class Results:
    """Every round's figures, by suite and rate, and by the make's name; the memory of one idle proxy by that name."""

    rounds: dict[tuple[str, int], dict[str, list[Figures]]] = field(default_factory=dict)
    alone_pss_mb: dict[str, float] = field(default_factory=dict)

    def add(self, suite: str, rate: int, make: str, figures: Figures) -> None:
        """Keep one round's figures."""
        self.rounds.setdefault((suite, rate), {}).setdefault(make, []).append(figures)


_RUN_COLUMNS = {
    "mbit": "Mbit/s",
    "seconds": "seconds",
    "datagrams": "datagrams",
    "naks": "NAKs",
    "sections_missed": "sections missed",
    "aborts": "aborts",
    "identical": "identical",
}
_PROXY_COLUMNS = {
    "cpu_us_per_datagram": "CPU us/datagram",
    "busy_percent": "busy %",
    "dropped": "buffer drops",
    "pss_mb": "PSS MB",
}
_MODES = {"above": "server proxy", "below": "client proxy"}
_MEMORY = Goal("alone", "alone_pss_mb", "proportional MB, one proxy alone", 40, as_ratio=False)
_PLAIN_AT_ONE_GIGABIT = ("plain", 1000)


def as_text(results: Results, options: argparse.Namespace) -> str:
    """Return tables of medians: of the transfers, and of both proxies in each."""
    load = f"load {os.getloadavg()[0]:.1f}"
    lines = [
        f"{os.cpu_count()} cores shared by server, two proxies, client and whoever else; {load}; "
        f"Linux {platform.release()}; Python {platform.python_version()}",
        f"medians of {options.rounds} rounds; {options.megabytes} MB; sockets of {options.buffer} bytes; "
        f"{options.workers} workers in each of ours; ratios matter, not the figures",
        "one idle client proxy alone, proportional: "
        + ", ".join(f"{make} {megabytes:.1f} MB" for make, megabytes in results.alone_pss_mb.items())
        + "; below two of a make run and share their programs' pages",
    ]
    for (suite, rate), by_make in results.rounds.items():
        lines += ["", f"{suite}, uftp -R {rate} Mbit/s"]
        lines += table([["", *_RUN_COLUMNS.values()], *_rows(by_make, _RUN_COLUMNS, "")])
        for place, mode in _MODES.items():
            lines += [mode, *table([["", *_PROXY_COLUMNS.values()], *_rows(by_make, _PROXY_COLUMNS, f"{place}_")])]
    return "\n".join(lines)


def _rows(by_make: Mapping[str, Sequence[Figures]], columns: Mapping[str, str], prefix: str) -> list[list[str]]:
    found = []
    for make, rounds in by_make.items():
        figures = medians(rounds)
        found.append([make, *(_number(figures[prefix + column]) for column in columns)])
    return found


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:,.2f}"


def outcomes(results: Results) -> list[Outcome]:
    """Return how ours stands to each goal at each rate."""
    alone = [{"alone_pss_mb": results.alone_pss_mb["ours"]}]
    found = [judge(_MEMORY, "ours", alone, "", [])]
    for (suite, rate), by_make in results.rounds.items():
        theirs, own = by_make["uftpproxyd"], _with_surplus(by_make["ours"], by_make["uftpproxyd"])
        found += [judge(goal, "ours", own, "uftpproxyd", theirs) for goal in _goals(suite, rate)]
    return [outcome for outcome in found if outcome is not None]


def outcomes_as_text(results: Results) -> str:
    """Return a table of the outcomes."""
    return goals_as_text(outcomes(results))


def _with_surplus(own: Sequence[Figures], theirs: Sequence[Figures]) -> list[Figures]:
    """Return our rounds, each with how many blocks more it asked for again than the original's."""
    pairs = zip(own, theirs, strict=True)
    return [{**our, "naks_surplus": our["naks"] - their["naks"]} for our, their in pairs]


def _goals(suite: str, rate: int) -> list[Goal]:
    title = f"{suite} {rate} Mbit/s"
    goals = [
        Goal(title, "above_cpu_us_per_datagram", f"{title}: CPU per datagram, server mode", 0.5),
        Goal(title, "below_cpu_us_per_datagram", f"{title}: CPU per datagram, client mode", 0.5),
        Goal(title, "naks_surplus", f"{title}: NAKs beyond the original's", 0, as_ratio=False),
        Goal(title, "identical", f"{title}: bytes identical", 1, at_least=True, as_ratio=False),
    ]
    if (suite, rate) == _PLAIN_AT_ONE_GIGABIT:
        goals.append(Goal(title, "naks", f"{title}: NAKs", 0, as_ratio=False))
    return goals
