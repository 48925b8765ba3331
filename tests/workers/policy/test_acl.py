from __future__ import annotations

import pytest

from workers.contract.settings import (
    AclSettings,
    Address,
    AddressRange,
    AnyHost,
    HostCondition,
    HostList,
    HostMember,
    HostName,
    HostPattern,
    MaskedAddress,
    Sock,
    TimeItem,
    TimePeriods,
    UserCondition,
)
from workers.policy.acl import Request, compile_rules, target_of
from workers.policy.hostset import Peer
from workers.policy.timecond import CivilTime

NET = AddressRange(4, 0x0A000000, 0x0AFFFFFF)
HOST = AddressRange(4, 0x0A000001, 0x0A000001)
HOLES = MaskedAddress(4, 0x0A000100, 0xFF00FF00)
CLIENT, SERVER, OTHER = Address(4, 0x0A000001), Address(4, 0xC0000201), Address(6, 1)


def where(*items, ports=None) -> tuple[HostCondition, ...]:
    return (HostCondition(HostList(tuple(HostMember(item) for item in items)), ports),)


def exactly(address: Address) -> AddressRange:
    return AddressRange(address.version, address.value, address.value)


def request(**changes) -> Request:
    values = {
        "client": Peer(CLIENT),
        "client_port": 4000,
        "destination": Peer(SERVER),
        "destination_port": 53,
        "transparent": False,
        "when": CivilTime(6, 15, 1, 600),
    }
    return Request(**(values | changes))


def found(*acls: AclSettings, names=None, **changes) -> int | None:
    return compile_rules(acls).search(request(**changes), names or {})


def test_no_rule_selects_nothing():
    assert found() is None


def test_the_first_rule_that_holds_is_selected_whatever_it_says():
    assert found(AclSettings("A", True, transparent=True), AclSettings("B", False), AclSettings("C", True)) == 1


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"sources": where(NET)},
        {"sources": where(AddressRange(6, 1, 1)) + where(NET)},
        {"sources": where(NET, ports=((1, 10), (4000, 4000)))},
        {"destinations": where(exactly(SERVER), ports=((53, 53),))},
        {"servers": where(exactly(SERVER), ports=((53, 53),))},
        {"transparent": False},
        {"users": (UserCondition(nobody=True),)},
        {"users": (UserCondition(nobody=False), UserCondition(nobody=True))},
        {"time": (TimeItem(months=frozenset({6})),)},
        {"time": ()},
        {"time": TimePeriods(True, ())},
        {"tos": frozenset({0, 46})},
    ],
)
def test_a_condition_that_holds_selects(conditions):
    assert found(AclSettings("A", True, **conditions)) == 0


@pytest.mark.parametrize(
    "conditions",
    [
        {"sources": where(exactly(SERVER))},
        {"sources": where(exactly(SERVER)) + where(AddressRange(6, 1, 1))},
        {"sources": where(NET, ports=((1, 10), (4001, 4002)))},
        {"sources": where(NET), "destinations": where(NET)},
        {"destinations": where(exactly(SERVER), ports=((54, 54),))},
        {"servers": where(NET)},
        {"transparent": True},
        {"users": (UserCondition(nobody=False),)},
        {"time": (TimeItem(months=frozenset({7})),)},
        {"time": TimePeriods(False, ())},
        {"tos": frozenset({46})},
        {"tos": frozenset()},
    ],
)
def test_a_condition_that_does_not_hold_rejects(conditions):
    assert found(AclSettings("A", True, **conditions)) is None


def test_the_user_and_the_tos_of_the_request_count():
    rule = AclSettings("A", True, users=(UserCondition(False, frozenset({"alice"}), frozenset({"staff"})),))
    assert found(rule, user="alice") == 0
    assert found(rule, user="bob", groups=frozenset({"staff"})) == 0
    assert found(rule, user="bob") is None
    assert found(AclSettings("A", True, tos=frozenset({46})), tos=46) == 0


