"""A proxy's counters as metrics: read from shared memory whenever somebody asks.

Names begin with the program's; units are base units; counters only grow, whatever happens to a worker. Labels have few
values each: what the configuration names, or what this program has words for.
Source: OpenMetrics 1.0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from proxyd.monitor import transfers
from proxyd.monitor.exposition import Kind, Metric, Sample, counter, gauge, histogram
from proxyd.monitor.view import DIRECTIONS, View
from workers.contract.slots import Counter
from workers.contract.tallies import LAG_BOUNDS_NS

PREFIXES = {"udp-proxy": "udp_proxy", "uftpproxyd": "uftp_proxy"}
_NS = 1e9
_BOUNDS = (*(str(bound / _NS) for bound in LAG_BOUNDS_NS), "+Inf")
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
_SENT: tuple[tuple[str, str, Counter], ...] = (
    ("datagrams_received", "Datagrams that reached the proxy.", Counter.RECEIVED_OUT),
    ("datagrams_sent", "Datagrams sent.", Counter.FORWARDED_OUT),
    ("bytes_sent", "Payload bytes sent.", Counter.BYTES_OUT),
)
Make = Callable[[str, str, Iterable[Sample]], Metric]


def collect(view: View) -> Iterator[Metric]:
    """Yield every metric as it is now."""
    prefix = PREFIXES.get(view.program, view.program.replace("-", "_"))
    for metric in _collect(view):
        yield metric._replace(name=f"{prefix}_{metric.name}")


def _collect(view: View) -> Iterator[Metric]:
    yield from _gauges(view)
    yield from _transfers(view) if view.is_uftp else _sessions(view)
    yield from _listeners(view)
    yield from (_one(counter, name, text, view.total(word)) for name, text, word in _LOGGED)
    yield _lag(view)
    yield from _processes(view)
    yield from _configuration(view)


def _one(make: Make, name: str, text: str, value: float) -> Metric:
    return make(name, text, (Sample((), value),))


def _by(label: str, values: Iterable[tuple[str, float]]) -> Iterator[Sample]:
    return (Sample(((label, word),), value) for word, value in values)


# --- of every program ------------------------------------------------------------------------------------------------


def _gauges(view: View) -> Iterator[Metric]:
    noun, what = ("groups", "transfers") if view.is_uftp else ("sessions", "sessions")
    for name, text, value in (
        (noun, f"Open {what}.", view.total(Counter.SESSIONS)),
        (f"max_{noun}", f"{what.capitalize()} there may be at once.", view.max_sessions),
        ("workers", "Worker processes.", len(view.regions)),
        ("ready", "1 when new clients are served.", view.ready),
        ("draining", f"1 when none of the {what} may begin any more.", view.draining),
        ("start_time_seconds", "When the proxy began, in seconds since 1970.", view.started_unix),
    ):
        yield _one(gauge, name, text, value)
    if not view.is_uftp:
        carried = view.total(Counter.CARRIED)
        yield _one(gauge, "sessions_carried", "Open sessions that the kernel carries: see offload.", carried)
    by_worker = ((str(index), region.sessions) for index, region in enumerate(view.regions))
    yield gauge(f"worker_{noun}", f"Open {what} by worker.", _by("worker", by_worker))


def _lag(view: View) -> Metric:
    samples: list[Sample] = []
    for index, region in enumerate(view.regions):
        counts = region.words[Counter.LAG : Counter.LAG + len(_BOUNDS)]
        buckets = zip(_BOUNDS, counts, strict=True)
        samples += histogram((("worker", str(index)),), buckets, region.words[Counter.LAG_NS] / _NS)
    text = "How long a worker's loop took before it looked at its sockets again."
    return Metric("event_loop_lag_seconds", text, Kind.HISTOGRAM, samples)


def _processes(view: View) -> Iterator[Metric]:
    found, label = view.board.processes(), "process"
    text = "Processes that were started in the place of each, the present one included."
    yield counter("process_starts", text, _by(label, ((one.name, one.lives) for one in found)))
    text = "Processor time that each present process has used."
    yield counter("process_cpu_seconds", text, _by(label, ((one.name, one.cpu_ns / _NS) for one in found if one.pid)))
    memory = ((one.name, one.rss_bytes) for one in found if one.rss_bytes is not None)
    yield gauge("process_resident_memory_bytes", "Resident memory of each process.", _by(label, memory))
    descriptors = ((one.name, one.descriptors) for one in found if one.descriptors is not None)
    yield gauge("process_open_fds", "Descriptors that each process has open.", _by(label, descriptors))


def _configuration(view: View) -> Iterator[Metric]:
    reloads = view.board.reloads
    read_unix = view.started_unix if reloads.last_unix is None else reloads.last_unix
    for name, text, value in (
        ("config_generation", "Number of the configuration that runs, from 1.", view.generation),
        ("config_last_reload_successful", "0 when the last reload failed.", not reloads.last_failed),
        ("config_last_reload_timestamp_seconds", "When the configuration was read last, since 1970.", read_unix),
    ):
        yield _one(gauge, name, text, value)
    results = (("ok", reloads.done), ("failed", reloads.failed))
    yield counter("config_reloads", "Reloads, by how they ended.", _by("result", results))
    labels = (("version", view.version), ("name", view.name))
    yield gauge("build_info", "What runs.", (Sample(labels, 1),))


def _listeners(view: View) -> Iterator[Metric]:
    lines, label = view.line_figures(), "listener"
    text = "Datagrams the kernel dropped because a socket's queue was full."
    yield counter("kernel_rx_overflow", text, _by(label, ((line.address, line.lost) for line in lines)))
    if view.is_uftp:
        return
    received = ((line.address, line.received) for line in lines[:-1])
    yield counter("listener_datagrams_received", "Datagrams that reached a listener.", _by(label, received))
    forwarded = ((line.address, line.bytes) for line in lines[:-1])
    yield counter("listener_bytes", "Payload bytes from a listener that were forwarded.", _by(label, forwarded))


# --- of one with sessions --------------------------------------------------------------------------------------------


def _sessions(view: View) -> Iterator[Metric]:
    rules = list(view.rule_figures())
    opened = (
        Sample((("acl", rule.name), ("type", rule.type)), rule.opened) for rule in rules if rule.type or rule.accepted
    )
    yield counter("sessions_opened", "Sessions begun, by the rule that let them in.", opened)
    yield counter("sessions_closed", "Sessions ended, by reason.", _by("reason", view.closes().items()))
    hits = (
        Sample((("acl", rule.name), ("verdict", verdict)), count)
        for rule in rules
        for verdict, count in (("accepted", rule.accepted), ("rejected", rule.rejected))
    )
    yield counter("acl_hits", "Searches that a rule has decided.", hits)
    for name, text, words in _BY_DIRECTION:
        ways = ((direction, view.total(word)) for direction, word in words.items())
        yield counter(name, text, _by("direction", ways))
    dropped = (
        Sample((("direction", direction), ("reason", reason)), count)
        for direction in DIRECTIONS
        for reason, count in view.drops(direction).items()
    )
    yield counter("dropped", "Datagrams received and not forwarded.", dropped)
    yield from _servers(view)


def _servers(view: View) -> Iterator[Metric]:
    """Yield what is known of the servers that rules plug to, and how far behind what is kept of sessions may be."""
    now_ns, now = time.monotonic_ns(), time.time()
    heard, label = list(view.heard()), "target"
    text = "1 when the last that was heard of a server is an answer, 0 when it is that nobody takes datagrams there."
    yield gauge("upstream_up", text, _by(label, ((one.name, one.up) for one in heard)))
    times = ((one.name, one.answered_unix(now_ns, now)) for one in heard)
    answers = ((name, when) for name, when in times if when is not None)
    text = "When a server has answered last, in seconds since 1970."
    yield gauge("upstream_last_answer_timestamp_seconds", text, _by(label, answers))
    times = ((one.name, one.refused_unix(now_ns, now)) for one in heard)
    refusals = ((name, when) for name, when in times if when is not None)
    text = "When it was heard last that nobody takes datagrams at a server, in seconds since 1970."
    yield gauge("upstream_last_refusal_timestamp_seconds", text, _by(label, refusals))
    lags = ((str(index), lag_ns / _NS) for index, lag_ns in enumerate(view.saved_ns(now_ns)))
    text = "How old what is kept of sessions for another worker may be: what would be lost of counters by a death."
    yield gauge("store_lag_seconds", text, _by("worker", lags))


# --- of one with transfers -------------------------------------------------------------------------------------------


def _transfers(view: View) -> Iterator[Metric]:
    for name, text, word in _SENT:
        yield _one(counter, name, text, view.total(word))
    for fact in transfers.facts(view)[1:]:  # the first one is how many there are, which every program says
        yield _one(counter if fact.grows else gauge, fact.name, fact.text, fact.value)
    text = "Datagrams with which nothing was done, or not all they asked for, and datagrams that could not be sent."
    yield counter("dropped", text, _by("reason", transfers.drops(view).items()))
