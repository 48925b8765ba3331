"""Whether a datagram may open a session, by which rule, and to what target. Sans-I/O.

Consulted once a session, never again while it lasts (K-18). Source: udp-proxy(8), Server connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from workers.contract.settings import AclSettings, Address, AuthSettings, HostName, Obligation, Settings
from workers.contract.slots import DropReason
from workers.policy.acl import Request, Rules, compile_rules, nameless, target_of
from workers.policy.decided import deciding_item
from workers.policy.hostset import NameBook, NameUnknown, Peer, normal_address
from workers.policy.timecond import CivilTime
from workers.policy.users import User, match_name
from workers.session import sources
from workers.session.session import Grant, Terms
from workers.stats import RuleTally
from workers.wire.sockaddr import V4_BYTES, decode, encode

CACHE_ENTRIES = 4096
"""Grants remembered for rule sets that look at the client's address alone."""


class NeedsName(NamedTuple):
    """No decision without the name of this address: ask for it, and then decide again."""

    address: Address


def rules_of(settings: Settings) -> tuple[AclSettings, ...]:
    """Return a configuration's rules; one without a source-address has the proxy's (K-55)."""
    return tuple(replace(acl, source_address=acl.source_address or settings.source_address) for acl in settings.acls)


def shaped_queues(settings: Settings) -> frozenset[str]:
    """Return the names of the queues that have a rate."""
    return frozenset(queue.name for queue in settings.queues if queue.rate_bps is not None)


def compile_terms(acl: AclSettings, shaped: frozenset[str]) -> Terms | None:
    """Return what a rule's sessions share, None where it denies them. shaped: the queues that have a rate."""
    if not acl.accept:
        return None
    return Terms.of(acl, shaped=not shaped.isdisjoint((acl.queue_to_client, acl.queue_to_server)))


