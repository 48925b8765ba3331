from __future__ import annotations

import pytest

from tests.proxyd.config.samples import ACTIONS, acl, config, errors, warnings

BROADCAST_LISTEN = "non-transparent [0.0.0.0] port 5300; transparent [0.0.0.0] port 5300;"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "found neither 'accept' nor 'deny'; wanted exactly one of them"),
        (f"{ACTIONS} deny;", "found both 'accept' and 'deny'; wanted exactly one of them"),
        (f"{ACTIONS} time *; time-period-set {{ }}", "found both 'time' and 'time-period-set'; wanted one of them"),
        (f"{ACTIONS} time-period-set {{ time-spec T {{ dates 30 feb 1 mar; }} }}", "found day 30 of feb"),
        (f"{ACTIONS} source-port client;", "found 'source-port'; wanted 'source-address client' with it"),
        (
            f"{ACTIONS} source-address addr4 [192.0.2.1]; source-port client;",
            "found 'source-port'; wanted 'source-address client' with it",
        ),
        (
            f"{ACTIONS} source-address client; source-port force 7;",
            "found 'source-port force 7'; wanted a 'listen-on' item that covers this port",
        ),
        (f"{ACTIONS} session-type broadcast;", "found 'session-type broadcast'; wanted a listener on [0.0.0.0]"),
        (f"{ACTIONS} queue-to-server bulk;", "found 'bulk'; wanted the name of a section 'queue'"),
        ("accept; plug-to [0.0.0.0] : 53; timeout in 1;", "found [0.0.0.0]; wanted the address of a server"),
        (
            "accept; plug-to [fe80::1] : 53; timeout in 1;",
            "found the link-local address [fe80::1]; wanted one that does",
        ),
        ("accept; plug-to [192.0.2.1]; timeout;", "found nothing after 'timeout'; wanted session, in, out or both"),
    ],
)
def test_what_contradicts_itself_is_refused(body: str, message: str) -> None:
    found = errors(acl(body))
    assert len(found) == 1
    assert message in found[0]


def test_a_misspelt_queue_names_the_nearest() -> None:
    (found,) = errors(acl(f"{ACTIONS} queue-to-client bulc;", file="queue bulk { }"))
    assert "did you mean 'bulk'?" in found


def test_the_proxys_source_address_counts_for_rules_without_one() -> None:
    body = f"{ACTIONS} source-port force 5300;"
    assert errors(acl(body, proxy="source-address client;")) == []
    assert len(errors(acl(f"{body} source-address default;", proxy="source-address client;"))) == 1


def test_a_forced_port_may_lie_in_a_listeners_range() -> None:
    body = f"{ACTIONS} source-address client; source-port force 5305;"
    assert errors(acl(body, listen="non-transparent [127.0.0.1] port 5300 to 5310;")) == []


@pytest.mark.parametrize("listen", ["non-transparent [0.0.0.0] port 53;", "transparent [192.0.2.1] port 53;"])
def test_broadcast_is_taken_with_a_listener_that_sees_it(listen: str) -> None:
    assert errors(acl(f"{ACTIONS} session-type broadcast;", listen=listen)) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("deny; timeout in 1;", "'timeout' has no effect in a rule that denies"),
        ("deny; ip-tos-to-client { }", "'ip-tos-to-client' has no effect in a rule that denies"),
        ("accept; timeout in 1;", "non-transparent sessions will fail"),
        ("accept; plug-to [192.0.2.1];", "'timeout both 120' counts"),
        (f"{ACTIONS} user alice;", "never holds without 'auth oob'"),
        (f"{ACTIONS} from {{ *, ! [192.0.2.1] }};", "'! [192.0.2.1]' comes after '*', which covers it"),
        (f"{ACTIONS} from {{ }};", "the empty set matches no host"),
        (f"{ACTIONS} from ! [192.0.2.1];", "all members are behind '!', so no host is in the set"),
        (f"{ACTIONS} to {{ ! [192.0.2.1], ! {{ * }} }};", "all members are behind '!', so no host is in the set"),
        (f"{ACTIONS} to * port ! 53;", "nothing is in the set 'port', so the condition never holds"),
        (f"{ACTIONS} time {{ ! sun, ! sat }};", "nothing is in the set 'wday', so the condition never holds"),
        (f"{ACTIONS} ip-tos-from {{ }};", "nothing is in the set 'val', so the condition never holds"),
        (f"{ACTIONS} session-type one-way; max-dgrams-in 1;", "'max-dgrams-in' has no effect in a one-way session"),
        (f"{ACTIONS} session-type one-way; max-bytes-in 1;", "'max-bytes-in' has no effect in a one-way session"),
        (
            "accept; plug-to [192.0.2.1]; session-type one-way; timeout in 1;",
            "'timeout in' has no effect in a one-way session",
        ),
        (f"{ACTIONS} source-address client; source-port client;", "this cannot be checked"),
    ],
)
def test_what_may_not_be_meant_is_warned_of(body: str, message: str) -> None:
    found = warnings(acl(body))
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    "body",
    [
        ACTIONS,
        "deny;",
        "accept; transparency transparent; timeout in 1;",
        f"{ACTIONS} user none;",
        f"{ACTIONS} from {{ ! [192.0.2.1], * }};",
        f"{ACTIONS} session-type one-way; max-dgrams-out 1;",
    ],
)
def test_an_ordinary_rule_gives_no_warning(body: str) -> None:
    assert warnings(acl(body)) == []


