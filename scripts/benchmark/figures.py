"""Arithmetic on what was measured: percentiles, medians, ratios, goals. Nothing here measures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Figures = Mapping[str, float]  # one run's figures by name; the unit ends the name


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that percent of the values do not exceed (nearest rank); NaN when there is none.

    ordered: ascending; percent: 0 < percent <= 100."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def ratio(ours: float, theirs: float) -> float:
    """Return ours / theirs, NaN when that is not a number."""
    return ours / theirs if theirs else math.nan


def medians(rounds: Sequence[Figures]) -> dict[str, float]:
    """Return the median of each figure over the rounds; figures that the first round lacks are left out."""
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]} if rounds else {}


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure has to be: within limit, as itself or as the ratio to nginx's of the same round."""

    measurement: str
    figure: str
    title: str
    limit: float
    at_least: bool = False
    as_ratio: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a proxy stands to a goal: the median over the rounds, and the least and greatest of them.

    over: the proxy it is a ratio to, empty when the figure stands for itself."""

    goal: Goal
    proxy: str
    over: str
    median: float
    least: float
    greatest: float

    @property
    def reached(self) -> bool:
        """Whether the median is within the limit."""
        return self.median >= self.goal.limit if self.goal.at_least else self.median <= self.goal.limit


def judge(goal: Goal, proxy: str, ours: Sequence[Figures], over: str, theirs: Sequence[Figures]) -> Outcome | None:
    """Compare the rounds of a proxy, pair by pair with another's where the goal is a ratio; None without any."""
    if goal.as_ratio:
        pairs = zip(ours, theirs, strict=False)
        values = [ratio(our[goal.figure], their[goal.figure]) for our, their in pairs]
    else:
        over, values = "", [figures[goal.figure] for figures in ours]
    if not values:
        return None
    return Outcome(goal, proxy, over, statistics.median(values), min(values), max(values))
