"""The search through rules against the manual: conditions of a kind OR-ed, kinds AND-ed, the first rule wins."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.kit.examples import examples
from workers.contract.settings import (
    AclSettings,
    Address,
    AddressRange,
    AnyHost,
    HostCondition,
    HostList,
    HostMember,
    HostName,
    MaskedAddress,
    Sock,
    TimeItem,
    TimePeriods,
    TimeSpec,
    UserCondition,
)
from workers.policy.acl import Request, compile_rules
from workers.policy.hostset import Peer, compile_hosts
from workers.policy.timecond import CivilTime, holds
from workers.policy.users import matches

numbers = st.integers(0, 7)
versions = st.sampled_from((4, 6))
addresses = st.builds(Address, versions, numbers)
peers = st.builds(Peer, st.none() | addresses, st.none() | st.sampled_from(("a", "b")))
ranges = st.builds(
    lambda version, ends: AddressRange(version, min(ends), max(ends)), versions, st.tuples(numbers, numbers)
)
masks = st.builds(lambda version, value, mask: MaskedAddress(version, value & mask, mask), versions, numbers, numbers)
unnamed = st.one_of(st.just(AnyHost()), ranges, masks)
items = st.one_of(unnamed, st.sampled_from("ab").map(HostName))
ports = st.none() | st.lists(st.tuples(numbers, numbers).map(sorted).map(tuple), max_size=2).map(tuple)
times = st.one_of(
    st.none(),
    st.lists(st.builds(TimeItem, weekdays=st.none() | st.frozensets(numbers, max_size=3)), max_size=2).map(tuple),
    st.builds(TimePeriods, st.booleans(), st.just((TimeSpec("x", weekdays=((5, 1),)),)) | st.just(())),
)
groups = st.frozensets(st.sampled_from(("g", "h")))
users = st.builds(UserCondition, st.booleans(), st.none() | st.frozensets(st.sampled_from(("u", "v"))), groups)


def conditions(leaves, allowed_ports) -> st.SearchStrategy[tuple[HostCondition, ...]]:
    members = st.lists(st.builds(HostMember, leaves, st.booleans()), max_size=3)
    hosts = members.map(lambda found: HostList(tuple(found)))
    return st.lists(st.builds(HostCondition, hosts, allowed_ports), max_size=2).map(tuple)


rules = st.builds(
    AclSettings,
    st.just("R"),
    st.booleans(),
    sources=conditions(items, ports),
    destinations=conditions(items, ports),
    servers=conditions(items, ports),
    transparent=st.none() | st.booleans(),
    users=st.lists(users, max_size=2).map(tuple),
    time=times,
    tos=st.none() | st.frozensets(numbers, max_size=5),
    plug_to=st.none() | st.builds(Sock, addresses | st.sampled_from("ab").map(HostName), st.none() | numbers),
)
requests = st.builds(
    Request,
    client=peers,
    client_port=numbers,
    destination=peers,
    destination_port=numbers,
    transparent=st.booleans(),
    when=st.builds(CivilTime, st.just(1), st.just(1), st.integers(0, 6), st.just(0)),
    tos=numbers,
    user=st.none() | st.sampled_from(("u", "v")),
    groups=groups,
    server=st.none() | peers,
    server_port=numbers,
)
books = st.dictionaries(st.sampled_from(("a", "b")), st.frozensets(addresses, max_size=3))


def within(condition: HostCondition, peer: Peer, port: int, names) -> bool:
    if condition.ports is not None and not any(port in range(first, last + 1) for first, last in condition.ports):
        return False
    return compile_hosts(condition.hosts).contains(peer, names)


def server_of(rule: AclSettings, request: Request, names) -> tuple[Peer, int]:
    if request.server is not None:
        return request.server, request.server_port
    if rule.plug_to is None:
        return request.destination, request.destination_port
    port = rule.plug_to.port if rule.plug_to.port is not None else request.destination_port
    if isinstance(rule.plug_to.host, Address):
        return Peer(rule.plug_to.host, None), port
    name = rule.plug_to.host.name
    client = request.client.address or request.destination.address or Address(4, 0)
    known = sorted(names.get(name, ()))
    preferred = [address for address in known if address.version == client.version]
    return Peer((preferred or known or [None])[0], name), port


def literally(rule: AclSettings, request: Request, names) -> bool:
    kinds = []
    if rule.sources:
        kinds.append(any(within(c, request.client, request.client_port, names) for c in rule.sources))
    if rule.destinations:
        kinds.append(any(within(c, request.destination, request.destination_port, names) for c in rule.destinations))
    if rule.servers:
        peer, port = server_of(rule, request, names)
        kinds.append(any(within(c, peer, port, names) for c in rule.servers))
    if rule.transparent is not None:
        kinds.append(rule.transparent == request.transparent)
    if rule.users:
        kinds.append(any(matches(c, request.user, request.groups) for c in rule.users))
    if rule.time is not None:
        kinds.append(holds(rule.time, request.when))
    if rule.tos is not None:
        kinds.append(request.tos in rule.tos)
    return all(kinds)


@examples(125)
@given(st.lists(rules, max_size=4), requests, books)
def test_a_search_agrees_with_the_literal_reading(acls: list[AclSettings], request: Request, names):
    wanted = next((index for index, rule in enumerate(acls) if literally(rule, request, names)), None)
    assert compile_rules(tuple(acls)).search(request, names) == wanted


@examples(50)
@given(st.lists(rules, max_size=4), requests, books)
def test_an_explanation_ends_where_the_search_does(acls: list[AclSettings], request: Request, names):
    compiled = compile_rules(tuple(acls))
    selected = compiled.search(request, names)
    for check in compiled.explain(request, names):
        assert check.rule <= (len(acls) if selected is None else selected)
        if not check.holds:
            assert check.rule != selected


sources_only = st.lists(
    st.builds(AclSettings, st.just("R"), st.booleans(), sources=conditions(unnamed, st.none())), max_size=4
)


@examples(75)
@given(sources_only, requests, requests)
def test_where_the_address_alone_decides_nothing_else_matters(acls: list[AclSettings], one: Request, other: Request):
    compiled = compile_rules(tuple(acls))
    assert compiled.static_by_client
    assert compiled.search(one, {}) == compiled.search(replace(other, client=one.client), {})


@examples(75)
@given(st.lists(rules, max_size=3), st.lists(requests, min_size=2, max_size=4), books)
def test_static_rules_decide_by_the_clients_address_alone(acls: list[AclSettings], asked: list[Request], names):
    compiled = compile_rules(tuple(acls))
    if compiled.static_by_client:
        one = asked[0].client._replace(name=None)
        assert len({compiled.search(replace(other, client=one), names) for other in asked}) == 1
