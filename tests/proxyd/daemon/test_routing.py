"""What routing does for transparent listeners: read from bytes, judged, and asked of a namespace's kernel."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.daemon import routing
from proxyd.daemon.routing import (
    Checks,
    Routing,
    Rule,
    decode_local_table,
    decode_rule,
    is_strict,
    judge,
    marks_count,
    read_routing,
    way_to,
)
from tests.kit.place import Namespace
from tests.kit.requirement import requires_namespaces
from workers.contract.settings import (
    AclSettings,
    Address,
    AddressRange,
    HostCondition,
    HostList,
    HostMember,
    ListenerSettings,
    SessionKind,
    Settings,
    SourceAddress,
)
from workers.errors import DecodeError

ANY4, ANY6 = Address(4, 0), Address(6, 0)
ACCEPT = AclSettings("A", True)
FRONT = ListenerSettings(ANY4, 69, transparent=True, device="front")
NOTHING = Routing((Rule(255), Rule(254)), frozenset())
ANYWHERE = Routing((Rule(255), Rule(100)), frozenset((100,)))
BY_MARK = Routing((Rule(255), Rule(100, marked=True)), frozenset((100,)))
LOCAL, UNICAST = 2, 1


def body(*fixed: int, **fields: bytes) -> bytes:
    """Return family, prefix lengths, TOS, table, protocol, scope, type; attributes as a_NUMBER."""
    raw = struct.pack("=BBBBBBBBI", *fixed, 0)
    for name, data in fields.items():
        raw += (struct.pack("=HH", 4 + len(data), int(name[2:])) + data).ljust((7 + len(data)) & ~3, b"\0")
    return raw


def number(value: int) -> bytes:
    return struct.pack("=I", value)


def settings(*acls: AclSettings, listeners: tuple[ListenerSettings, ...] = (FRONT,)) -> Settings:
    return Settings("TEST", listeners, 10, 1, acls or (ACCEPT,))


def judged(given: Settings, *routings: Routing, counts: bool = False) -> list[str]:
    return judge(given, dict(zip((4, 6), routings, strict=False)), checks(marks=counts))


def checks(*, marks: bool = False, strict: bool = False, way: str | None = None) -> Checks:
    return Checks(lambda _: marks, lambda _: strict, lambda _: way)


def test_a_rule_is_read_with_its_interface_its_mark_and_its_table() -> None:
    assert decode_rule(body(2, 0, 0, 0, 100, 0, 0, 1)) == Rule(100)
    raw = body(2, 0, 0, 0, 252, 0, 0, 1, a_3=b"front\0", a_10=number(7), a_15=number(7570))
    assert decode_rule(raw) == Rule(7570, "front", marked=True)


def test_a_rule_that_leads_to_no_table_is_passed_over() -> None:
    assert decode_rule(body(2, 0, 0, 0, 0, 0, 0, 6)) is None


def test_only_local_routes_for_more_than_an_own_address_count() -> None:
    assert decode_local_table(body(2, 0, 0, 0, 100, 0, 0, LOCAL)) == 100
    assert decode_local_table(body(2, 24, 0, 0, 255, 0, 0, LOCAL, a_1=b"\xc6\x33\x64\x00")) == 255
    assert decode_local_table(body(10, 0, 0, 0, 252, 0, 0, LOCAL, a_15=number(7570))) == 7570
    assert decode_local_table(body(2, 0, 0, 0, 100, 0, 0, UNICAST)) is None
    assert decode_local_table(body(2, 32, 0, 0, 255, 0, 0, LOCAL, a_1=b"\x0a\x01\x01\x01")) is None
    assert decode_local_table(body(2, 8, 0, 0, 255, 0, 0, LOCAL, a_1=b"\x7f\x00\x00\x00")) is None
    assert decode_local_table(body(10, 128, 0, 0, 255, 0, 0, LOCAL, a_1=bytes(15) + b"\x01")) is None


@given(st.binary(max_size=60))
def test_any_body_is_read_or_refused(raw: bytes) -> None:
    for decode in (decode_rule, decode_local_table):
        try:
            decode(raw)
        except DecodeError:
            continue


def test_a_listener_that_nothing_is_led_to_is_warned_of_with_what_mends_it() -> None:
    (text,) = judged(settings(), NOTHING)
    assert "'transparent' port 69 of front: no routing rule brings what is sent to other machines by IPv4" in text
    assert "'ip -4 rule add iif front ipproto udp dport 69 lookup 7570'" in text
    assert "'ip -4 route add local default dev lo table 7570'" in text


def test_ports_and_versions_are_told_together_and_apart() -> None:
    ports = [ListenerSettings(version, port, True) for version in (ANY4, ANY6) for port in (7000, 7001, 7002)]
    four, six = judged(settings(listeners=tuple(ports)), NOTHING, NOTHING)
    assert "ip -4 rule add ipproto udp dport 7000-7002 lookup" in four
    assert "ip -6 rule add ipproto udp dport 7000-7002 lookup" in six


@pytest.mark.parametrize(
    ("known", "led"),
    [
        (ANYWHERE, True),
        (BY_MARK, True),
        (Routing((Rule(100, "front"),), frozenset((100,))), True),
        (Routing((Rule(255),), frozenset((255,))), True),
        (Routing((Rule(100, "back"),), frozenset((100,))), False),
        (Routing((Rule(101),), frozenset((100,))), False),
    ],
)
def test_a_rule_must_lead_from_the_listeners_device_to_a_local_route(known: Routing, led: bool) -> None:
    assert bool(judged(settings(), known)) is not led


@pytest.mark.parametrize(
    "given",
    [
        settings(replace(ACCEPT, transparent=False)),
        settings(replace(ACCEPT, kind=SessionKind.BROADCAST)),
        settings(replace(ACCEPT, accept=False)),
        settings(listeners=(ListenerSettings(ANY4, 69),)),
    ],
)
def test_what_needs_no_routing_is_not_warned_of(given: Settings) -> None:
    assert judged(given, NOTHING) == []


def test_what_the_kernel_does_not_tell_is_not_warned_of() -> None:
    assert judge(settings(), {}, checks(marks=True, strict=True)) == []


def test_marked_datagrams_are_dropped_where_the_mark_counts_for_their_source() -> None:
    (text,) = judged(settings(), BY_MARK, counts=True)
    assert "net.ipv4.conf.front.src_valid_mark is 1" in text
    bound_to_interface = Routing((Rule(100, "front", marked=True),), frozenset((100,)))
    assert judged(settings(), bound_to_interface, counts=True) == judged(settings(), ANYWHERE, counts=True) == []


def test_answers_to_clients_need_a_way_back_by_another_interface() -> None:
    pretending = replace(ACCEPT, source_address=SourceAddress(client=True))
    clients_side = Routing((Rule(100, "front"),), frozenset((100,)))
    (text,) = judged(settings(pretending), clients_side)
    assert "'source-address client': no routing rule brings servers' answers to IPv4 clients" in text
    assert "ip -4 rule add fwmark 0x75700001 lookup 7570" in text
    both = Routing((*clients_side.rules, Rule(100, "back", marked=True)), frozenset((100,)))
    for enough in (both, ANYWHERE):
        assert judged(settings(pretending), enough) == []
    two = (FRONT, replace(FRONT, device="back"))
    assert "of back: no routing rule" in judged(settings(pretending, listeners=two), clients_side)[0]


def clients(*addresses: tuple[int, int], negated: bool = False) -> AclSettings:
    members = tuple(HostMember(AddressRange(4, *address), negated) for address in addresses)
    return replace(ACCEPT, sources=(HostCondition(HostList(members)),))


NETWORK = (0x0A02_0000, 0x0A02_00FF)


def test_clients_that_are_answered_by_another_interface_are_dropped_where_that_is_checked() -> None:
    (text,) = judge(settings(clients(NETWORK)), {4: ANYWHERE}, checks(strict=True, way="back"))
    assert text == (
        "'from' of session-acl A: answers to 10.2.0.254 leave by back, so that net.ipv4.conf.front.rp_filter, "
        "which is 1, has its datagrams dropped on front; 2 lets them in"
    )
    (text,) = judge(settings(clients(NETWORK)), {4: ANYWHERE}, checks(strict=True))
    assert "leave by nothing" in text


@pytest.mark.parametrize(
    ("given", "check"),
    [
        (settings(clients(NETWORK)), checks(strict=False, way="back")),
        (settings(clients(NETWORK)), checks(strict=True, way="front")),
        (settings(clients(NETWORK, negated=True)), checks(strict=True, way="back")),
        (settings(clients((0, 0xFFFF_FFFF), (0x0A00_0000, 0x0AFF_FFFF))), checks(strict=True, way="back")),
        (settings(clients(NETWORK), listeners=(ListenerSettings(ANY4, 69, True),)), checks(strict=True, way="back")),
        (settings(clients(NETWORK), listeners=(ListenerSettings(ANY4, 69),)), checks(strict=True, way="back")),
    ],
)
def test_clients_that_nothing_drops_are_not_warned_of(given: Settings, check: Checks) -> None:
    assert judge(given, {4: ANYWHERE}, check) == []


def test_some_hosts_of_a_network_stand_for_it_as_one_may_be_this_machine() -> None:
    ways = {0x0A02_0001: "lo", 0x0A02_007F: "front", 0x0A02_00FE: "front", 0x0A03_0005: "front"}
    asked: list[int] = []

    def way(address: int) -> str | None:
        asked.append(address)
        return ways[address]

    rules = clients(NETWORK, (0x0A03_0005, 0x0A03_0005))
    assert judge(settings(rules), {4: ANYWHERE}, Checks(lambda _: False, lambda _: True, way)) == []
    assert asked == list(ways)


def test_of_a_long_list_of_networks_the_beginning_is_looked_at() -> None:
    rules = clients(*((number, number) for number in range(1, 1000)))
    assert len(judge(settings(rules), {4: ANYWHERE}, checks(strict=True))) == 100


def test_sources_are_checked_strictly_where_the_larger_setting_says_so(tmp_path: Path) -> None:
    for name, value in (("all", 1), ("front", 0), ("back", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rp_filter").write_text(f"{value}\n")
    assert [is_strict(device, tmp_path) for device in ("front", "back", "no-such")] == [True, False, False]


@requires_namespaces
def test_the_way_to_an_address_is_the_kernels(namespace: Namespace) -> None:
    assert namespace.call(lambda: way_to(0x0A01_0109)) == "front"
    assert namespace.call(lambda: way_to(0x0A02_0101)) is None


def test_marks_count_where_either_setting_says_so(tmp_path: Path) -> None:
    for name in ("all", "front", "back"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "src_valid_mark").write_text("1\n" if name == "back" else "0\n")
    assert [marks_count(device, tmp_path) for device in ("front", "back", "no-such")] == [False, True, False]


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    place = Namespace(f"pxd-{os.getpid()}-1-routing")
    try:
        place.make()
        place.configure(["link add front type veth", "addr add 10.1.1.1/24 dev front", "link set front up"])
        yield place
    finally:
        place.close()


@requires_namespaces
def test_the_kernels_routing_is_read_as_it_is(namespace: Namespace) -> None:
    usual = namespace.call(lambda: read_routing(4))
    assert usual is not None
    assert usual.delivering(None) == []
    assert {rule.table for rule in usual.rules} == {255, 254, 253}
    for version in ("-4", "-6"):
        for command in (
            "rule add iif front ipproto udp dport 69 lookup 7570",
            "rule add fwmark 0x7 lookup 7570",
            "route add local default dev lo table 7570",
        ):
            namespace.run(["ip", version, *command.split()])
    for number in (4, 6):
        found = namespace.call(lambda number=number: read_routing(number))  # type: ignore[misc]
        assert found is not None
        assert set(found.delivering("front")) == {Rule(7570, "front"), Rule(7570, None, marked=True)}
        assert found.local_tables == {7570}
    namespace.run(["ip", "route", "add", "local", "198.51.100.0/24", "dev", "lo"])
    everywhere = namespace.call(lambda: read_routing(4))
    assert everywhere is not None
    assert Rule(255) in everywhere.delivering("back")


@requires_namespaces
def test_a_configuration_is_diagnosed_where_it_runs(namespace: Namespace) -> None:
    (text,) = namespace.call(lambda: routing.diagnose(settings()))
    assert "port 69 of front" in text
    assert namespace.call(lambda: routing.diagnose(settings(listeners=(ListenerSettings(ANY4, 69),)))) == []
