"""The layout of a group's record."""

from __future__ import annotations

from workers.contract.groups import GROUP, NAME_BYTES, GroupPhase
from workers.contract.slots import SLOT_BYTES


def test_a_group_fits_its_slot() -> None:
    assert GROUP.size <= SLOT_BYTES


def test_a_name_has_as_much_room_as_is_said() -> None:
    fields = GROUP.unpack(GROUP.pack(*(0,) * 19, b"", b"", b"x" * (NAME_BYTES + 1)))
    assert fields[-1] == b"x" * NAME_BYTES


def test_no_phase_looks_like_memory_that_was_never_written() -> None:
    assert 0 not in set(GroupPhase)
