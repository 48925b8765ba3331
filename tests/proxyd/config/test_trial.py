from __future__ import annotations

from datetime import datetime

import pytest

from proxyd.config.expression import parse_expression
from proxyd.config.trial import Answer, Trial, help_text
from proxyd.config.values.words import show_string
from tests.proxyd.config.samples import ACTIONS, acl, config, load
from workers.contract.settings import Address
from workers.policy.hostset import NameBook

NOW = datetime(2026, 11, 21, 22, 33)
BOOK = {
    "ns.example": frozenset({Address(4, 0xC0000235), Address(6, 5)}),
    "client.example": frozenset({Address(4, 7), Address(6, 9)}),
}

TEXT = config(
    acls=(
        "session-acl BAD { from [192.0.2.66]; deny; }"
        " session-acl NAME { from client.example; accept; plug-to ns.example : 53; timeout in 1; }"
        " session-acl TO { to [198.51.100.0/24] port 69; accept; session-type one-way; timeout in 1; }"
        " session-acl SERVER { server [203.0.113.1] port 7; from [192.0.2.8]; accept; plug-to [203.0.113.2];"
        " timeout in 1; }"
        " session-acl NIGHT { time * 2200-2400; from [192.0.2.9]; accept; plug-to [::1] : 7; timeout in 1; }"
    )
)


def ask(expression: str, book: NameBook | None = None, text: str = TEXT) -> Answer:
    (command,) = parse_expression(expression, NOW)
    return Trial(load(text), book or {}, book is not None).run(command)


def test_a_rule_that_denies_rejects_by_name() -> None:
    answer = ask("test from [192.0.2.66] to [2.2.2.2] : 53;")
    assert answer.text == "TEST FROM=[192.0.2.66] TO=[2.2.2.2]:53 TRANSP=NO USER=<NULL> NAME=BAD REJECTED\n"
    assert not answer.accepted


def test_no_rule_rejects_without_a_name_and_names_what_was_not_resolved() -> None:
    answer = ask("test from [192.0.2.1];")
    assert answer.text.endswith("NAME=<NULL> REJECTED UNRESOLVED=client.example\n")


def test_a_name_matches_an_equal_name_where_nothing_was_resolved() -> None:
    answer = ask("test from Client.example.;")
    assert answer.accepted
    assert "NAME=NAME ACCEPTED PLUG-TO=ns.example:53 TYPE=normal UNRESOLVED=client.example" in answer.text


def test_a_resolved_name_matches_its_addresses_and_gives_the_target() -> None:
    answer = ask("test from [0.0.0.7];", BOOK)
    assert answer.text.endswith("NAME=NAME ACCEPTED PLUG-TO=[192.0.2.53]:53 TYPE=normal\n")
    answer = ask("test from [::9];", BOOK)
    assert "PLUG-TO=[::5]:53" in answer.text


def test_a_server_condition_is_held_against_the_target_that_is_printed() -> None:
    rule = "session-acl A {{ server [{}]; accept; plug-to ns.example : 53; timeout in 1; }}"
    book = {"ns.example": frozenset({Address(4, 0xC0000235), Address(4, 0xC0000236)})}
    assert "ACCEPTED PLUG-TO=[192.0.2.53]:53" in ask("test;", book, config(acls=rule.format("192.0.2.53"))).text
    assert "REJECTED" in ask("test;", book, config(acls=rule.format("192.0.2.54"))).text


def test_a_target_that_was_looked_up_in_vain_is_named() -> None:
    answer = ask("test from [0.0.0.7];", {"client.example": BOOK["client.example"]})
    assert answer.text.endswith("PLUG-TO=ns.example:53 TYPE=normal UNRESOLVED=ns.example\n")


def test_a_target_is_missing_only_in_sessions_that_are_not_transparent() -> None:
    assert ask("test to [198.51.100.1]:69;", {"x": frozenset()}).text.endswith(
        "NAME=TO ACCEPTED TYPE=one-way TARGET=FAILED UNRESOLVED=client.example\n"
    )
    answer = ask("test transparent to [198.51.100.1]:69;", BOOK)
    assert answer.text == (
        "TEST FROM=[0.0.0.0] TO=[198.51.100.1]:69 TRANSP=YES USER=<NULL> NAME=TO ACCEPTED TYPE=one-way\n"
    )


def test_a_server_given_counts_instead_of_the_target() -> None:
    expression = "test from [192.0.2.8] to [127.0.0.1]:5300"
    assert not ask(f"{expression};", BOOK).accepted
    answer = ask(f"{expression} server [203.0.113.1]:7;", BOOK)
    assert "SERVER=[203.0.113.1]:7" in answer.text
    assert "NAME=SERVER ACCEPTED PLUG-TO=[203.0.113.2]:5300" in answer.text


def test_the_time_given_counts_instead_of_now() -> None:
    assert ask("test from [192.0.2.9];", BOOK).accepted
    assert not ask("test from [192.0.2.9] time 2159;", BOOK).accepted


