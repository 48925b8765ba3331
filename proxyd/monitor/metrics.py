"""A proxy's counters as metrics: read from shared memory whenever somebody asks.

Names begin with the program's; units are base units; counters only grow, whatever happens to a worker. Labels have few
values each: what the configuration names, or what this program has words for.
Source: OpenMetrics 1.0; prometheus_client, Custom Collectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxyd.daemon.board import Process
from proxyd.monitor import transfers
from proxyd.monitor.view import DIRECTIONS, View
from workers.contract.slots import Counter, Region
from workers.contract.tallies import LAG_BOUNDS_NS

PREFIXES = {"udp-proxy": "udp_proxy", "uftpproxyd": "uftp_proxy"}
_NS = 1e9
_BY_DIRECTION: tuple[tuple[str, str, dict[str, Counter]], ...] = (
    (
        "datagrams_received",
        "Datagrams that reached the proxy.",
        {"out": Counter.RECEIVED_OUT, "in": Counter.RECEIVED_IN},
    ),
    ("datagrams", "Datagrams forwarded.", {"out": Counter.FORWARDED_OUT, "in": Counter.FORWARDED_IN}),
    ("bytes", "Payload bytes forwarded.", {"out": Counter.BYTES_OUT, "in": Counter.BYTES_IN}),
)
_LOGGED: tuple[tuple[str, str, Counter], ...] = (
    ("log_records", "Log records written by workers.", Counter.LOG_RECORDS),
    ("log_records_shed", "Log records that had no room in the log's budget.", Counter.LOG_SHED),
)


class ProxyCollector(Collector):
    """Reads a View each time it is asked."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._prefix = PREFIXES.get(view.program, view.program.replace("-", "_"))

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as it is now."""
        yield from self._gauges()
        yield from self._transfers() if self._view.is_uftp else self._sessions()
        yield from self._losses()
        yield from (self._counter(name, text, self._view.total(counter)) for name, text, counter in _LOGGED)
        yield self._lag()
        yield from self._processes(self._view.board.processes())
        yield from self._configuration()

    # --- of every program ---------------------------------------------------------------------------------------------

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        return GaugeMetricFamily(f"{self._prefix}_{name}", text, value=value)

    def _counter(self, name: str, text: str, value: float) -> Metric:
        return CounterMetricFamily(f"{self._prefix}_{name}", text, value=value)

    def _labelled(
        self,
        family: type[CounterMetricFamily | GaugeMetricFamily],
        name: str,
        text: str,
        labels: tuple[str, ...],
        samples: Iterable[tuple[tuple[str, ...], float]],
    ) -> Metric:
        metric = family(f"{self._prefix}_{name}", text, labels=labels)
        for values, value in samples:
            metric.add_metric(values, value)
        return metric

    def _gauges(self) -> Iterator[Metric]:
        view = self._view
        noun, what = ("groups", "transfers") if view.is_uftp else ("sessions", "sessions")
        for name, text, value in (
            (noun, f"Open {what}.", view.total(Counter.SESSIONS)),
            (f"max_{noun}", f"{what.capitalize()} there may be at once.", view.max_sessions),
            ("workers", "Worker processes.", len(view.regions)),
            ("ready", "1 when new clients are served.", view.ready),
            ("draining", f"1 when none of the {what} may begin any more.", view.draining),
            ("start_time_seconds", "When the proxy began, in seconds since 1970.", view.started_unix),
        ):
            yield self._gauge(name, text, value)
        yield self._labelled(
            GaugeMetricFamily,
            f"worker_{noun}",
            f"Open {what} by worker.",
            ("worker",),
            (((str(index),), region.sessions) for index, region in enumerate(view.regions)),
        )

    def _lag(self) -> Metric:
        name, text = "event_loop_lag_seconds", "How long the loop of a worker took before it looked at sockets again."
        metric = HistogramMetricFamily(f"{self._prefix}_{name}", text, labels=["worker"])
        for index, region in enumerate(self._view.regions):
            metric.add_metric([str(index)], _buckets(region), region.words[Counter.LAG_NS] / _NS)
        return metric

    def _processes(self, processes: list[Process]) -> Iterator[Metric]:
        label = ("process",)
        yield self._labelled(
            CounterMetricFamily,
            "process_starts",
            "Processes that were started in the place of each, the present one included.",
            label,
            (((found.name,), found.lives) for found in processes),
        )
        yield self._labelled(
            CounterMetricFamily,
            "process_cpu_seconds",
            "Processor time that each present process has used.",
            label,
            (((found.name,), found.cpu_ns / _NS) for found in processes if found.pid),
        )
        for name, text, column in (
            ("process_resident_memory_bytes", "Resident memory of each process.", "rss_bytes"),
            ("process_open_fds", "Descriptors that each process has open.", "descriptors"),
        ):
            values = (((found.name,), getattr(found, column)) for found in processes)
            known = ((names, value) for names, value in values if value is not None)
            yield self._labelled(GaugeMetricFamily, name, text, label, known)

    def _configuration(self) -> Iterator[Metric]:
        view, reloads = self._view, self._view.board.reloads
        yield self._gauge("config_generation", "Number of the configuration that runs, from 1.", view.generation)
        yield self._gauge("config_last_reload_successful", "0 when the last reload failed.", not reloads.last_failed)
        yield self._gauge(
            "config_last_reload_timestamp_seconds",
            "When the configuration was read last, in seconds since 1970.",
            view.started_unix if reloads.last_unix is None else reloads.last_unix,
        )
        yield self._labelled(
            CounterMetricFamily,
            "config_reloads",
            "Reloads, by how they ended.",
            ("result",),
            ((("ok",), reloads.done), (("failed",), reloads.failed)),
        )
        labels = ("version", "name", *(("mode",) if view.mode else ()))
        values = (view.version, view.name, *((view.mode,) if view.mode else ()))
        yield self._labelled(GaugeMetricFamily, "build_info", "What runs.", labels, ((values, 1),))

    # --- of one with sessions -----------------------------------------------------------------------------------------

    def _sessions(self) -> Iterator[Metric]:
        view, rules = self._view, list(self._view.rule_figures())
        yield self._labelled(
            CounterMetricFamily,
            "sessions_opened",
            "Sessions begun, by the rule that let them in.",
            ("acl", "type"),
            (((rule.name, rule.type), rule.opened) for rule in rules if rule.type or rule.accepted),
        )
        closes = (((word,), count) for word, count in view.closes().items())
        yield self._labelled(CounterMetricFamily, "sessions_closed", "Sessions ended, by reason.", ("reason",), closes)
        hits = (
            ((rule.name, verdict), count)
            for rule in rules
            for verdict, count in (("accepted", rule.accepted), ("rejected", rule.rejected))
        )
        yield self._labelled(
            CounterMetricFamily, "acl_hits", "Searches that a rule has decided.", ("acl", "verdict"), hits
        )
        for name, text, counters in _BY_DIRECTION:
            samples = (((direction,), view.total(counter)) for direction, counter in counters.items())
            yield self._labelled(CounterMetricFamily, name, text, ("direction",), samples)
        dropped = (
            ((direction, reason), count) for direction in DIRECTIONS for reason, count in view.drops(direction).items()
        )
        text = "Datagrams received and not forwarded."
        yield self._labelled(CounterMetricFamily, "dropped", text, ("direction", "reason"), dropped)

    def _losses(self) -> Iterator[Metric]:
        label, view = ("listener",), self._view
        lines = view.line_figures()
        yield self._labelled(
            CounterMetricFamily,
            "kernel_rx_overflow",
            "Datagrams the kernel dropped because a socket's queue was full.",
            label,
            (((line.address,), line.lost) for line in lines),
        )
        if view.is_uftp:
            return
        for name, text, column in (
            ("listener_datagrams_received", "Datagrams that reached a listener.", "received"),
            ("listener_bytes", "Payload bytes from a listener that were forwarded.", "bytes"),
        ):
            samples = (((line.address,), getattr(line, column)) for line in lines[:-1])
            yield self._labelled(CounterMetricFamily, name, text, label, samples)

    # --- of one with transfers ----------------------------------------------------------------------------------------

    def _transfers(self) -> Iterator[Metric]:
        view = self._view
        for name, text, counter in (
            ("datagrams_received", "Datagrams that reached the proxy.", Counter.RECEIVED_OUT),
            ("datagrams_sent", "Datagrams sent.", Counter.FORWARDED_OUT),
            ("bytes_sent", "Payload bytes sent.", Counter.BYTES_OUT),
        ):
            yield self._counter(name, text, view.total(counter))
        for fact in transfers.facts(view):
            yield (self._counter if fact.grows else self._gauge)(fact.name, fact.text, fact.value)
        dropped = (((reason,), count) for reason, count in transfers.drops(view).items())
        text = "Datagrams with which nothing was done, or not all they asked for, and datagrams that could not be sent."
        yield self._labelled(CounterMetricFamily, "dropped", text, ("reason",), dropped)


def _buckets(region: Region) -> list[tuple[str, float]]:
    """Return a histogram's buckets: each with what is in the smaller ones too."""
    names = [str(bound / _NS) for bound in LAG_BOUNDS_NS]
    total, found = 0, []
    for number, name in enumerate((*names, "+Inf")):
        total += region.words[Counter.LAG + number]
        found.append((name, float(total)))
    return found
