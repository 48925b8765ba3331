"""A proxy's counters as metrics: read from the workers' shared memory whenever somebody asks.

Names begin with the program's; units are base units; counters only grow, whatever happens to a worker.
Source: OpenMetrics 1.0; prometheus_client, Custom Collectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from workers.contract.slots import CLOSE_WORDS, Counter, DropReason, Region

DIRECTIONS = {"out": Counter.DROPS_OUT, "in": Counter.DROPS_IN}
"""out is client to server."""

_BY_DIRECTION: tuple[tuple[str, str, dict[str, Counter]], ...] = (
    (
        "datagrams_received",
        "Datagrams that reached the proxy.",
        {"out": Counter.RECEIVED_OUT, "in": Counter.RECEIVED_IN},
    ),
    ("datagrams", "Datagrams forwarded.", {"out": Counter.FORWARDED_OUT, "in": Counter.FORWARDED_IN}),
    ("bytes", "Payload bytes forwarded.", {"out": Counter.BYTES_OUT, "in": Counter.BYTES_IN}),
)
_PLAIN: tuple[tuple[str, str, Counter], ...] = (
    ("sessions_opened", "Sessions begun.", Counter.SESSIONS_OPENED),
    ("kernel_rx_overflow", "Datagrams the kernel dropped because a socket's queue was full.", Counter.QUEUE_OVERFLOW),
    ("log_records", "Log records written by workers.", Counter.LOG_RECORDS),
    ("log_records_shed", "Log records that had no room in the log's budget.", Counter.LOG_SHED),
)


@dataclass(frozen=True, slots=True)
class View:
    """What the monitor looks at. regions: one a worker. started_unix: seconds since 1970."""

    program: str
    name: str
    version: str
    max_sessions: int
    generation: int
    regions: tuple[Region, ...]
    started_unix: float

    def total(self, counter: int) -> int:
        """Return a counter's sum over all workers."""
        return sum(region.words[counter] for region in self.regions)

    @property
    def draining(self) -> bool:
        """Whether no session may begin any more."""
        return any(region.words[Counter.DRAINING] for region in self.regions)

    @property
    def ready(self) -> bool:
        """Whether new clients are served: every worker turns, and none drains."""
        return not self.draining and all(region.words[Counter.TURNS] for region in self.regions)

    def drops(self, direction: str) -> dict[str, int]:
        """Return the dropped datagrams of a direction by reason."""
        first = DIRECTIONS[direction]
        return {reason.name.lower().replace("_", "-"): self.total(first + reason) for reason in DropReason}

    def closes(self) -> dict[str, int]:
        """Return the ended sessions by reason."""
        return {word: self.total(Counter.CLOSES + number) for number, word in enumerate(CLOSE_WORDS)}


class ProxyCollector(Collector):
    """Reads a View each time it is asked."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._prefix = view.program.replace("-", "_")

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as it is now."""
        yield from self._gauges()
        yield from self._counters()
        view = self._view
        build = InfoMetricFamily(f"{self._prefix}_build", "What runs.")
        build.add_metric([], {"version": view.version, "name": view.name})
        yield build

    def _gauges(self) -> Iterator[Metric]:
        view = self._view
        for name, text, value in (
            ("sessions", "Open sessions.", view.total(Counter.SESSIONS)),
            ("max_sessions", "Sessions there may be at once.", view.max_sessions),
            ("workers", "Worker processes.", len(view.regions)),
            ("draining", "1 when no session may begin any more.", int(view.draining)),
            ("config_generation", "Number of the configuration that runs, from 1.", view.generation),
            ("start_time_seconds", "When the proxy began, in seconds since 1970.", view.started_unix),
        ):
            yield GaugeMetricFamily(f"{self._prefix}_{name}", text, value=value)
        workers = GaugeMetricFamily(f"{self._prefix}_worker_sessions", "Open sessions by worker.", labels=["worker"])
        for index, region in enumerate(view.regions):
            workers.add_metric([str(index)], region.sessions)
        yield workers

    def _counters(self) -> Iterator[Metric]:
        view = self._view
        for name, text, counter in _PLAIN:
            yield CounterMetricFamily(f"{self._prefix}_{name}", text, value=view.total(counter))
        for name, text, counters in _BY_DIRECTION:
            family = CounterMetricFamily(f"{self._prefix}_{name}", text, labels=["direction"])
            for direction, counter in counters.items():
                family.add_metric([direction], view.total(counter))
            yield family
        dropped = CounterMetricFamily(
            f"{self._prefix}_dropped", "Datagrams received and not forwarded.", labels=["direction", "reason"]
        )
        for direction in DIRECTIONS:
            for reason, count in view.drops(direction).items():
                dropped.add_metric([direction, reason], count)
        yield dropped
        closed = CounterMetricFamily(f"{self._prefix}_sessions_closed", "Sessions ended, by reason.", labels=["reason"])
        for reason, count in view.closes().items():
            closed.add_metric([reason], count)
        yield closed