class Admission:
    """The rules of one configuration, and the current addresses of its names and users.

    reverse: what is known of the name of an address: the name, None where it has none, UNASKED where nobody asked yet.
    Asked only where the rules have regular expressions; IPv4-mapped addresses come as IPv4.
    shaped: the names of the queues that have a rate.
    ordinary: by a client's address in bytes, what was granted to it, where its sessions have nothing special.
    """

    def __init__(
        self,
        acls: tuple[AclSettings, ...],
        civil_time: Callable[[], CivilTime],
        auth: AuthSettings | None = None,
        reverse: Callable[[Address], str | None] = nameless,
        shaped: frozenset[str] = frozenset(),
    ) -> None:
        self._acls = acls
        self._rules: Rules = compile_rules(acls)
        self._civil_time = civil_time
        self._auth = auth
        self._users: Mapping[Address, User] = {}
        self._reverse = reverse if self._rules.patterns else nameless
        self._names: NameBook = {}
        self._cache: dict[bytes, Grant] = {}
        self.ordinary: dict[bytes, Grant] = {}
        self._cacheable = self._rules.static_by_client and all(_fixed_target(acl) for acl in acls)
        self.terms = tuple(compile_terms(acl, shaped) for acl in acls)
        """By rule, None where it denies."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        civil_time: Callable[[], CivilTime],
        reverse: Callable[[Address], str | None] = nameless,
    ) -> Admission:
        """Compile a configuration."""
        return cls(rules_of(settings), civil_time, settings.auth, reverse, shaped_queues(settings))

    @property
    def tallies(self) -> dict[str, RuleTally]:
        """What rules that accept have decided so far, by name."""
        return {terms.rule.name: terms.tally for terms in self.terms if terms is not None}

    def _forget(self) -> None:
        self._cache.clear()
        self.ordinary.clear()

    def learn_names(self, names: Mapping[str, frozenset[Address]]) -> None:
        """Replace the addresses of the configuration's host names."""
        self._names = names
        self._forget()

    def learn_users(self, users: Mapping[Address, User]) -> None:
        """Replace the table of who sits where, as workers.policy.users.parse_users returns it."""
        self._users = users
        self._forget()

    def decide(
        self, listener: int, source: bytes, destination: bytes, *, transparent: bool = False, tos: int = 0
    ) -> Grant | NeedsName:
        """Find the rule and the target for a new session; source and destination are raw socket addresses.

        transparent: the destination is not one of our own (K-58, K-93). tos: the datagram's type-of-service byte.
        """
        if transparent or not self._cacheable:
            return self._search(source, destination, transparent=transparent, tos=tos)
        key = source[4:8] if len(source) == V4_BYTES else source[8:24]
        grant = self._cache.get(key)
        if grant is None:
            if len(self._cache) >= CACHE_ENTRIES:
                self._forget()
            found = self._search(source, destination, transparent=False, tos=tos)
            if isinstance(found, NeedsName):
                return found
            grant = self._cache[key] = found
            if found.terms is not None and found.terms.ordinary:
                self.ordinary[key] = found
        return grant

    def decided(
        self, rule: AclSettings, source: bytes, destination: bytes
    ) -> tuple[str | None, str | None, str | None]:
        """Return which items of the rule that was found let client, destination and server in (policy.decided)."""
        request = self._request(source, destination, None, transparent=False, tos=0)
        server, port = request.destination, request.destination_port
        if rule.plug_to is not None:
            server, port = target_of(rule.plug_to, request, self._names)
        places = (
            (rule.sources, request.client, request.client_port),
            (rule.destinations, request.destination, request.destination_port),
            (rule.servers, server, port),
        )
        found = [deciding_item(conditions, peer, port, self._names) for conditions, peer, port in places]
        return found[0], found[1], found[2]

    def _search(self, source: bytes, destination: bytes, *, transparent: bool, tos: int) -> Grant | NeedsName:
        client, _ = decode(source)
        user = self._users.get(normal_address(client)) if self._users else None
        if user is None and self._auth is not None and self._auth.obligation is Obligation.MANDATORY:
            return Grant(None, DropReason.REJECTED)
        request = self._request(source, destination, user, transparent=transparent, tos=tos)
        try:
            index = self._rules.search(request, self._names)
        except NameUnknown as unknown:
            return NeedsName(unknown.address)
        return self._verdict(index, request, source, destination)

    def _request(self, source: bytes, destination: bytes, user: User | None, *, transparent: bool, tos: int) -> Request:
        client, client_port = decode(source)
        server, server_port = decode(destination)
        short = self._auth is not None and self._auth.short_names
        return Request(
            client=Peer(client, self._reverse(normal_address(client))),
            client_port=client_port,
            destination=Peer(server, self._reverse(normal_address(server))),
            destination_port=server_port,
            transparent=transparent,
            when=self._civil_time(),
            tos=tos,
            user=None if user is None else match_name(user.user, short=short),
            groups=frozenset() if user is None else user.groups,
            reverse=self._reverse,
        )

    def _verdict(self, index: int | None, request: Request, source: bytes, destination: bytes) -> Grant:
        """Say what a rule means for a session: the refusal, or its terms and its target (K-48, K-49, K-54)."""
        user, client_name = request.user, request.client.name or None
        if index is None:
            return Grant(None, DropReason.REJECTED, user=user, client_name=client_name)
        rule, terms = self._acls[index], self.terms[index]
        refusal: DropReason | None = None
        target, server_name = b"", None
        if terms is None:
            refusal = DropReason.REJECTED
        elif rule.plug_to is not None:
            (address, name), port = target_of(rule.plug_to, request, self._names)
            server_name = name or None
            if address is None:
                refusal = DropReason.NO_TARGET
            else:
                target = encode(address, port)
        elif request.transparent:
            target, server_name = destination, request.destination.name or None
        else:
            refusal = DropReason.NO_PLUG_TO
        if refusal is None and sources.choose(rule, source, target) is None:
            refusal = DropReason.NO_SOURCE
        if refusal is not None:
            return Grant(rule, refusal, None, target, user, client_name, server_name)
        return Grant(rule, None, terms, target, user, client_name, server_name)


def _fixed_target(acl: AclSettings) -> bool:
    """Tell whether the rule's target depends on neither name nor original destination."""
    plug = acl.plug_to
    return plug is None or (not isinstance(plug.host, HostName) and plug.port is not None)
