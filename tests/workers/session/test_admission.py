"""Who may open a session, and to where: decisions, targets, and that remembering them changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from tests.kit.session_parts import (
    LOCAL,
    MONDAY_NOON,
    PROXY,
    PROXY_PORT,
    REMOTE,
    TARGET,
    client,
    hosts,
    named,
    rule,
    server,
    sock,
    sock6,
)
from workers.contract.settings import (
    AclSettings,
    Address,
    SessionKind,
    Sock,
    SourceAddress,
    SourceFallback,
    TimeItem,
)
from workers.contract.slots import DropReason
from workers.policy.timecond import CivilTime
from workers.session import admission
from workers.session.admission import Admission, Grant

ALWAYS = (TimeItem(),)
"""A time condition that always holds, and that keeps decisions from being remembered."""
V6 = 0x20010DB8 << 96
V6_PROXY = sock6(V6 + 1, PROXY_PORT)


def admit(*rules: AclSettings) -> Admission:
    return Admission(rules, lambda: MONDAY_NOON)


def decide(found: Admission, source: bytes = client(1), destination: bytes = PROXY) -> Grant:
    return found.decide(0, source, destination)


def test_without_a_rule_everybody_is_rejected_k22() -> None:
    assert decide(admit()) == Grant(None, DropReason.REJECTED)


def test_a_client_no_rule_fits_is_rejected_k19() -> None:
    assert decide(admit(rule(clients=(2,)))) == Grant(None, DropReason.REJECTED)


def test_a_rule_that_says_deny_rejects_by_name() -> None:
    denied = rule("NO", accept=False)
    assert decide(admit(denied, rule("YES"))) == Grant(denied, DropReason.REJECTED)


def test_an_accepted_client_gets_target_and_terms_k20() -> None:
    accepted = rule(max_dgrams_out=4)
    grant = decide(admit(accepted))
    assert (grant.rule, grant.refusal, grant.target) == (accepted, None, server())
    assert grant.terms is not None
    assert (grant.terms.rule, grant.terms.dgrams_out) == (accepted, 4)


def test_the_kind_of_session_is_the_rules_k34() -> None:
    plain, silent = decide(admit(rule())).terms, decide(admit(rule(kind=SessionKind.ONE_WAY))).terms
    assert plain is not None
    assert silent is not None
    assert (plain.simple, plain.behaviour.answers) == (True, True)
    assert (silent.simple, silent.behaviour.answers) == (False, False)


def test_a_rule_whose_sources_do_not_fit_the_server_refuses_and_says_which_it_was_k54() -> None:
    source = SourceAddress(client=True, fallback=SourceFallback.NO_FALLBACK)
    refusing = dataclasses.replace(rule(), source_address=source)
    found = decide(admit(refusing), sock6(V6 + 7, 9), V6_PROXY)
    assert found == Grant(refusing, DropReason.NO_SOURCE, target=server())
    assert decide(admit(refusing)).refusal is None


def test_a_rule_without_plug_to_fails_k48() -> None:
    accepted = rule(plug_to=None)
    assert decide(admit(accepted)) == Grant(accepted, DropReason.NO_PLUG_TO)


def test_a_target_without_a_port_takes_the_one_the_client_wrote_to() -> None:
    found = admit(rule(plug_to=Sock(Address(4, REMOTE + 1), None)))
    for port in (5300, 5301):
        assert decide(found, destination=sock(LOCAL, port)).target == server(1, port)


@pytest.mark.parametrize(("known", "refusal"), [(frozenset(), DropReason.NO_TARGET), (None, DropReason.NO_TARGET)])
def test_a_name_without_an_address_is_no_target(known: frozenset[Address] | None, refusal: DropReason) -> None:
    found = admit(rule(plug_to=named("a")))
    found.learn_names({} if known is None else {"a": known})
    assert decide(found).refusal is refusal


def test_of_several_addresses_the_first_of_the_clients_ip_version_is_the_target() -> None:
    found = admit(rule(plug_to=named("a")))
    found.learn_names({"a": frozenset({Address(6, V6 + 9), Address(4, REMOTE + 5), Address(4, REMOTE + 3)})})
    assert decide(found).target == server(3)
    assert decide(found, sock6(V6 + 7, 9), V6_PROXY).target == sock6(V6 + 9, 53)


@pytest.mark.parametrize("allowed", [3, 5])
def test_a_server_condition_holds_only_for_the_address_the_session_goes_to(allowed: int) -> None:
    servers = hosts(Address(4, REMOTE + allowed))
    found = admit(dataclasses.replace(rule(plug_to=named("a")), servers=servers))
    found.learn_names({"a": frozenset({Address(4, REMOTE + 5), Address(4, REMOTE + 3)})})
    grant = decide(found)
    assert (grant.refusal, grant.target) == ((None, server(3)) if allowed == 3 else (DropReason.REJECTED, b""))


def test_a_target_of_the_other_ip_version_is_better_than_none() -> None:
    found = admit(rule(plug_to=named("a")))
    found.learn_names({"a": frozenset({Address(6, V6 + 9)})})
    assert decide(found).target == sock6(V6 + 9, 53)


def test_new_names_change_the_targets_of_new_sessions() -> None:
    found = admit(rule(plug_to=named("a")))
    for number in (1, 2):
        found.learn_names({"a": frozenset({Address(4, REMOTE + number)})})
        assert decide(found).target == server(number)


def test_the_rules_are_asked_at_the_time_of_the_session() -> None:
    hours = iter(CivilTime(6, 15, 1, minute) for minute in (479, 480, 1019, 1020))
    found = Admission((rule(time=(TimeItem(minutes=((480, 1020),)),)),), lambda: next(hours))
    assert [decide(found).refusal for _ in range(4)] == [DropReason.REJECTED, None, None, DropReason.REJECTED]


def sources() -> Iterator[bytes]:
    for number in (1, 2, 3, 4):
        yield from (client(number, 1), client(number, 2))
    yield from (sock6(V6 + 1, 1), sock6(V6 + (1 << 64), 1))


@pytest.mark.parametrize("plug_to", [TARGET, None, named("a"), Sock(Address(4, REMOTE + 2), None)])
def test_decisions_that_are_remembered_are_those_that_are_not(plug_to: Sock | None) -> None:
    def rules(*, remembered: bool) -> tuple[AclSettings, ...]:
        time = None if remembered else ALWAYS
        return (
            rule("A", clients=(1,), plug_to=plug_to, time=time),
            rule("B", clients=(1, 2), accept=False, time=time),
            rule("C", clients=(3,), kind=SessionKind.ONE_WAY, time=time),
        )

    quick, slow = admit(*rules(remembered=True)), admit(*rules(remembered=False))
    for known in ({}, {"a": frozenset({Address(4, REMOTE + 8)})}, {"a": frozenset({Address(4, REMOTE + 9)})}):
        for found in (quick, slow):
            found.learn_names(known)
        for _ in range(2):
            for destination in (PROXY, sock(LOCAL, 5301)):
                for source in sources():
                    one, other = quick.decide(0, source, destination), slow.decide(0, source, destination)
                    assert (one.refusal, one.target) == (other.refusal, other.target)
                    assert (one.rule and one.rule.name) == (other.rule and other.rule.name)


def test_more_clients_than_are_remembered_are_decided_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "CACHE_ENTRIES", 2)
    found = admit(rule(clients=(1, 3)))
    for number in (1, 2, 3, 4, 1, 2, 3, 4):
        assert (decide(found, client(number)).refusal is None) is (number in (1, 3))


def test_a_condition_on_the_clients_port_is_not_remembered_by_address() -> None:
    fits = rule(clients=(1,))
    condition = type(fits.sources[0])(fits.sources[0].hosts, ((1, 1),))
    found = admit(AclSettings("P", True, sources=(condition,), plug_to=TARGET))
    assert decide(found, client(1, 1)).refusal is None
    assert decide(found, client(1, 2)).refusal is DropReason.REJECTED
