"""What was refused is not judged again for a while."""

from __future__ import annotations

from workers.uftp.actions import GroupKey
from workers.uftp.refusals import MAX_REMEMBERED, REMEMBERED_NS, Refusals

KEY = GroupKey(5, 0)


def test_a_refusal_holds_for_its_sender_and_group_and_not_forever() -> None:
    refusals = Refusals()
    refusals.remember(b"source", 1, KEY, 100)
    assert refusals.holds(b"source", 1, KEY, 100 + REMEMBERED_NS - 1)
    assert not refusals.holds(b"other", 1, KEY, 100)
    assert not refusals.holds(b"source", 2, KEY, 100)
    assert not refusals.holds(b"source", 1, GroupKey(5, 1), 100)
    assert not refusals.holds(b"source", 1, KEY, 100 + REMEMBERED_NS)
    assert len(refusals) == 0


def test_the_oldest_goes_when_there_are_too_many() -> None:
    refusals = Refusals()
    for number in range(MAX_REMEMBERED + 1):
        refusals.remember(b"source", number, KEY, 0)
    assert len(refusals) == MAX_REMEMBERED
    assert not refusals.holds(b"source", 0, KEY, 0)
    assert refusals.holds(b"source", MAX_REMEMBERED, KEY, 0)
