from __future__ import annotations

import pytest

from workers.contract.settings import Address, AuthSettings, UserCondition
from workers.policy.users import User, UsersError, match_name, matches, parse_users

SETTINGS = AuthSettings("OOB", "/x", max_sessions=3, max_user_chars=8, max_groups=2)


@pytest.mark.parametrize(
    ("condition", "user", "groups", "expected"),
    [
        (UserCondition(nobody=True), None, (), True),
        (UserCondition(nobody=True), "alice", (), False),
        (UserCondition(nobody=False), None, (), False),
        (UserCondition(nobody=False), "alice", (), True),
        (UserCondition(False, frozenset({"alice"})), "alice", (), True),
        (UserCondition(False, frozenset({"alice"})), "Alice", (), False),
        (UserCondition(False, frozenset({"alice"}), frozenset({"staff"})), "bob", ("staff", "x"), True),
        (UserCondition(False, frozenset({"alice"}), frozenset({"staff"})), "bob", ("x",), False),
        (UserCondition(False, frozenset(), frozenset({"staff"})), None, ("staff",), False),
    ],
)
def test_a_user_condition_holds_for_whom_it_names(condition, user, groups, expected):
    assert matches(condition, user, groups) is expected


@pytest.mark.parametrize("user", ["alice", "alice@EXAMPLE.NET", "DOMAIN\\alice", "A\\B\\alice@c@d"])
def test_a_short_name_has_neither_domain_nor_realm(user: str):
    assert match_name(user, short=True) == "alice"
    assert match_name(user, short=False) == user


def test_the_file_gives_user_and_groups_by_address():
    text = "# who sits where\n#\r\n\n\r\n10.0.0.1\talice\n2001:db8::1\tbob\tstaff,admin\r\n::ffff:10.0.0.2\tcarol\n"
    assert parse_users(text, SETTINGS) == {
        Address(4, 0x0A000001): User("alice"),
        Address(6, 0x20010DB8 << 96 | 1): User("bob", frozenset({"staff", "admin"})),
        Address(4, 0x0A000002): User("carol"),
    }


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("10.0.0.1", "1 fields"),
        ("10.0.0.1 alice", "1 fields"),
        ("10.0.0.1\talice\tstaff\tmore", "4 fields"),
        ("10.0.0\talice", "'10.0.0' is no IP address"),
        ("host\talice", "'host' is no IP address"),
        ("fe80::1%eth0\talice", "zone"),
        ("10.0.0.1\t", "'' is no name"),
        ("10.0.0.1\tal\x01ce", "is no name"),
        ("10.0.0.1\tverylongname", "'verylongname' is no name"),
        ("10.0.0.1\talice\t", "'' is no name"),
        ("10.0.0.1\talice\ta,,b", "more than 2 groups"),
        ("10.0.0.1\talice\ta,verylongname", "'verylongname' is no name"),
        ("10.9.9.9\talice", "the address 10.9.9.9 is there twice"),
    ],
)
def test_a_broken_line_breaks_the_file_and_is_named(line: str, why: str):
    with pytest.raises(UsersError, match=why) as caught:
        parse_users(f"10.9.9.9\tzoe\n\n{line}\n", SETTINGS)
    assert caught.value.line == 3
    assert str(caught.value).startswith("line 3: ")


def test_more_addresses_than_max_sessions_are_refused():
    lines = [f"10.0.0.{number}\talice" for number in range(4)]
    assert len(parse_users("\n".join(lines[:3]), SETTINGS)) == 3
    with pytest.raises(UsersError, match="line 4: more than 3 addresses"):
        parse_users("\n".join(lines), SETTINGS)
