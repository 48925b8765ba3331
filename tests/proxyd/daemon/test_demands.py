"""What a configuration asks for, and that each demand names where it comes from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxyd.daemon import demands
from proxyd.daemon.demands import Choice, Wishes
from workers.contract.settings import (
    AclSettings,
    Address,
    ListenerSettings,
    QueueSettings,
    SessionKind,
    Settings,
    SourceAddress,
    SourcePort,
    SourcePortMode,
)

ANY = Address(4, 0)
HOME = Address(4, 127 << 24 | 1)
CLIENT = SourceAddress(client=True)
ACCEPT = AclSettings("A", True)
FORCED = SourcePort(SourcePortMode.FORCE, 5000)
FIRST_FREE = 1024


def settings(*acls: AclSettings, listener: ListenerSettings | None = None, **fields: object) -> Settings:
    return Settings("TEST", (listener or ListenerSettings(HOME, 5300),), 10, 1, acls, **fields)  # type: ignore[arg-type]


def workers(given: Settings) -> list[str]:
    return [f"{need.capability.name}: {need.purpose}" for need in demands.of_workers(given, FIRST_FREE)]


def listeners(given: Settings) -> list[str]:
    return [f"{need.capability.name}: {need.purpose}" for need in demands.of_listeners(given, FIRST_FREE)]


def test_ordinary_rules_ask_for_nothing() -> None:
    assert workers(settings(ACCEPT)) == listeners(settings(ACCEPT)) == []


@pytest.mark.parametrize(
    ("listener", "said"),
    [
        (ListenerSettings(HOME, 53), "CAP_NET_BIND_SERVICE: port 53"),
        (ListenerSettings(HOME, 5300, True), "CAP_NET_RAW: 'transparent [127.0.0.1] port 5300' in listen-on"),
        (
            ListenerSettings(Address(6, 1), 5300, True, "eth0"),
            "CAP_NET_RAW: 'transparent iface eth0 [::1] port 5300' in listen-on",
        ),
    ],
)
def test_a_listener_asks_for_its_capability(listener: ListenerSettings, said: str) -> None:
    assert listeners(settings(ACCEPT, listener=listener)) == [said]


def test_answers_to_broadcasts_need_a_foreign_source() -> None:
    rule = replace(ACCEPT, kind=SessionKind.BROADCAST)
    assert listeners(settings(rule)) == ["CAP_NET_RAW: 'session-type broadcast' in session-acl A"]
    assert demands.wishes(settings(rule)).forged
    assert not demands.wishes(settings(replace(rule, accept=False))).forged


def test_the_clients_address_is_asked_for_where_it_is_written() -> None:
    assert workers(settings(replace(ACCEPT, source_address=CLIENT))) == [
        "CAP_NET_RAW: 'source-address client' in session-acl A"
    ]
    assert workers(settings(ACCEPT, source_address=CLIENT)) == ["CAP_NET_RAW: 'source-address client' in the proxy"]


def test_a_rules_own_source_address_stands_above_the_proxys() -> None:
    rule = replace(ACCEPT, source_address=SourceAddress(addr4=1))
    assert workers(settings(rule, source_address=CLIENT)) == []


@pytest.mark.parametrize(
    ("forced", "asked"),
    [
        (SourcePort(SourcePortMode.FORCE, 123), True),
        (SourcePort(SourcePortMode.FORCE, 1024), False),
        (SourcePort(SourcePortMode.CLIENT), True),
    ],
)
def test_low_source_ports_ask_for_a_capability(forced: SourcePort, asked: bool) -> None:
    given = settings(replace(ACCEPT, source_port=forced))
    assert workers(given) == (["CAP_NET_BIND_SERVICE: 'source-port' in session-acl A"] if asked else [])
    assert demands.of_workers(given, 0) == []


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        (QueueSettings("Q", mark=7), ["CAP_NET_RAW: 'mark 7' in queue Q"]),
        (QueueSettings("Q", priority=7), ["CAP_NET_RAW: 'priority 7' in queue Q"]),
        (QueueSettings("Q", priority=6, rate_bps=1000), []),
    ],
)
def test_marks_and_high_priorities_ask_for_a_capability_where_a_rule_uses_them(
    queue: QueueSettings, said: list[str]
) -> None:
    for rule in (replace(ACCEPT, queue_to_client="Q"), replace(ACCEPT, queue_to_server="Q")):
        assert workers(settings(rule, queues=(queue,))) == said
    assert workers(settings(ACCEPT, queues=(queue,))) == []
    assert workers(settings(AclSettings("D", False, queue_to_client="Q"), queues=(queue,))) == []


@pytest.mark.parametrize(
    ("rules", "transparent", "direct"),
    [
        ([ACCEPT], Choice.KERNEL, Choice.KERNEL),
        ([ACCEPT, replace(ACCEPT, kind=SessionKind.ANY_SOCK)], Choice.CLIENT, Choice.KERNEL),
        ([replace(ACCEPT, source_port=FORCED), replace(ACCEPT, kind=SessionKind.ANY_SOCK)], Choice.FIRST, Choice.FIRST),
        ([replace(ACCEPT, source_port=FORCED, transparent=True)], Choice.FIRST, Choice.KERNEL),
        ([replace(ACCEPT, source_port=FORCED, accept=False)], Choice.KERNEL, Choice.KERNEL),
    ],
)
def test_sessions_and_what_belongs_to_them_meet_in_one_worker(
    rules: list[AclSettings], transparent: Choice, direct: Choice
) -> None:
    found = demands.wishes(settings(*rules))
    assert (found.transparent, found.direct) == (transparent, direct)
    assert found.shared is (transparent is Choice.FIRST)


def test_rules_tell_whether_they_look_at_the_type_of_service() -> None:
    assert demands.wishes(settings(AclSettings("D", False, tos=frozenset((8,))))).tos
    assert demands.wishes(settings(ACCEPT)) == Wishes()


def test_a_listener_is_shown_as_its_item() -> None:
    assert demands.item_of(ListenerSettings(ANY, 69, True)) == "transparent [0.0.0.0] port 69"
    assert demands.item_of(ListenerSettings(ANY, 69)) == "non-transparent [0.0.0.0] port 69"
