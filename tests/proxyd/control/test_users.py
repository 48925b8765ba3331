"""Who sits where, and whom of them one looks for."""

from __future__ import annotations

import ipaddress

import pytest

from proxyd.control import protocol
from proxyd.control.users import User, Wanted, count_groups, extend, select

ANN, BOB, EVE = (
    User("10.0.0.9", "ann", ["staff", "ops"]),
    User("10.0.0.10", "bob", []),
    User("2001:db8::1", "eve", ["staff"]),
)
ALL = [EVE, BOB, ANN]


def test_a_register_is_put_together_of_its_parts() -> None:
    first = protocol.Users("/f", None, "", [(bytes((10, 0, 0, 9)), "ann", ["staff", "ops"])])
    second = protocol.Users("/f", 7.5, "broken", [(bytes((10, 0, 0, 10)), "bob", [])])
    found = extend(extend(None, first), second)
    assert (found.file, found.read_unix, found.complaint, found.users) == ("/f", 7.5, "broken", [ANN, BOB])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), [ANN, BOB, EVE]),
        (Wanted(user="bob"), [BOB]),
        (Wanted(group="staff"), [ANN, EVE]),
        (Wanted(network=ipaddress.ip_network("10.0.0.8/29")), [ANN, BOB]),
        (Wanted(user="ann", group="none"), []),
    ],
)
def test_those_who_are_meant_are_found_by_address(wanted: Wanted, found: list[User]) -> None:
    assert select(ALL, wanted) == found


def test_groups_are_counted_the_largest_first() -> None:
    assert list(count_groups(ALL).items()) == [("staff", 2), ("", 1), ("ops", 1)]