def test_a_rule_without_plug_to_is_fine_where_all_listeners_are_transparent() -> None:
    assert warnings(acl("accept; timeout in 1;", listen="transparent [192.0.2.1] port 53;")) == []


PORT = "non-transparent [{}] port 5300 to 5302;"


@pytest.mark.parametrize(
    ("listen", "plug_to", "warned"),
    [
        (PORT.format("127.0.0.1"), "[127.0.0.1] : 5302", True),
        (PORT.format("127.0.0.1"), "[127.0.0.1]", True),
        (PORT.format("127.0.0.1"), "[127.0.0.1] : 5303", False),
        (PORT.format("127.0.0.1"), "[127.0.0.2] : 5302", False),
        (PORT.format("::1"), "[::1] : 5300", True),
        (PORT.format("0.0.0.0"), "[127.9.9.9] : 5301", True),
        (PORT.format("0.0.0.0"), "[192.0.2.1] : 5301", False),
        (PORT.format("0.0.0.0"), "[::1] : 5301", False),
        (PORT.format("::"), "[::1] : 5301", True),
    ],
)
def test_a_target_that_is_the_proxy_itself_is_warned_of(listen: str, plug_to: str, warned: bool) -> None:
    found = warnings(acl(f"accept; plug-to {plug_to}; timeout in 1;", listen=listen))
    assert [("where the proxy itself listens" in text) for text in found] == [True] * warned


def test_a_name_in_plug_to_needs_resolution() -> None:
    body = "accept; plug-to ns.example.com : 53; timeout in 1;"
    assert warnings(acl(body)) == []
    assert "is not resolved with 'cfg-resolution no'" in warnings(acl(body, proxy="cfg-resolution no;"))[0]


def test_broadcast_with_a_forced_source_port_is_warned_of() -> None:
    body = f"{ACTIONS} session-type broadcast; source-address client; source-port force 5300;"
    assert any(
        "rejects sessions that stay on one interface" in text for text in warnings(acl(body, listen=BROADCAST_LISTEN))
    )


@pytest.mark.parametrize(
    ("other", "warned"),
    [
        ("to [192.0.2.255];", True),
        ("", True),
        ("to [192.0.2.0/24] port 53;", True),
        ("to [192.0.2.0/24] port 54;", False),
        ("to [198.51.100.0/24];", False),
        ("to host.example.com;", True),
    ],
)
def test_broadcast_beside_other_types_for_the_same_destination_is_warned_of(other: str, warned: bool) -> None:
    text = config(
        listen=BROADCAST_LISTEN,
        acls=f"session-acl B {{ to [192.0.2.255] port 53; {ACTIONS} session-type broadcast; }}"
        f" session-acl N {{ {other} {ACTIONS} }}",
    )
    assert bool([found for found in warnings(text) if "may have the same destination" in found]) is warned


def test_a_rule_that_denies_is_no_traffic_to_mix_with() -> None:
    text = config(
        listen=BROADCAST_LISTEN,
        acls=f"session-acl B {{ {ACTIONS} session-type broadcast; }} session-acl N {{ deny; }}",
    )
    assert warnings(text) == []


USERS = {"file": 'oob-auth O { method external; file "/users"; }', "proxy": "auth oob O; user-match short;"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "to * port { *, ! 53 };",
            "'! 53' comes after what covers it, and has no effect; put it first to leave it out",
        ),
        ("from { [192.0.2.0/24], { any } };", "'any' is one host here; '*' stands for all of them"),
        ("to [0.0.0.0];", "'[0.0.0.0]' is one host here; '*' stands for all of them"),
        ("time-period-set { }", "without a 'time-spec' this condition never holds; "),
        ("user { };", "the empty set matches no user; "),
        ("user group { };", "the empty set matches no user; "),
        ('user "ann@x";', "'ann@x' is the name of no user with 'user-match short'; wanted 'ann', without domain"),
    ],
)
def test_conditions_that_do_nothing_are_warned_of(body: str, message: str) -> None:
    assert warnings(acl(f"{body} {ACTIONS}", **USERS)) == [message]


@pytest.mark.parametrize("body", ["user *;", "user { } group a;", "user group a;", "user none;", "user ann;"])
def test_conditions_on_users_that_may_hold_are_not_warned_of(body: str) -> None:
    assert warnings(acl(f"{body} {ACTIONS}", **USERS)) == []
