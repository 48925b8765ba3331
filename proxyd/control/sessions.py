"""Sessions as they come from a proxy's shared memory, made readable: who with whom, by which rule, how long still.

What a record holds is at most a second old. Sessions that are younger than 0.2 s have no record yet.
Source: workers.contract.slots.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from proxyd.control.protocol import NUMBER, ListenerState, RuleState, Slots
from proxyd.errors import ProxydError
from proxyd.logs.fields import FieldError, decode_sockaddr
from workers.contract.settings import SessionKind
from workers.contract.slots import GENERATIONS, SLOT, TRANSPARENT, SlotFields

_KINDS = tuple(kind.value for kind in SessionKind)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_STAMP_DIGITS = 5
NS = 1e9
CACHED = 32_768
"""Addresses and ids remembered: who looks at the same sessions every few seconds saves half of the work."""


class SessionError(ProxydError):
    """What was given is no session's id, or no address to look for."""


class Session(msgspec.Struct, frozen=True):
    """One session. Times in seconds; in is server to client, out is client to server.

    id: worker, slot, and when it began: no other session ever has it. ends_in_s: when time ends it if nothing more
    comes, by which limit; None: time never does. generation: of the configuration that acl is a rule of, its low 16
    bits. bytes are those passed, received those that came.
    """

    id: str
    worker: int
    slot: int
    began_ns: int
    acl: str
    type: str
    transparent: bool
    listener: str
    client: str
    destination: str
    server: str
    local: str
    age_s: float
    idle_s: float
    idle_in_s: float
    idle_out_s: float
    ends_in_s: float | None
    ends_by: str | None
    datagrams_in: int
    datagrams_out: int
    bytes_in: int
    bytes_out: int
    received_bytes_in: int
    received_bytes_out: int
    generation: int = 1