def test_the_trace_holds_every_condition_evaluated() -> None:
    trace = ask("test from [192.0.2.9] time 0800;", BOOK).trace
    assert trace[0] == "session-acl BAD: from [192.0.2.9]: fails"
    rules = ["BAD", "NAME", "TO", "SERVER", "NIGHT", "NIGHT"]
    assert [line.partition(":")[0] for line in trace] == [f"session-acl {name}" for name in rules]
    assert trace[-1] == "session-acl NIGHT: time 11-21 sat 0800: fails"


def test_a_missing_destination_is_remarked_where_rules_look_at_it() -> None:
    assert len(ask("test from [192.0.2.9];").remarks) == 1
    assert ask("test from [192.0.2.9] to [1.1.1.1]:5;").remarks == ()
    assert ask("test from [192.0.2.9];", text=config()).remarks == ()


def test_a_type_of_service_that_rules_look_at_is_remarked() -> None:
    (remark,) = ask("test;", text=acl(f"ip-tos-from 8; {ACTIONS}")).remarks
    assert "'ip-tos-from', which no expression gives: 0 counts" in remark


USERS = config(
    file='oob-auth O { method external; file "/o"; }',
    proxy="auth oob O {}; user-match short;",
    acls="session-acl U { user name alice group staff; accept; plug-to [::1]:5; timeout in 1; }",
)


@pytest.mark.parametrize(
    ("obligation", "user", "accepted"),
    [
        ("optional", "user alice", True),
        ("optional", 'user "alice@REALM"', True),
        ("optional", "user bob", False),
        ("optional", "user bob group { a, staff }", True),
        ("optional", "", False),
        ("mandatory", "", False),
        ("mandatory", "user alice", True),
    ],
)
def test_users_are_matched_as_the_proxy_matches_them(obligation: str, user: str, accepted: bool) -> None:
    assert ask(f"test {user};", text=USERS.replace("{}", obligation)).accepted is accepted


def test_without_a_user_a_mandatory_proxy_looks_at_no_rule() -> None:
    text = USERS.replace("{}", "mandatory").replace("user name alice group staff;", "")
    assert ask("test;", text=text).text.endswith("USER=<NULL> NAME=<NULL> REJECTED\n")


def test_values_with_blanks_are_quoted() -> None:
    assert 'USER="a b" ' in ask('test user "a b";').text


def test_listings_are_answers_too() -> None:
    assert ask("show-acl;").text.startswith("session-acl BAD {\n")
    assert ask("show-proxy;").text.startswith("udp-proxy DNS {\n")
    assert "phase 20;" in ask("show-proxy all;").text
    assert len(ask("show-hash;").text) == 65
    assert ask("help;").text == help_text()
    assert "show-proxy [all];" in help_text()


NAMED = config(
    acls=(
        "session-acl FEW { from { [192.0.2.1], /^pc[0-9]+[.]corp[.]example$/ }; accept;"
        " plug-to [::1] : 7; timeout in 1; }"
        " session-acl REST { server /x/; deny; }"
    )
)


def try_names(expression: str, names: dict[Address, str]) -> tuple[Answer, list[Address]]:
    """Return the answer to an expression, and what addresses names were asked for."""
    asked: list[Address] = []

    def name_of(address: Address) -> str | None:
        asked.append(address)
        return names.get(address)

    (command,) = parse_expression(expression, NOW)
    return Trial(load(NAMED), {}, True, name_of).run(command), asked


def test_a_regular_expression_is_held_against_the_name_of_the_address() -> None:
    client = Address(4, 0xC0000207)
    answer, asked = try_names("test from [192.0.2.7];", {client: "pc12.corp.example"})
    assert " NAME=FEW ACCEPTED " in answer.text
    assert asked == [client]
    assert answer.trace == ("session-acl FEW: from pc12.corp.example[192.0.2.7]: holds",)


def test_an_address_without_a_name_fits_no_regular_expression() -> None:
    answer, asked = try_names("test from [192.0.2.7] to [192.0.2.9] : 1;", {})
    assert answer.text.endswith("NAME=<NULL> REJECTED\n")
    assert asked == [Address(4, 0xC0000207), Address(4, 0xC0000209)]


def test_no_name_is_asked_for_that_no_expression_is_held_against() -> None:
    answer, asked = try_names("test from [192.0.2.1];", {})
    assert (answer.accepted, asked) == (True, [])


def test_a_name_in_the_expression_needs_no_look_up() -> None:
    answer, asked = try_names("test from PC1.corp.example;", {})
    assert (answer.accepted, asked) == (True, [])


@pytest.mark.parametrize("user", ["ann lee", "", "<NULL>", 'a"b', "a\tb", "a\nb"])
def test_a_user_who_could_be_taken_for_more_is_a_string_on_the_one_line(user: str) -> None:
    written = show_string(user)
    answer = ask(f"test user {written};")
    assert f" USER={written} NAME=" in answer.text
    assert answer.text.count("\n") == 1