def test_the_logical_server_is_the_one_given():
    rule = AclSettings("A", True, servers=where(NET, ports=((7, 7),)), plug_to=Sock(SERVER, 53))
    assert found(rule) is None
    assert found(rule, server=Peer(CLIENT), server_port=7) == 0


def test_the_logical_server_is_else_the_target_of_plug_to():
    here = where(exactly(CLIENT), ports=((7, 7),))
    assert found(AclSettings("A", True, servers=here, plug_to=Sock(CLIENT, 7))) == 0
    assert found(AclSettings("A", True, servers=here, plug_to=Sock(CLIENT, 8))) is None
    assert found(AclSettings("A", True, servers=here, plug_to=Sock(CLIENT, None))) is None
    assert found(AclSettings("A", True, servers=here, plug_to=Sock(CLIENT, None)), destination_port=7) == 0


def test_a_plug_to_name_matches_by_name_or_by_the_address_the_session_goes_to():
    sock = Sock(HostName("www.tns.cz"), 53)
    book = {"www.tns.cz": frozenset({CLIENT, OTHER})}
    by_name = AclSettings("A", True, servers=where(HostName("www.tns.cz")), plug_to=sock)
    by_address = AclSettings("A", True, servers=where(NET), plug_to=sock)
    by_pattern = AclSettings("A", True, servers=where(HostPattern("tns")), plug_to=sock)
    assert [found(rule) for rule in (by_name, by_address, by_pattern)] == [0, None, 0]
    assert [found(rule, names=book) for rule in (by_name, by_address, by_pattern)] == [0, 0, 0]


def test_an_excluded_address_of_a_plug_to_name_is_not_let_in_by_the_name_alone():
    hosts = HostList((HostMember(NET, negated=True), HostMember(AnyHost())))
    rule = AclSettings("A", True, servers=(HostCondition(hosts),), plug_to=Sock(HostName("a"), 53))
    assert found(rule, names={"a": frozenset({CLIENT})}) is None
    assert found(rule, names={"a": frozenset({SERVER})}) == 0


@pytest.mark.parametrize(
    ("client", "target"),
    [
        (Peer(CLIENT), CLIENT),
        (Peer(OTHER), OTHER),
        (Peer(None, "me"), CLIENT),
    ],
    ids=["version 4", "version 6", "unknown"],
)
def test_the_server_condition_looks_at_no_other_address_than_the_target(client: Peer, target: Address):
    book = {"a": frozenset({CLIENT, SERVER, OTHER})}
    plug_to = Sock(HostName("a"), 53)
    rules = [AclSettings("A", True, servers=where(exactly(each)), plug_to=plug_to) for each in sorted(book["a"])]
    held = [
        each for each, rule in zip(sorted(book["a"]), rules, strict=True) if found(rule, names=book, client=client) == 0
    ]
    assert held == [target]
    assert target_of(plug_to, request(client=client), book) == (Peer(target, "a"), 53)


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        (CLIENT, 0),
        (Address(6, 0xFFFF << 32 | CLIENT.value), 0),
        (Address(4, 0x0A000101), 1),
        (Address(4, 0x0A000201), 2),
        (Address(4, 1), 1),
        (SERVER, None),
        (OTHER, None),
    ],
)
@pytest.mark.parametrize("second", [HOLES, AddressRange(4, 0x0A000100, 0x0A0001FF)])
def test_the_first_rule_that_has_the_address_decides(second, address: Address, rule: int | None):
    acls = (
        AclSettings("A", False, sources=where(HOST)),
        AclSettings("B", True, sources=where(AddressRange(4, 1, 1)) + where(second)),
        AclSettings("C", True, sources=where(NET)),
    )
    rules = compile_rules(acls)
    assert rules.static_by_client
    assert rules.search(request(client=Peer(address)), {}) == rule


@pytest.mark.parametrize("sources", [where(HOST), where(HOLES)])
def test_a_rule_without_conditions_takes_every_address_left(sources):
    rules = compile_rules((AclSettings("A", True, sources=sources), AclSettings("B", True)))
    assert rules.static_by_client
    assert rules.search(request(client=Peer(OTHER)), {}) == 1


