"""The search for the session-acl that decides on a new session: the first one whose conditions all hold.

Conditions of one kind are OR-ed, kinds AND-ed, an absent kind is not checked. What a rule then permits or denies is not
the business of this module. Source: udp-proxy.cfg(5), SESSION-ACL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from workers.contract.settings import (
    AclSettings,
    Address,
    HostCondition,
    HostName,
    Ranges,
    Sock,
    TimeCondition,
    TimePeriods,
    UserCondition,
)
from workers.policy import timecond, users
from workers.policy.hostset import Hosts, NameBook, Peer, compile_hosts
from workers.policy.timecond import CivilTime


def nameless(_address: Address) -> None:
    """Say of every address that it has no name."""


@dataclass(slots=True)
class Request:
    """What is known of a session that wants to begin.

    server: the logical server, where the caller knows better than the rules (test-udp); None: the rule's plug-to or
    else the destination. user: as workers.policy.users.match_name returns it. tos: the first datagram's TOS byte.
    reverse: what is known of the name that an address has, as in Peer; for a plug-to that is an address.
    """

    client: Peer
    client_port: int
    destination: Peer
    destination_port: int
    transparent: bool
    when: CivilTime
    tos: int = 0
    user: str | None = None
    groups: frozenset[str] = frozenset()
    server: Peer | None = None
    server_port: int = 0
    reverse: Callable[[Address], str | None] = nameless


class Check(NamedTuple):
    """One condition as it was evaluated: the rule's number, the condition's keyword, what it was held against."""

    rule: int
    condition: str
    value: str
    holds: bool


Place: TypeAlias = tuple[Peer, int]
"""A host and a port."""


class _Condition(NamedTuple):
    """One kind of condition of one rule; describe writes what of the request it looks at."""

    keyword: str
    test: Callable[[Request, NameBook], bool]
    describe: Callable[[Request, NameBook], str]


class _Clause(NamedTuple):
    """One item of a host condition."""

    hosts: Hosts
    ports: Ranges | None

    def fits(self, place: Place, names: NameBook) -> bool:
        peer, port = place
        if self.ports is not None:
            for first, last in self.ports:
                if first <= port <= last:
                    break
            else:
                return False
        return self.hosts.contains(peer, names)


class Rules:
    """A compiled rule set.

    names: host names whose addresses the name book should have. patterns: whether a reverse name may be needed.
    static_by_client: whether the answer depends on the client's address alone, so that it may be kept.
    """

    __slots__ = ("_rules", "names", "patterns", "static_by_client")

    def __init__(self, acls: tuple[AclSettings, ...]) -> None:
        sources = [_clauses(acl.sources) for acl in acls]
        others = [(_clauses(acl.destinations), _clauses(acl.servers)) for acl in acls]
        self._rules = tuple(
            tuple(_conditions(acl, own, *rest)) for acl, own, rest in zip(acls, sources, others, strict=True)
        )
        used = [clause.hosts for rest in others for clauses in rest for clause in clauses]
        used += [clause.hosts for clauses in sources for clause in clauses]
        plugged = {acl.plug_to.host.name for acl in acls if acl.plug_to and isinstance(acl.plug_to.host, HostName)}
        self.names = frozenset(plugged).union(*(hosts.names for hosts in used))
        self.patterns = any(hosts.patterns for hosts in used)
        self.static_by_client = all(map(_only_sources, acls)) and not any(hosts.needs_names for hosts in used)

    def search(self, request: Request, names: NameBook) -> int | None:
        """Return the number of the first rule whose conditions all hold, None when there is none.

        Raises NameUnknown where that depends on a name that nobody has asked for.
        """
        for index, conditions in enumerate(self._rules):
            for _, test, _ in conditions:
                if not test(request, names):
                    break
            else:
                return index
        return None

    def explain(self, request: Request, names: NameBook) -> Iterator[Check]:
        """Yield every condition that a search evaluates, in its order. The search ends as search says."""
        for index, conditions in enumerate(self._rules):
            for keyword, test, describe in conditions:
                held = test(request, names)
                yield Check(index, keyword, describe(request, names), held)
                if not held:
                    break
            else:
                return


def compile_rules(acls: tuple[AclSettings, ...]) -> Rules:
    """Compile rules, in the order of the file. Raises PatternError for a regular expression that is not one."""
    return Rules(acls)


def _only_sources(acl: AclSettings) -> bool:
    others = (acl.destinations, acl.servers, acl.users, acl.time)
    if any(others) or acl.transparent is not None or acl.tos is not None or isinstance(acl.time, TimePeriods):
        return False
    return all(condition.ports is None for condition in acl.sources)


def target_of(plug_to: Sock, request: Request, names: NameBook) -> Place:
    """Return where a session with this plug-to goes; without an address where its name has none.

    Of several addresses it is the smallest one of the client's IP version, or else the smallest: whatever looks at a
    session's target must see the same one. Source: udp-proxy(8), Server connection.
    """
    port = request.destination_port if plug_to.port is None else plug_to.port
    host = plug_to.host
    if not isinstance(host, HostName):
        return Peer(host, request.reverse(host)), port
    version = _ip_version(request)
    known = names.get(host.name, ())
    first = min(known, key=lambda address: (address.version != version, address), default=None)
    return Peer(first, host.name), port


def _ip_version(request: Request) -> int:
    """Return the client's IP version; where only its name is known, the destination's, or else 4."""
    address = request.client.address or request.destination.address
    return 4 if address is None else address.version


# --- the conditions of one rule -------------------------------------------------------------------------------------


def _clauses(conditions: tuple[HostCondition, ...]) -> tuple[_Clause, ...]:
    return tuple(_Clause(compile_hosts(condition.hosts), condition.ports) for condition in conditions)


def _conditions(
    acl: AclSettings, sources: tuple[_Clause, ...], destinations: tuple[_Clause, ...], servers: tuple[_Clause, ...]
) -> Iterator[_Condition]:
    """Yield what a rule checks, cheapest first as far as that is known."""
    if acl.transparent is not None:
        yield _transparency(acl.transparent)
    if acl.tos is not None:
        yield _tos(acl.tos)
    if sources:
        yield _host_condition("from", sources, attrgetter("client", "client_port"))
    if destinations:
        yield _host_condition("to", destinations, attrgetter("destination", "destination_port"))
    if servers:
        yield _server_condition(servers, acl.plug_to)
    if acl.users:
        yield _user_condition(acl.users)
    if acl.time or isinstance(acl.time, TimePeriods):
        yield _time_condition(acl.time)


def _transparency(wanted: bool) -> _Condition:
    return _Condition(
        "transparency",
        lambda request, _: request.transparent is wanted,
        lambda request, _: "transparent" if request.transparent else "non-transparent",
    )


def _tos(wanted: frozenset[int]) -> _Condition:
    return _Condition("ip-tos-from", lambda request, _: request.tos in wanted, lambda request, _: str(request.tos))


def _host_condition(keyword: str, clauses: tuple[_Clause, ...], place: Callable[[Request], Place]) -> _Condition:
    first = clauses[0].fits

    def one(request: Request, names: NameBook) -> bool:
        return first(place(request), names)

    def several(request: Request, names: NameBook) -> bool:
        found = place(request)
        return any(clause.fits(found, names) for clause in clauses)

    return _Condition(keyword, one if len(clauses) == 1 else several, lambda request, _: _text(place(request)))


def _server_condition(clauses: tuple[_Clause, ...], plug_to: Sock | None) -> _Condition:
    def test(request: Request, names: NameBook) -> bool:
        place = _logical_server(request, plug_to, names)
        return any(clause.fits(place, names) for clause in clauses)

    def describe(request: Request, names: NameBook) -> str:
        return _text(_logical_server(request, plug_to, names))

    return _Condition("server", test, describe)


def _logical_server(request: Request, plug_to: Sock | None, names: NameBook) -> Place:
    """Return where a rule's session would go, unless the caller knows better."""
    if request.server is not None:
        return request.server, request.server_port
    if plug_to is None:
        return request.destination, request.destination_port
    return target_of(plug_to, request, names)


def _user_condition(conditions: tuple[UserCondition, ...]) -> _Condition:
    return _Condition(
        "user",
        lambda request, _: any(users.matches(condition, request.user, request.groups) for condition in conditions),
        lambda request, _: " ".join((request.user or "<NULL>", *sorted(request.groups))),
    )


def _time_condition(condition: TimeCondition) -> _Condition:
    return _Condition(
        "time",
        lambda request, _: timecond.holds(condition, request.when),
        lambda request, _: _time_text(request.when),
    )


def _time_text(when: CivilTime) -> str:
    weekday = timecond.WEEKDAYS[when.weekday]
    return f"{when.month:02}-{when.day:02} {weekday} {when.minute // 60:02}{when.minute % 60:02}"


def _text(place: Place) -> str:
    """Write a host as the configuration does, with its name where known, and the port where there is one."""
    (address, name), port = place
    parts = [name] if name else []
    if address is not None:
        parts.append(f"[{address}]")
    return "".join(parts or ["<NULL>"]) + (f":{port}" if port else "")
