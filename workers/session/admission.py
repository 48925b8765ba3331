"""Whether a datagram may open a session, by which rule, and to what target. Sans-I/O.

Consulted once a session, never again while it lasts (K-18). Source: udp-proxy(8), Server connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from workers.contract.settings import AclSettings, Address, HostName
from workers.contract.slots import DropReason
from workers.policy.acl import Request, Rules, compile_rules, target_of
from workers.policy.hostset import NameBook, Peer
from workers.policy.timecond import CivilTime
from workers.session.kinds import BEHAVIOURS
from workers.session.session import Terms
from workers.wire.sockaddr import V4_BYTES, decode, encode

CACHE_ENTRIES = 4096
"""Grants remembered for rule sets that look at the client's address alone."""


class Grant(NamedTuple):
    """The rule that decided, None for none. refusal: why there is no session, or None and then terms and target."""

    rule: AclSettings | None
    refusal: DropReason | None
    terms: Terms | None = None
    target: bytes = b""


class Admission:
    """The rules of one configuration and the current addresses of its names."""

    def __init__(self, acls: tuple[AclSettings, ...], civil_time: Callable[[], CivilTime]) -> None:
        self._acls = acls
        self._rules: Rules = compile_rules(acls)
        self._civil_time = civil_time
        self._names: NameBook = {}
        self._cache: dict[tuple[int, bytes], Grant] = {}
        self._cacheable = self._rules.static_by_client and all(_fixed_target(acl) for acl in acls)
        self._terms = [_terms(acl) if acl.accept else None for acl in acls]

    def learn_names(self, names: Mapping[str, frozenset[Address]]) -> None:
        """Replace the addresses of the configuration's host names."""
        self._names = names
        self._cache.clear()

    def decide(self, listener: int, source: bytes, destination: bytes) -> Grant:
        """Find the rule and the target for a new session; source and destination are raw socket addresses."""
        if not self._cacheable:
            return self._search(source, destination)
        key = (listener, source[4:8] if len(source) == V4_BYTES else source[8:24])
        grant = self._cache.get(key)
        if grant is None:
            if len(self._cache) >= CACHE_ENTRIES:
                self._cache.clear()
            grant = self._cache[key] = self._search(source, destination)
        return grant

    def _search(self, source: bytes, destination: bytes) -> Grant:
        client, client_port = decode(source)
        server, server_port = decode(destination)
        request = Request(
            client=Peer(client, None),
            client_port=client_port,
            destination=Peer(server, None),
            destination_port=server_port,
            transparent=False,
            when=self._civil_time(),
        )
        index = self._rules.search(request, self._names)
        if index is None:
            return Grant(None, DropReason.REJECTED)
        rule, terms = self._acls[index], self._terms[index]
        if terms is None:
            return Grant(rule, DropReason.REJECTED)
        if rule.plug_to is None:
            return Grant(rule, DropReason.NO_PLUG_TO)
        (address, _), port = target_of(rule.plug_to, request, self._names)
        return Grant(rule, DropReason.NO_TARGET) if address is None else Grant(rule, None, terms, encode(address, port))


def _terms(acl: AclSettings) -> Terms:
    behaviour = BEHAVIOURS[acl.kind]
    return Terms.of(acl, connected=behaviour.connected, answers=behaviour.answers)


def _fixed_target(acl: AclSettings) -> bool:
    """Tell whether the rule's target depends on neither name nor original destination."""
    plug = acl.plug_to
    return plug is None or (not isinstance(plug.host, HostName) and plug.port is not None)
