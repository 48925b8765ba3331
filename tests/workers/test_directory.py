"""Users on the worker's side: a table counts when it is complete."""

from __future__ import annotations

from workers.contract.messages import Users
from workers.contract.settings import Address
from workers.directory import Directory
from workers.policy.users import User

ALICE = (4, bytes((10, 0, 0, 1)), "alice", ["staff", "night"])
BOB = (6, bytes(15) + b"\x01", "bob", [])
ADDRESS_OF_ALICE, ADDRESS_OF_BOB = Address(4, 0x0A000001), Address(6, 1)


def test_a_table_of_one_part_is_there_at_once() -> None:
    table = Directory().take(Users(True, True, [ALICE, BOB]))
    assert table == {ADDRESS_OF_ALICE: User("alice", frozenset({"staff", "night"})), ADDRESS_OF_BOB: User("bob")}


def test_a_table_of_several_parts_is_there_with_the_last() -> None:
    directory = Directory()
    assert directory.take(Users(True, False, [ALICE])) is None
    assert directory.take(Users(False, False, [])) is None
    table = directory.take(Users(False, True, [BOB]))
    assert table is not None
    assert list(table) == [ADDRESS_OF_ALICE, ADDRESS_OF_BOB]


def test_a_newer_table_takes_the_place_of_one_that_never_ended() -> None:
    directory = Directory()
    directory.take(Users(True, False, [ALICE]))
    assert directory.take(Users(True, True, [BOB])) == {ADDRESS_OF_BOB: User("bob")}


def test_the_next_table_knows_nothing_of_the_last() -> None:
    directory = Directory()
    directory.take(Users(True, True, [ALICE]))
    assert directory.take(Users(True, True, [])) == {}


def test_a_part_without_its_first_changes_nothing() -> None:
    directory = Directory()
    assert directory.take(Users(False, True, [ALICE])) is None
    assert directory.take(Users(True, True, [BOB])) == {ADDRESS_OF_BOB: User("bob")}
