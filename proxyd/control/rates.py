"""How fast it goes: two looks at a proxy, and what came to pass between them, by session, rule, listener and group.

Only computes. A session's numbers in shared memory are at most a second old, so that over a second or two its rate may
be off by as much; sums are as exact. Source: proxyctl(8), top.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from proxyd.control.groups import Group
from proxyd.control.inquiry import Hits, State
from proxyd.control.sessions import Filter, Session

SHORTEST_S = 0.001


@dataclass(frozen=True)
class Sample:
    """A proxy at a time, in seconds of whatever clock."""

    at_s: float
    state: State
    sessions: list[Session]
    hits: Hits
    groups: list[Group]


class Flow(msgspec.Struct, frozen=True):
    """Datagrams and bytes a second; out is client to server."""

    datagrams_out: float = 0.0
    datagrams_in: float = 0.0
    bytes_out: float = 0.0
    bytes_in: float = 0.0

    def __add__(self, other: Flow) -> Flow:
        return Flow(
            self.datagrams_out + other.datagrams_out,
            self.datagrams_in + other.datagrams_in,
            self.bytes_out + other.bytes_out,
            self.bytes_in + other.bytes_in,
        )

    @property
    def datagrams(self) -> float:
        """Both ways."""
        return self.datagrams_out + self.datagrams_in

    @property
    def bytes(self) -> float:
        """Both ways."""
        return self.bytes_out + self.bytes_in


class SessionRate(msgspec.Struct, frozen=True):
    """A session, and how fast it goes."""

    session: Session
    flow: Flow


class SumRate(msgspec.Struct, frozen=True):
    """A rule or a listener: its sessions, how fast they go together, what it counted since the start and a second ago.

    Of a rule: clients accepted and rejected. Of a listener: datagrams received, and lost in its full queue.
    """

    name: str
    sessions: int
    flow: Flow
    first: int
    second: int
    first_s: float
    second_s: float


class GroupRate(msgspec.Struct, frozen=True):
    """A UFTP group, and how fast it goes towards its clients."""

    group: Group
    flow: Flow


class View(msgspec.Struct, frozen=True):
    """What came to pass in span_s seconds. total, dropped_s: of the whole proxy, whatever was filtered."""

    span_s: float
    state: State
    total: Flow
    dropped_s: float
    opened_s: float
    sessions: list[SessionRate]
    rules: list[SumRate]
    listeners: list[SumRate]
    groups: list[GroupRate]


def at_start(now: Sample) -> Sample:
    """Return the proxy as it was when it began: compared with that, rates are averages of all the time."""
    state = now.state
    proxy = msgspec.structs.replace(state.proxy, totals={}, dropped_out={}, dropped_in={})
    bare = State(proxy, state.workers, state.listeners, state.rules)
    return Sample(now.at_s - state.proxy.uptime_s, bare, [], Hits([], []), [])


def compare(before: Sample, now: Sample, wanted: Filter) -> View:
    """Return what came to pass between two looks, of the sessions that are meant."""
    span_s = max(now.at_s - before.at_s, SHORTEST_S)
    known = {session.id: session for session in before.sessions}
    rates = [
        SessionRate(session, _flow(session, known.get(session.id), span_s))
        for session in now.sessions
        if wanted.fits(session)
    ]
    earlier, later = before.state.proxy, now.state.proxy
    totals = {name: later.totals[name] - earlier.totals.get(name, 0) for name in later.totals}
    dropped = sum(_sum(later.dropped_out, later.dropped_in)) - sum(_sum(earlier.dropped_out, earlier.dropped_in))
    groups = {group.id: group for group in before.groups}
    return View(
        span_s=span_s,
        state=now.state,
        total=Flow(
            totals["forwarded_out"] / span_s,
            totals["forwarded_in"] / span_s,
            totals["bytes_out"] / span_s,
            totals["bytes_in"] / span_s,
        ),
        dropped_s=dropped / span_s,
        opened_s=totals["opened"] / span_s,
        sessions=rates,
        rules=_sums(((rate.session.acl, rate.flow) for rate in rates), _rules(before), _rules(now), span_s),
        listeners=_sums(((rate.session.listener, rate.flow) for rate in rates), _lines(before), _lines(now), span_s),
        groups=[GroupRate(group, _group_flow(group, groups.get(group.id), span_s)) for group in now.groups],
    )


def _flow(session: Session, before: Session | None, span_s: float) -> Flow:
    """Return a session's rates; of one that is new, since it began."""
    counts = (session.datagrams_out, session.datagrams_in, session.bytes_out, session.bytes_in)
    if before is None:
        span_s = min(max(session.age_s, SHORTEST_S), span_s)
        return Flow(*(count / span_s for count in counts))
    earlier = (before.datagrams_out, before.datagrams_in, before.bytes_out, before.bytes_in)
    return Flow(*(max(count - was, 0) / span_s for count, was in zip(counts, earlier, strict=True)))


def _group_flow(group: Group, before: Group | None, span_s: float) -> Flow:
    datagrams, size = (0, 0) if before is None else (before.datagrams, before.bytes)
    span_s = span_s if before is not None else min(max(group.age_s, SHORTEST_S), span_s)
    return Flow(0.0, max(group.datagrams - datagrams, 0) / span_s, 0.0, max(group.bytes - size, 0) / span_s)


def _rules(sample: Sample) -> dict[str, tuple[int, int]]:
    return {name: (accepted, rejected) for name, accepted, rejected, _ in sample.hits.rules}


def _lines(sample: Sample) -> dict[str, tuple[int, int]]:
    return {address: (received, lost) for address, received, _, lost in sample.hits.listeners}


def _sums(
    flows: Iterable[tuple[str, Flow]],
    before: dict[str, tuple[int, int]],
    now: dict[str, tuple[int, int]],
    span_s: float,
) -> list[SumRate]:
    """Add sessions up by name, in the order of the configuration."""
    sums: dict[str, tuple[int, Flow]] = {name: (0, Flow()) for name in now}
    for name, flow in flows:
        count, total = sums.get(name, (0, Flow()))
        sums[name] = count + 1, total + flow
    found = []
    for name, (count, total) in sums.items():
        (first, second), (first_was, second_was) = now.get(name, (0, 0)), before.get(name, (0, 0))
        rates = max(first - first_was, 0) / span_s, max(second - second_was, 0) / span_s
        found.append(SumRate(name, count, total, first, second, *rates))
    return found


def _sum(*reasons: dict[str, int]) -> Iterable[int]:
    return (count for part in reasons for count in part.values())
