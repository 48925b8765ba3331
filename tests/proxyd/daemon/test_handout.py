"""What children are owed waits for room in their channels, and no longer than they live."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxyd.daemon.handout import Handouts
from proxyd.daemon.roster import Child, Role
from workers.contract.channel import ChildEnd, ParentEnd, open_channel
from workers.contract.messages import Looked, Names, Users

CHILD = Child(Role.WORKER, 0)
OLD = [Users(True, False, [(6, bytes(16), "x" * 50_000, [])]), Users(False, True, [])]
NEW = [Users(True, True, [(4, bytes(4), "new", [])])]


def looked(number: int) -> Looked:
    return Looked(0, 4, bytes((0, 0, 0, number)), None, 60)


@pytest.fixture
def ends() -> Iterator[tuple[ParentEnd, ChildEnd]]:
    parent, child = open_channel()
    yield parent, child
    parent.close()
    child.close()


def received(child: ChildEnd) -> list[object]:
    found: list[object] = []
    while (message := child.receive()) is not None:
        found.append(message)
    return found


def test_messages_are_sent_in_their_order_and_once(ends: tuple[ParentEnd, ChildEnd]) -> None:
    handouts = Handouts()
    handouts.replace(CHILD, OLD)
    handouts.send(CHILD, ends[0])
    handouts.send(CHILD, ends[0])
    assert received(ends[1]) == OLD
    assert not handouts.waiting


def test_what_has_no_room_waits_and_newer_ones_of_its_kind_take_its_place(ends: tuple[ParentEnd, ChildEnd]) -> None:
    parent, child = ends
    filler = Names({"x" * 50_000: []})
    filled = 0
    while parent.send(filler):
        filled += 1
    handouts = Handouts()
    handouts.replace(CHILD, OLD)
    assert handouts.add(CHILD, looked(1), most=5)
    handouts.send(CHILD, parent)
    assert handouts.waiting
    handouts.replace(CHILD, NEW)
    assert received(child) == [filler] * filled
    handouts.send(CHILD, parent)
    assert received(child) == [*NEW, looked(1)]


def test_so_many_of_a_kind_are_owed_and_no_more(ends: tuple[ParentEnd, ChildEnd]) -> None:
    handouts = Handouts()
    assert [handouts.add(CHILD, looked(number), most=2) for number in range(3)] == [True, True, False]
    handouts.send(CHILD, ends[0])
    assert received(ends[1]) == [looked(0), looked(1)]


def test_a_child_that_is_gone_is_owed_nothing(ends: tuple[ParentEnd, ChildEnd]) -> None:
    handouts = Handouts()
    handouts.replace(CHILD, NEW)
    ends[1].close()
    handouts.send(CHILD, ends[0])
    assert not handouts.waiting
    handouts.replace(CHILD, NEW)
    handouts.forget(CHILD)
    assert not handouts.waiting
