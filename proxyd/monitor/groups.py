"""The transfers that UFTP workers relay, as the monitor shows them. Source: workers.contract.groups."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from proxyd.logs.fields import FieldError, decode_sockaddr
from proxyd.monitor.api import Place, open_slots, parse_page, refuse_others
from proxyd.monitor.view import View
from workers.contract.groups import GROUP, GroupFlag, GroupPhase
from workers.contract.slots import Counter

_NS = 1e9
_PHASES = {phase.value: phase.name.lower() for phase in GroupPhase}


class Group(msgspec.Struct, frozen=True):
    """One transfer. Times in seconds. bytes: passed on to the clients' side, file_bytes of them since the file began.

    file_size 0: not known. clients, ready: None where the proxy does not know them.
    """

    id: str
    worker: int
    phase: str
    encrypted: bool
    server: str
    to: str
    server_uid: str
    clients: int | None
    ready: int | None
    age_s: float
    idle_s: float
    rtt_s: float
    datagrams: int
    bytes: int
    file: str
    file_size: int
    file_bytes: int
    file_age_s: float | None


def groups(view: View, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of the transfers. Raises QueryError."""
    refuse_others(query, ("limit", "cursor"))
    limit, place = parse_page(query)
    found: list[Group] = []
    following: Place | None = None
    for at, group in _read(view, place) if view.is_uftp else ():
        if len(found) >= limit:
            following = at
            break
        if group is not None:
            found.append(group)
    return {
        "groups": found,
        "open": view.total(Counter.SESSIONS) if view.is_uftp else 0,
        "next": None if following is None else f"{following.worker}.{following.slot}",
    }


def _read(view: View, place: Place) -> Iterator[tuple[Place, Group | None]]:
    for worker in range(place.worker, len(view.regions)):
        region = view.regions[worker]
        now_ns = time.monotonic_ns()
        for slot in open_slots(region, place.slot if worker == place.worker else 0):
            yield Place(worker, slot), _group(worker, GROUP.unpack_from(region.memory, region.offset(slot)), now_ns)


def _group(worker: int, fields: tuple[Any, ...], now_ns: int) -> Group | None:
    """Return a record made readable, None for one that is being written."""
    _, phase, flags, instance, group_id, uid, clients, ready, rtt_us, file_id, _robust, _block, *rest = fields
    began_ns, heard_ns, file_ns, datagrams, octets, file_octets, file_size, server, to, name = rest
    try:
        ends = _sock(server), _sock(to)
    except FieldError:
        return None
    gathers = bool(flags & GroupFlag.GATHERS)
    return Group(
        id=f"{group_id:08X}/{instance:02X}",
        worker=worker,
        phase=_PHASES.get(phase, "?"),
        encrypted=bool(flags & GroupFlag.ENCRYPTED),
        server=ends[0],
        to=ends[1],
        server_uid=f"{uid:08X}",
        clients=clients if gathers else None,
        ready=ready if gathers else None,
        age_s=_seconds(now_ns - began_ns),
        idle_s=_seconds(now_ns - heard_ns),
        rtt_s=rtt_us / 1e6,
        datagrams=datagrams,
        bytes=octets,
        file=name.rstrip(b"\0").decode("utf-8", "replace"),
        file_size=file_size,
        file_bytes=file_octets,
        file_age_s=_seconds(now_ns - file_ns) if file_id else None,
    )


def _sock(raw: bytes) -> str:
    if not any(raw):
        return "-"
    address, port = decode_sockaddr(raw)
    return f"[{address}]:{port}"


def _seconds(ns: int) -> float:
    return round(max(ns, 0) / _NS, 3)