@lru_cache(maxsize=CACHED)
def session_id(worker: int, slot: int, began_ns: int) -> str:
    """Return a session's id, as `0.17.4f2k9`."""
    value, digits = began_ns // 1000, []
    for _ in range(_STAMP_DIGITS):
        value, digit = divmod(value, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return f"{worker}.{slot}.{''.join(reversed(digits))}"


class Reader:
    """Makes sessions of records. rules, listeners: the proxy's, in their order.

    generation: the present one. earlier: the rules of older ones, by their low 16 bits.
    """

    def __init__(
        self,
        rules: list[RuleState],
        listeners: list[ListenerState],
        generation: int = 1,
        earlier: Mapping[int, list[RuleState]] = MappingProxyType({}),
    ) -> None:
        self._rules = {**earlier, generation % GENERATIONS: rules}
        self._listeners = listeners

    def read(self, part: Slots) -> Iterator[Session]:
        """Yield the sessions of a message; records that are being written at this moment may be left out."""
        step = NUMBER.size + SLOT.size
        for start in range(0, len(part.records) - step + 1, step):
            (slot,) = NUMBER.unpack_from(part.records, start)
            record = SlotFields._make(SLOT.unpack_from(part.records, start + NUMBER.size))
            try:
                yield self._session(part, slot, record)
            except FieldError:
                continue

    def _session(self, part: Slots, slot: int, record: SlotFields) -> Session:
        rules = self._rules.get(record.generation, [])
        now, began, last_in, last_out = part.now_ns, record.opened_ns, record.last_in_ns, record.last_out_ns
        limits = rules[record.rule] if record.rule < len(rules) else None
        ends = None if limits is None else _end(limits, began, last_in, last_out)
        return Session(
            id=session_id(part.worker, slot, began),
            worker=part.worker,
            slot=slot,
            began_ns=began,
            acl=f"#{record.rule}" if limits is None else limits.name,
            type=_KINDS[record.kind] if record.kind < len(_KINDS) else "?",
            transparent=bool(record.flags & TRANSPARENT),
            listener=self._listeners[record.listener].address if record.listener < len(self._listeners) else "?",
            client=_sock(record.client),
            destination=_sock(record.destination),
            server=_sock(record.target),
            local=_sock(record.local),
            age_s=_seconds(now - began),
            idle_s=_seconds(now - max(last_in, last_out)),
            idle_in_s=_seconds(now - last_in),
            idle_out_s=_seconds(now - last_out),
            ends_in_s=None if ends is None else _seconds(ends[0] - now),
            ends_by=None if ends is None else ends[1],
            datagrams_in=record.dgrams_in,
            datagrams_out=record.dgrams_out,
            bytes_in=record.bytes_in,
            bytes_out=record.bytes_out,
            received_bytes_in=record.received_in,
            received_bytes_out=record.received_out,
            generation=record.generation,
        )


def _end(rule: RuleState, began: int, last_in: int, last_out: int) -> tuple[int, str] | None:
    """Return when time ends a session, and by which limit; None: never."""
    limits = (
        (began, rule.session_ns, "timeout-session"),
        (last_in, rule.in_ns, "timeout-in"),
        (last_out, rule.out_ns, "timeout-out"),
        (max(last_in, last_out), rule.both_ns, "timeout-both"),
    )
    return min(((since + limit, word) for since, limit, word in limits if limit is not None), default=None)


def _seconds(ns: int) -> float:
    return round(max(ns, 0) / NS, 3)


@lru_cache(maxsize=CACHED)
def _sock(raw: bytes) -> str:
    """Write a raw socket address, padded to an IPv6 one's length; an empty one is unspecified."""
    if not any(raw):
        return "-"
    address, port = decode_sockaddr(raw)
    return f"[{address}]:{port}"


# --- choosing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """Hosts to look for: a network, and a port; None: any."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    port: int | None

    def fits(self, sock: str) -> bool:
        """Tell whether an address as sessions write it is one of them."""
        address, _, port = sock.rpartition(":")
        if self.port is not None and port != str(self.port):
            return False
        if self.network is None:
            return True
        found = address.strip("[]").partition("%")[0]
        return bool(found) and found != "-" and ipaddress.ip_address(found) in self.network


def parse_peer(text: str) -> Peer:
    """Parse ADDRESS, ADDRESS/PREFIX, ADDRESS:PORT, [ADDRESS]:PORT or :PORT. Raises SessionError."""
    host, port = split_port(text)
    try:
        return Peer(ipaddress.ip_network(host, strict=False) if host else None, port)
    except ValueError:
        raise SessionError(f"found '{text}'; wanted an address, a network, or one of them with a port") from None


def split_port(text: str) -> tuple[str, int | None]:
    """Split an address from its port; IPv6 addresses with a port stand in brackets. Raises SessionError."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and "]" not in host) or "]" in port:
        return _bare(text), None
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise SessionError(f"found the port '{port}' in '{text}'; wanted a number up to 65535")
    return _bare(host), int(port)


def _bare(host: str) -> str:
    return host.replace("[", "").replace("]", "")


@dataclass(frozen=True)
class Filter:
    """Which sessions are meant; what is None is not looked at. ids: complete ones, or what they begin with up to a dot.

    idle_s, older_s: idle or old so many seconds at least.
    """

    ids: tuple[str, ...] = ()
    client: Peer | None = None
    server: Peer | None = None
    acl: str | None = None
    type: str | None = None
    worker: int | None = None
    idle_s: float | None = None
    older_s: float | None = None

    @property
    def empty(self) -> bool:
        """Whether it means all sessions."""
        return self == Filter()

    def fits(self, session: Session) -> bool:
        """Tell whether a session is meant."""
        return all(
            (
                not self.ids or session.id in self.ids or f"{session.worker}.{session.slot}" in self.ids,
                self.client is None or self.client.fits(session.client),
                self.server is None or self.server.fits(session.server),
                self.acl is None or session.acl == self.acl,
                self.type is None or session.type == self.type,
                self.worker is None or session.worker == self.worker,
                self.idle_s is None or session.idle_s >= self.idle_s,
                self.older_s is None or session.age_s >= self.older_s,
            )
        )


SORT_KEYS: dict[str, Callable[[Session], Any]] = {
    "age": lambda session: -session.age_s,
    "idle": lambda session: -session.idle_s,
    "bytes": lambda session: -(session.bytes_in + session.bytes_out),
    "datagrams": lambda session: -(session.datagrams_in + session.datagrams_out),
    "client": lambda session: session.client,
    "server": lambda session: session.server,
    "acl": lambda session: session.acl,
    "ends": lambda session: float("inf") if session.ends_in_s is None else session.ends_in_s,
}
"""How sessions can be sorted: the largest or the first one first."""


def select(sessions: Iterable[Session], wanted: Filter, key: str = "age", limit: int | None = None) -> list[Session]:
    """Return the sessions that are meant, sorted, the first ones up to limit."""
    found = sorted(filter(wanted.fits, sessions), key=SORT_KEYS[key])
    return found if limit is None else found[:limit]
