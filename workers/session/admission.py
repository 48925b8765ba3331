"""Whether a datagram may open a session, by which rule, and to what target. Sans-I/O.

Consulted once a session, never again while it lasts (K-18). Source: udp-proxy(8), Server connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from workers.contract.settings import AclSettings, Address, HostName, Sock
from workers.contract.slots import DropReason
from workers.policy.acl import Request, Rules, compile_rules
from workers.policy.hostset import NameBook, Peer
from workers.policy.timecond import CivilTime
from workers.session.kinds import BEHAVIOURS, Behaviour
from workers.session.session import Budgets
from workers.wire.sockaddr import decode, encode

CACHE_ENTRIES = 4096
"""Grants remembered for rule sets that look at the client's address alone: 1 µs instead of 5 a session."""


class Arrival(NamedTuple):
    """A datagram that belongs to no session: the listener's number, and raw socket addresses."""

    listener: int
    source: bytes
    destination: bytes


class Grant(NamedTuple):
    """The rule that decided, and what a session gets from it. refusal: why there is none, None if there is one.

    target: raw socket address; empty where there is no session.
    """

    rule: AclSettings | None
    refusal: DropReason | None
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class Terms:
    """What every session of a rule shares, compiled once."""

    budgets: Budgets
    behaviour: Behaviour


class Admission:
    """The rules of one configuration and the current addresses of its names."""

    def __init__(self, acls: tuple[AclSettings, ...], civil_time: Callable[[], CivilTime]) -> None:
        self._acls = acls
        self._rules: Rules = compile_rules(acls)
        self._civil_time = civil_time
        self._names: NameBook = {}
        self._cache: dict[tuple[int, bytes], Grant] = {}
        self._cacheable = self._rules.static_by_client and all(_fixed_target(acl) for acl in acls)
        self.terms: dict[str, Terms] = {acl.name: _terms(acl) for acl in acls if acl.accept}

    def learn_names(self, names: Mapping[str, frozenset[Address]]) -> None:
        """Replace the addresses of the configuration's host names."""
        self._names = names
        self._cache.clear()

    def decide(self, arrival: Arrival) -> Grant:
        """Find the rule for a new session, and its target."""
        if not self._cacheable:
            return self._search(arrival)
        source = arrival.source
        key = (arrival.listener, source[4:8] if len(source) == 16 else source[8:24])
        grant = self._cache.get(key)
        if grant is None:
            if len(self._cache) >= CACHE_ENTRIES:
                self._cache.clear()
            grant = self._cache[key] = self._search(arrival)
        return grant

    def _search(self, arrival: Arrival) -> Grant:
        client, client_port = decode(arrival.source)
        destination, destination_port = decode(arrival.destination)
        request = Request(
            client=Peer(client, None),
            client_port=client_port,
            destination=Peer(destination, None),
            destination_port=destination_port,
            transparent=False,
            when=self._civil_time(),
        )
        index = self._rules.search(request, self._names)
        if index is None:
            return Grant(None, DropReason.REJECTED)
        rule = self._acls[index]
        if not rule.accept:
            return Grant(rule, DropReason.REJECTED)
        if rule.plug_to is None:
            return Grant(rule, DropReason.NO_PLUG_TO)
        target = self._target(rule.plug_to, destination.version, destination_port)
        return Grant(rule, None, target) if target else Grant(rule, DropReason.NO_TARGET)

    def _target(self, plug: Sock, version: int, port: int) -> bytes:
        """Return the target's raw address, empty if its name has none; the client's IP version is preferred."""
        if plug.port is not None:
            port = plug.port
        if not isinstance(plug.host, HostName):
            return encode(plug.host, port)
        known = sorted(self._names.get(plug.host.name, ()), key=lambda address: (address.version != version, address))
        return encode(known[0], port) if known else b""


def _terms(acl: AclSettings) -> Terms:
    """Compile what a rule gives; limits on what never comes in are ignored, as the configuration's check has warned."""
    behaviour = BEHAVIOURS[acl.kind]
    limits = acl.limits
    if not behaviour.answers:
        limits = replace(limits, max_dgrams_in=None, max_bytes_in=None, in_ns=None)
    return Terms(Budgets.of(limits), behaviour)


def _fixed_target(acl: AclSettings) -> bool:
    """Tell whether the rule's target depends on neither name nor original destination."""
    plug = acl.plug_to
    return plug is None or (not isinstance(plug.host, HostName) and plug.port is not None)
