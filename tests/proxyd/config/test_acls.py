from __future__ import annotations

from proxyd.config.acls import timeouts
from tests.proxyd.config.samples import ACTIONS, acl, compiled_acl, load
from workers.contract.settings import (
    Address,
    HostName,
    Limits,
    SessionKind,
    Sock,
    SourcePort,
    SourcePortMode,
    TimeItem,
    TimePeriods,
    TimeSpec,
)

SECOND = 1_000_000_000


def test_a_plain_rule_is_compiled() -> None:
    rule = compiled_acl("accept; plug-to [192.0.2.53] : 53; timeout session 10 both 5;")
    assert (rule.name, rule.accept, rule.kind) == ("A", True, SessionKind.NORMAL)
    assert rule.plug_to == Sock(Address(4, 0xC0000235), 53)
    assert rule.limits == Limits(session_ns=10 * SECOND, both_ns=5 * SECOND)
    assert (rule.sources, rule.users, rule.time, rule.transparent, rule.tos) == ((), (), None, None, None)


def test_limits_are_unlimited_unless_written() -> None:
    rule = compiled_acl(f"{ACTIONS} max-dgrams-in 1; max-dgrams-out 2; max-bytes-in 3K; max-bytes-out 4;")
    limits = rule.limits
    assert (limits.max_dgrams_in, limits.max_dgrams_out, limits.max_bytes_in, limits.max_bytes_out) == (1, 2, 3072, 4)
    assert compiled_acl(ACTIONS).limits == Limits(both_ns=5 * SECOND)


def test_without_a_timeout_both_directions_may_be_idle_for_two_minutes() -> None:
    assert compiled_acl("accept; plug-to [192.0.2.53];").limits == Limits(both_ns=120 * SECOND)


def test_limits_on_what_never_comes_in_are_ignored_in_one_way_sessions() -> None:
    text = "accept; plug-to [192.0.2.53]; session-type one-way; max-dgrams-in 1; max-bytes-in 1; timeout in 3 out 4;"
    assert compiled_acl(text).limits == Limits(out_ns=4 * SECOND)


def test_a_one_way_session_never_lasts_forever_because_a_limit_is_ignored() -> None:
    text = "accept; plug-to [192.0.2.53]; session-type one-way; timeout in 3;"
    assert compiled_acl(text).limits == Limits(both_ns=120 * SECOND)
    assert timeouts(next(load(acl(text)).proxy.sections_of("session-acl"))) == {"both": 120}


def test_host_conditions_of_a_kind_are_kept_in_order_with_their_ports() -> None:
    rule = compiled_acl(f"to [192.0.2.1] port {{ 53, 60-62 }}; to *; to host port *; server [::1]; {ACTIONS}")
    assert [condition.ports for condition in rule.destinations] == [((53, 53), (60, 62)), None, None]
    assert rule.destinations[2].hosts.members[0].item == HostName("host")
    assert len(rule.servers) == 1


def test_times_have_named_and_placed_elements() -> None:
    rule = compiled_acl(f"time {{ mon-fri }} {{ 0700-1900 }}; time day 1 month {{ jan, dec }}; time *; {ACTIONS}")
    assert rule.time == (
        TimeItem(weekdays=frozenset({1, 2, 3, 4, 5}), minutes=((420, 1140),)),
        TimeItem(days=frozenset({1}), months=frozenset({1, 12})),
        TimeItem(),
    )


def test_periods_of_time_are_compiled() -> None:
    rule = compiled_acl(
        "time-period-set { exclude; time-spec NIGHT { hours 2200 0600; weekdays fri mon; dates 24 dec 6 jan; }"
        f" time-spec NOON {{ hours 1200 1300; }} }} {ACTIONS}"
    )
    night = TimeSpec("NIGHT", (((24, 12), (6, 1)),), ((5, 1),), ((1320, 360),))
    assert rule.time == TimePeriods(True, (night, TimeSpec("NOON", hours=((720, 780),))))


def test_a_port_left_out_of_plug_to_is_the_clients() -> None:
    assert compiled_acl("accept; plug-to ns.example.com; timeout in 1;").plug_to == Sock(
        HostName("ns.example.com"), None
    )


def test_a_rule_that_denies_has_conditions_only() -> None:
    rule = compiled_acl("from [192.0.2.1]; transparency transparent; deny; max-dgrams-in 5; session-type one-way;")
    assert (rule.accept, rule.transparent, len(rule.sources)) == (False, True, 1)
    assert (rule.limits, rule.kind) == (Limits(), SessionKind.NORMAL)


def test_source_ports_and_type_of_service_are_compiled() -> None:
    text = (
        f"{ACTIONS} ip-tos-from {{ 0, 16-17 }}; source-address client; source-port force 5300;"
        " ip-tos-to-client { set 0x10; } ip-tos-to-server { }"
    )
    rule = compiled_acl(text)
    assert rule.tos == {0, 16, 17}
    assert rule.source_port == SourcePort(SourcePortMode.FORCE, 5300)
    assert (rule.tos_to_client, rule.tos_to_server) == (16, None)
    assert compiled_acl(f"{ACTIONS} source-address client; source-port client;").source_port == SourcePort(
        SourcePortMode.CLIENT
    )
