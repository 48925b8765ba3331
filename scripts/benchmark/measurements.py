"""How each thing is measured: start a proxy, load it, read what it cost, stop it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .figures import Figures, percentile
from .loads import run_closed, run_paced, run_requests
from .meter import Meter, cpu_ns, dropped_datagrams, memory
from .peers import Clients, Echo, open_sessions
from .proxies import Product, Running, Scene
from .window import NANOSECONDS, Traffic, Window

_WARM_SECONDS = 0.4
_REQUESTS = 64  # set-ups under way at a time
_FEW_SESSIONS, _MANY_SESSIONS = 1_000, 8_000
_SETTLE_SECONDS = 1.0
_MEGABYTE = 1_000_000
OUTSTANDING = {16: 32, 1_000: 4}  # datagrams under way for each flow, by number of flows


@dataclass(slots=True)
class Rig:
    """What every measurement needs: the upstream, the proxy's core, how long; and what the baseline has done.

    baseline: the proxy whose rate the half load is half of; round_trip_rates: its own, by number of flows."""

    echo: Echo
    baseline: Product
    proxy_cpu: int
    seconds: float
    round_trip_rates: dict[int, list[float]] = field(default_factory=dict)

    @contextmanager
    def proxy(self, product: Product | None, scene: Scene) -> Iterator[tuple[tuple[str, int], list[int]]]:
        """Give the target to send to and the processes that cost; without a product, the upstream itself."""
        if product is None:
            yield ("127.0.0.1", self.echo.port), []
            return
        with Running(product, scene, self.proxy_cpu, self.echo) as running:
            self.echo.discard()
            yield running.target, running.pids()

    def half_rate(self, flows: int) -> float:
        """Return half the baseline's round trips a second with as many flows at full load; measure them if need be."""
        if flows not in self.round_trip_rates:
            measure_closed(self, self.baseline, flows)
        return statistics.median(self.round_trip_rates[flows]) / 2


def measure_closed(rig: Rig, product: Product | None, flows: int) -> Figures:
    """Measure a proxy at full load."""
    with rig.proxy(product, Scene()) as (target, pids):
        clients = Clients(target)
        meter = Meter(pids, rig.proxy_cpu)
        window = Window(_WARM_SECONDS, rig.seconds, meter.begin, meter.end)
        drops = dropped_datagrams()
        traffic = run_closed(rig.echo, clients, flows, OUTSTANDING[flows], window)
        drops = dropped_datagrams() - drops
        clients.close()
    if product is rig.baseline:
        rig.round_trip_rates.setdefault(flows, []).append(traffic.answered / traffic.seconds)
    return _datagram_figures(traffic, meter, drops) | {"sessions": flows}


def measure_half_load(rig: Rig, product: Product | None, flows: int) -> Figures:
    """Measure a proxy at half of what the baseline can do."""
    rate = rig.half_rate(flows)
    with rig.proxy(product, Scene()) as (target, pids):
        clients = Clients(target)
        meter = Meter(pids, rig.proxy_cpu)
        window = Window(_WARM_SECONDS, rig.seconds, meter.begin, meter.end)
        drops = dropped_datagrams()
        traffic = run_paced(rig.echo, clients, flows, rate, window)
        drops = dropped_datagrams() - drops
        clients.close()
    return _datagram_figures(traffic, meter, drops) | {"sessions": flows, "offered_per_s": 2 * rate}


def measure_set_up(rig: Rig, product: Product | None, _flows: int) -> Figures:
    """Measure sessions of one request and one answer."""
    with rig.proxy(product, Scene(one_answer=True)) as (target, pids):
        meter = Meter(pids, rig.proxy_cpu)
        window = Window(_WARM_SECONDS, rig.seconds, meter.begin, meter.end)
        drops = dropped_datagrams()
        traffic = run_requests(rig.echo, target, _REQUESTS, window)
        drops = dropped_datagrams() - drops
    cpu_s = meter.cpu_seconds
    return _common_figures(traffic, meter, drops) | {
        "sessions": traffic.answered,
        "sessions_per_s": traffic.answered / traffic.seconds,
        "sessions_per_cpu_s": traffic.answered / cpu_s if cpu_s else 0.0,
        "cpu_us_per_session": cpu_s * 1e6 / max(1, traffic.answered),
    }


def measure_session_memory(rig: Rig, product: Product | None, _flows: int) -> Figures:
    """Measure what the processes' memory grows by for each session that is open and idle."""
    with rig.proxy(product, Scene()) as (target, pids):
        clients = Clients(target)
        open_sessions(rig.echo, clients, 0, _FEW_SESSIONS)
        time.sleep(_SETTLE_SECONDS)
        few = memory(pids)
        open_sessions(rig.echo, clients, _FEW_SESSIONS, _MANY_SESSIONS)
        time.sleep(_SETTLE_SECONDS)
        many = memory(pids)
        clients.close()
    return {
        "sessions": _MANY_SESSIONS,
        "bytes_per_session": (many.pss_bytes - few.pss_bytes) / (_MANY_SESSIONS - _FEW_SESSIONS),
        "few_sessions_pss_mb": few.pss_bytes / _MEGABYTE,
        "pss_mb": many.pss_bytes / _MEGABYTE,
        "rss_mb": many.rss_bytes / _MEGABYTE,
    }


def measure_idle(rig: Rig, product: Product | None, _flows: int) -> Figures:
    """Measure a proxy with two workers that has nothing to do."""
    with rig.proxy(product, Scene(workers=2)) as (_, pids):
        time.sleep(_SETTLE_SECONDS)
        used_ns = cpu_ns(pids)
        time.sleep(_SETTLE_SECONDS)
        used_ns = cpu_ns(pids) - used_ns
        held = memory(pids)
    return {
        "processes": len(pids),
        "cpu_percent": 100 * used_ns / (_SETTLE_SECONDS * NANOSECONDS),
        "pss_mb": held.pss_bytes / _MEGABYTE,
        "rss_mb": held.rss_bytes / _MEGABYTE,
    }


def _datagram_figures(traffic: Traffic, meter: Meter, drops: int) -> dict[str, float]:
    """Count datagrams in both directions: a round trip is two."""
    datagrams, cpu_s = 2 * traffic.answered, meter.cpu_seconds
    return _common_figures(traffic, meter, drops) | {
        "datagrams_per_s": datagrams / traffic.seconds,
        "datagrams_per_cpu_s": datagrams / cpu_s if cpu_s else 0.0,
        "cpu_us_per_datagram": cpu_s * 1e6 / max(1, datagrams),
    }


def _common_figures(traffic: Traffic, meter: Meter, drops: int) -> dict[str, float]:
    latencies = sorted(traffic.latencies_ns)
    return {
        "seconds": traffic.seconds,
        "busy_percent": 100 * meter.cpu_seconds / traffic.seconds,
        "softirq_percent": 100 * meter.softirq_seconds / traffic.seconds,
        "others_percent": 100 * max(0.0, meter.core_seconds - meter.cpu_seconds) / traffic.seconds,
        "load_percent": 100 * meter.load_seconds / traffic.seconds,
        "p50_us": percentile(latencies, 50) / 1e3,
        "p99_us": percentile(latencies, 99) / 1e3,
        "offered": traffic.offered,
        "lost": traffic.lost,
        "lost_percent": 100 * traffic.lost / max(1, traffic.offered),
        "buffer_drops": drops,
        "pss_mb": meter.memory.pss_bytes / _MEGABYTE,
        "rss_mb": meter.memory.rss_bytes / _MEGABYTE,
    }
