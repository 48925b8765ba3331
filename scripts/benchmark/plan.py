"""What is measured, in which order, and what is to be reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .figures import Figures, Goal
from .measurements import (
    Rig,
    measure_closed,
    measure_half_load,
    measure_idle,
    measure_session_memory,
    measure_set_up,
)
from .proxies import Product

_DATAGRAM_COLUMNS = ("cpu_us_per_datagram", "datagrams_per_cpu_s", "datagrams_per_s", "busy_percent")
_SESSION_COLUMNS = ("cpu_us_per_session", "sessions_per_cpu_s", "sessions_per_s", "busy_percent")
_COMMON_COLUMNS = ("p50_us", "p99_us", "lost", "buffer_drops", "sessions", "rss_mb", "pss_mb")
_LOAD_COLUMNS = _DATAGRAM_COLUMNS + _COMMON_COLUMNS
_SET_UP_COLUMNS = _SESSION_COLUMNS + _COMMON_COLUMNS
_MEMORY_COLUMNS = ("sessions", "bytes_per_session", "few_sessions_pss_mb", "pss_mb", "rss_mb")
_IDLE_COLUMNS = ("processes", "cpu_percent", "pss_mb", "rss_mb")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One kind of measurement: its name, its title and columns in the report, how it is done.

    direct: worth doing without a proxy too, to know what the load generator itself could do; once: one round is
    enough, for memory does not change from round to round."""

    name: str
    title: str
    measure: Callable[[Rig, Product | None, int], Figures]
    columns: tuple[str, ...]
    flows: int = 0
    direct: bool = False
    once: bool = False


MEASUREMENTS = (
    Measurement("flows-16", "16 flows x 32 outstanding", measure_closed, _LOAD_COLUMNS, 16, direct=True),
    Measurement("flows-1000", "1,000 flows x 4 outstanding", measure_closed, _LOAD_COLUMNS, 1_000, direct=True),
    Measurement("set-up", "a session for each request, 64 outstanding", measure_set_up, _SET_UP_COLUMNS, direct=True),
    Measurement("half-16", "16 flows at half of nginx's rate", measure_half_load, _LOAD_COLUMNS, 16),
    Measurement("half-1000", "1,000 flows at half of nginx's rate", measure_half_load, _LOAD_COLUMNS, 1_000),
    Measurement("memory", "idle sessions, 1,000 and 8,000", measure_session_memory, _MEMORY_COLUMNS, once=True),
    Measurement("idle", "idle, two workers", measure_idle, _IDLE_COLUMNS, once=True),
)

GOALS = (
    Goal("flows-16", "cpu_us_per_datagram", "CPU per datagram, 16 flows", 0.8),
    Goal("flows-1000", "cpu_us_per_datagram", "CPU per datagram, 1,000 flows", 0.8),
    Goal("set-up", "sessions_per_cpu_s", "session set-ups per CPU-second", 1.0, at_least=True),
    Goal("half-16", "p99_us", "p99 latency at half load, 16 flows", 1.0),
    Goal("half-1000", "p99_us", "p99 latency at half load, 1,000 flows", 1.0),
    Goal("memory", "bytes_per_session", "process memory a session, bytes", 1_500, as_ratio=False),
    Goal("idle", "pss_mb", "idle, proportional, MB", 70, as_ratio=False),
)

DIRECT = "no proxy"


@dataclass(slots=True)
class Results:
    """The figures of every round, by measurement and proxy."""

    rounds: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)

    def add(self, measurement: str, proxy: str, figures: Figures) -> None:
        """Keep one round's figures."""
        self.rounds.setdefault(measurement, {}).setdefault(proxy, []).append(figures)

    def of(self, measurement: str, proxy: str) -> Sequence[Figures]:
        """Return a proxy's rounds, in their order; none when it was not measured."""
        return self.rounds.get(measurement, {}).get(proxy, ())


def run_rounds(
    rig: Rig, products: Sequence[Product], chosen: Sequence[Measurement], rounds: int, tell: Callable[[str], None]
) -> Results:
    """Take every measurement of every product, round by round, each round in the reverse order of the last.

    tell: is given a line before each measurement. Raises CannotMeasure."""
    results = Results()
    for measurement in chosen:
        if measurement.direct:
            tell(f"{measurement.name}: {DIRECT}")
            results.add(measurement.name, DIRECT, measurement.measure(rig, None, measurement.flows))
        for number in range(1 if measurement.once else rounds):
            for product in products[:: -1 if number % 2 else 1]:
                tell(f"{measurement.name}: {product.name}, round {number + 1}")
                results.add(measurement.name, product.name, measurement.measure(rig, product, measurement.flows))
    return results
