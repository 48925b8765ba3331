"""Tables of names in messages: cut where they must be, and put together only when they are complete."""

from __future__ import annotations

import msgspec
import pytest

from workers.contract import naming
from workers.contract.messages import MAX_MESSAGE_BYTES, NO_NAMES, Names
from workers.contract.naming import Gathering, split
from workers.errors import ContractError

ONE, OTHER = Names({"a.test": [(4, bytes(4))]}), Names({"b.test": [(6, bytes(16))]})


def table(names: int) -> Names:
    return Names({f"{n:04}".ljust(250, "x"): [(6, bytes(16))] * 64 if n % 3 else [(4, bytes(4))] for n in range(names)})


@pytest.mark.parametrize("whole", [NO_NAMES, ONE])
def test_a_small_table_is_one_message(whole: Names) -> None:
    assert split(whole) == [whole]
    assert Gathering().take(whole) == whole


def test_a_large_one_is_as_many_as_it_needs_and_the_same_again_afterwards() -> None:
    parts, gathering = split(table(500)), Gathering()
    sizes = [len(msgspec.msgpack.encode(part)) for part in parts]
    assert max(sizes) <= MAX_MESSAGE_BYTES
    assert min(sizes[:-1]) > MAX_MESSAGE_BYTES * 0.9
    assert [gathering.take(part) for part in parts] == [None] * (len(parts) - 1) + [table(500)]


def test_a_table_that_was_not_ended_is_void_with_the_next() -> None:
    gathering = Gathering()
    assert gathering.take(split(table(500))[0]) is None
    assert gathering.take(OTHER) == OTHER


def test_what_no_first_part_was_heard_of_changes_nothing() -> None:
    gathering = Gathering()
    assert gathering.take(split(table(500))[-1]) is None
    assert gathering.take(ONE) == ONE


def test_a_table_without_end_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "MAX_NAMES", 3)
    gathering = Gathering()
    assert gathering.take(Names(ONE.addresses, True, False)) is None
    with pytest.raises(ContractError, match="more than 3 names"):
        gathering.take(Names(table(9).addresses, False, False))
    assert gathering.take(ONE) == ONE
