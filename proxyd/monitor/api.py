"""The monitor's answers for programs: JSON, of what stands in shared memory at the moment. See docs/monitoring.md.

Lists are paged: an answer has at most `limit` items, and under `next` where to go on, null at the end. Nothing is kept
between two requests, so what begins or ends meanwhile may be missed, and nothing is shown twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from proxyd.control.protocol import NUMBER, Slots
from proxyd.control.sessions import Filter, Reader, Session, SessionError, parse_peer
from proxyd.monitor import transfers
from proxyd.monitor.view import View
from workers.contract.settings import SessionKind
from workers.contract.slots import SLOT, Counter, Region
from workers.contract.tallies import LAG_BOUNDS_NS

LIMIT, MAX_LIMIT = 100, 1000
MAX_LOOKED_AT = 20_000
"""Slots that one request looks at: what no filter lets through costs time too."""
_NS = 1e9


class QueryError(Exception):
    """A parameter that is none, or has no such value."""


class Place(NamedTuple):
    """Where a list goes on: a worker and a slot."""

    worker: int
    slot: int


def status(view: View) -> dict[str, Any]:
    """Return the state of the proxy, its counters, its workers and its processes."""
    reloads = view.board.reloads
    found: dict[str, Any] = {
        "program": view.program,
        "name": view.name,
        "version": view.version,
        "file": view.file,
        "started_unix": view.started_unix,
        "now_unix": time.time(),
        "generation": view.generation,
        "state": view.state,
        "ready": view.ready,
        "draining": view.draining,
        "sessions": view.total(Counter.SESSIONS),
        "max_sessions": view.max_sessions,
        "sessions_opened": view.total(Counter.SESSIONS_OPENED),
        "sessions_closed": {} if view.is_uftp else view.closes(),
        "out": _way(view, Counter.RECEIVED_OUT, Counter.FORWARDED_OUT, Counter.BYTES_OUT, "out"),
        "in": _way(view, Counter.RECEIVED_IN, Counter.FORWARDED_IN, Counter.BYTES_IN, "in"),
        "kernel_rx_overflow": view.total(Counter.QUEUE_OVERFLOW),
        "log_records": view.total(Counter.LOG_RECORDS),
        "log_records_shed": view.total(Counter.LOG_SHED),
        "workers": [_worker(index, region) for index, region in enumerate(view.regions)],
        "processes": [found._asdict() for found in view.board.processes()],
        "upstreams": _upstreams(view),
        "reload": reloads._asdict(),
    }
    if view.is_uftp:
        found["facts"] = {fact.name: fact.value for fact in transfers.facts(view)}
        found["out"]["dropped"] = transfers.drops(view)
    return found


def _way(view: View, received: Counter, forwarded: Counter, octets: Counter, direction: str) -> dict[str, Any]:
    return {
        "received": view.total(received),
        "forwarded": view.total(forwarded),
        "bytes": view.total(octets),
        "dropped": {} if view.is_uftp else view.drops(direction),
    }


def _upstreams(view: View) -> list[dict[str, Any]]:
    now_ns, now = time.monotonic_ns(), time.time()
    return [{"target": one.name, "up": one.up, "answered_unix": one.answered_unix(now_ns, now)} for one in view.heard()]


def _worker(index: int, region: Region) -> dict[str, Any]:
    words = region.words
    turns = sum(words[Counter.LAG : Counter.LAG + len(LAG_BOUNDS_NS) + 1])
    return {
        "index": index,
        "sessions": region.sessions,
        "draining": bool(words[Counter.DRAINING]),
        "received": words[Counter.RECEIVED_OUT] + words[Counter.RECEIVED_IN],
        "forwarded": words[Counter.FORWARDED_OUT] + words[Counter.FORWARDED_IN],
        "bytes": words[Counter.BYTES_OUT] + words[Counter.BYTES_IN],
        "overflow": words[Counter.QUEUE_OVERFLOW],
        "loop_turns": turns,
        "loop_seconds": words[Counter.LAG_NS] / _NS,
    }


def acls(view: View) -> dict[str, Any]:
    """Return the rules in their order, with what each has decided."""
    by_name = {rule.name: rule for rule in view.present_rules}
    rows = []
    for found in view.rule_figures():
        rule = by_name.get(found.name)
        rows.append(
            {
                "name": found.name,
                "accept": None if rule is None else rule.accept,
                "type": found.type or None,
                "accepted": found.accepted,
                "rejected": found.rejected,
                "opened": found.opened,
            }
        )
    return {"acls": rows}


def listeners(view: View) -> dict[str, Any]:
    """Return the listeners in their order, with what each has received; and what server sides have lost."""
    lines = view.line_figures()
    return {
        "listeners": [
            {
                "address": figures.address,
                "transparent": listener.transparent,
                "device": listener.device,
                "received": figures.received,
                "bytes": figures.bytes,
                "overflow": figures.lost,
            }
            for listener, figures in zip(view.listeners, lines, strict=False)
        ],
        "server_side_overflow": None if view.is_uftp else lines[-1].lost,
    }


# --- sessions --------------------------------------------------------------------------------------------------------


def _positive(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ValueError(text)
    return int(text)


_PEER, _SECONDS = "an address, a network, or one of them with a port", "seconds, 0 or more"
_TYPES = ", ".join(kind.value for kind in SessionKind)
_FILTERS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "id": ("ids", lambda text: tuple(text.split(",")), "ids"),
    "client": ("client", parse_peer, _PEER),
    "server": ("server", parse_peer, _PEER),
    "acl": ("acl", str, "a name"),
    "type": ("type", lambda text: SessionKind(text).value, f"one of {_TYPES}"),
    "worker": ("worker", _count, "a number"),
    "idle": ("idle_s", _positive, _SECONDS),
    "older": ("older_s", _positive, _SECONDS),
}
"""Parameters, as proxyctl calls its options, with the fields of a Filter, and what values are to be."""
_PAGING = ("limit", "cursor")


def parse_filter(query: Mapping[str, str]) -> Filter:
    """Return which sessions a query means. Raises QueryError."""
    refuse_others(query, (*_FILTERS, *_PAGING))
    values: dict[str, Any] = {}
    for name, text in query.items():
        if name in _PAGING:
            continue
        field, parse, wanted = _FILTERS[name]
        try:
            values[field] = parse(text)
        except (ValueError, SessionError) as error:
            raise QueryError(f"{name}: found '{text}'; wanted {wanted}") from error
    return Filter(**values)


def refuse_others(query: Mapping[str, str], known: Collection[str] = ()) -> None:
    """Refuse parameters that there are not. Raises QueryError."""
    for name in query:
        if name not in known:
            raise QueryError(f"there is no parameter '{name}'; there are {', '.join(known) or 'none'}")


def parse_page(query: Mapping[str, str]) -> tuple[int, Place]:
    """Return how many items are wanted, and from where on. Raises QueryError."""
    size, cursor = query.get("limit", str(LIMIT)), query.get("cursor", "0.0")
    if not (size.isascii() and size.isdigit() and len(size) < 6 and 0 < int(size) <= MAX_LIMIT):
        raise QueryError(f"limit: found '{size}'; wanted 1 to {MAX_LIMIT}")
    worker, dot, slot = cursor.partition(".")
    try:
        return int(size), Place(_count(worker), _count(slot) if dot else 0)
    except ValueError as error:
        raise QueryError(f"cursor: found '{cursor}'; wanted what `next` said") from error


def sessions(view: View, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of the sessions that a query means. Raises QueryError."""
    wanted, (limit, place) = parse_filter(query), parse_page(query)
    everything = wanted.empty
    found: list[Session] = []
    following: Place | None = None
    for looked_at, (at, session) in enumerate(_read(view, place)):
        if looked_at >= MAX_LOOKED_AT or len(found) >= limit:
            following = at
            break
        if session is not None and (everything or wanted.fits(session)):
            found.append(session)
    return {
        "sessions": found,
        "open": view.total(Counter.SESSIONS),
        "next": None if following is None else f"{following.worker}.{following.slot}",
    }


def _read(view: View, place: Place) -> Iterator[tuple[Place, Session | None]]:
    """Yield what stands in the slots that are in use, from a place on; None for what cannot be read now."""
    reader = Reader(view.present_rules, list(view.listeners), view.generation, view.rules)
    for worker in range(place.worker, len(view.regions)):
        region = view.regions[worker]
        first = place.slot if worker == place.worker else 0
        now_ns = time.monotonic_ns()
        for slot in open_slots(region, first):
            start = region.offset(slot)
            record = region.memory[start : start + SLOT.size]
            part = Slots(worker, now_ns, NUMBER.pack(slot) + record)
            session = next(reader.read(part), None)
            yield Place(worker, slot), session


def open_slots(region: Region, first: int = 0) -> Iterator[int]:
    """Yield the slots from a first one on in which something stands."""
    top = min(region.words[Counter.TOP], region.slot_count)
    if first >= top:
        return
    # One byte of each slot, taken in one go: most slots of a large region may be empty.
    size = (region.offset(1) - region.offset(0)) if region.slot_count > 1 else SLOT.size
    states = region.memory[region.offset(first) : region.offset(top - 1) + 1 : size]
    for slot, state in enumerate(states, first):
        if state:
            yield slot