@pytest.mark.parametrize(
    "conditions",
    [
        {"sources": where(NET, ports=((1, 2),))},
        {"sources": where(HostName("a"))},
        {"sources": where(HostPattern("a"))},
        {"destinations": where(NET)},
        {"servers": where(NET)},
        {"transparent": False},
        {"users": (UserCondition(nobody=True),)},
        {"time": (TimeItem(),)},
        {"time": TimePeriods(True, ())},
        {"tos": frozenset()},
    ],
)
def test_rules_that_look_at_more_than_the_address_are_told_apart(conditions):
    rules = compile_rules((AclSettings("A", True), AclSettings("B", True, **conditions)))
    assert not rules.static_by_client


def test_the_rules_tell_which_names_they_need():
    rules = compile_rules(
        (
            AclSettings("A", True, sources=where(HostName("a")), plug_to=Sock(HostName("p"), None)),
            AclSettings("B", True, destinations=where(HostName("b")), servers=where(HostName("c"))),
            AclSettings("C", True, plug_to=Sock(SERVER, 53)),
        )
    )
    assert (rules.names, rules.patterns) == ({"a", "b", "c", "p"}, False)
    assert compile_rules((AclSettings("A", True, servers=where(HostPattern("x"))),)).patterns
    assert compile_rules((AclSettings("A", True, plug_to=Sock(HostName("p"), 1)),)).static_by_client


def test_an_explanation_lists_what_was_evaluated_and_nothing_more():
    rules = compile_rules(
        (
            AclSettings("A", True, sources=where(NET), destinations=where(NET), transparent=False),
            AclSettings(
                "B",
                True,
                sources=where(NET),
                servers=where(HostName("p")),
                plug_to=Sock(HostName("p"), None),
                users=(UserCondition(nobody=False),),
                time=(TimeItem(),),
                tos=frozenset({46}),
            ),
            AclSettings("C", True),
        )
    )
    asked = request(user="alice", groups=frozenset({"x", "staff"}), tos=46, client_port=0, client=Peer(OTHER, "me"))
    assert [tuple(check) for check in rules.explain(asked, {})] == [
        (0, "transparency", "non-transparent", True),
        (0, "from", "me[::1]", False),
        (1, "ip-tos-from", "46", True),
        (1, "from", "me[::1]", False),
    ]
    asked = request(user="alice", groups=frozenset({"x", "staff"}), tos=46)
    book = {"p": frozenset({SERVER, CLIENT})}
    assert [tuple(check) for check in rules.explain(asked, book)] == [
        (0, "transparency", "non-transparent", True),
        (0, "from", "[10.0.0.1]:4000", True),
        (0, "to", "[192.0.2.1]:53", False),
        (1, "ip-tos-from", "46", True),
        (1, "from", "[10.0.0.1]:4000", True),
        (1, "server", "p[10.0.0.1]:53", True),
        (1, "user", "alice staff x", True),
        (1, "time", "06-15 mon 1000", True),
    ]


def test_an_explanation_without_a_rule_that_holds_ends_with_the_last_rule():
    rules = compile_rules((AclSettings("A", True, transparent=True), AclSettings("B", True, tos=frozenset({1}))))
    assert [check.rule for check in rules.explain(request(), {})] == [0, 1]


def test_an_explanation_writes_what_is_not_known():
    rules = compile_rules(
        (
            AclSettings("A", True, destinations=where(NET)),
            AclSettings("B", True, transparent=False),
            AclSettings("C", True, users=(UserCondition(nobody=True),)),
        )
    )
    asked = request(destination=Peer(None), destination_port=0, transparent=True)
    assert [(check.condition, check.value, check.holds) for check in rules.explain(asked, {})] == [
        ("to", "<NULL>", False),
        ("transparency", "transparent", False),
        ("user", "<NULL>", True),
    ]
