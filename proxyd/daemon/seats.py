"""Sessions moved from workers' regions into others: each slot as it is, and what all of them have counted.

Only for workers that are not there: what they held, they hold afterwards, together. Source: workers.contract.slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add
from typing import NamedTuple

from proxyd.logs.relay import MAX_TRACK
from workers.contract.custody import Kept
from workers.contract.slots import SLOT_BYTES, TRACK, TRACK_OFFSET, Counter, Region
from workers.contract.tallies import FIRST_WORD, LINES, OTHERS_KEY, RULES, TARGETS, Area, Rows

FIRST_SUM = Counter.RECEIVED_OUT
"""From here to the rows everything only grows."""
LARGEST = (1 << 64) - 1
"""Sums go round beyond it: what workers count is theirs to write, and may be anything."""
_JOINING: dict[Area, Callable[[int, int], int]] = {RULES: add, LINES: add, TARGETS: max}
"""What becomes of two workers' rows of one key."""


class Seated(NamedTuple):
    """A session that is kept, and whose region has its slot."""

    worker: int
    kept: Kept


def move(old: Sequence[Region], new: Sequence[Region], seats: Sequence[Sequence[Seated]]) -> list[list[Kept]]:
    """Move sessions into the regions new, which are empty; return them as they are kept from now on, by worker.

    seats: by their new worker, at most as many as its region has slots. Counters of workers that are no more go to the
    first one. What is owed for sessions that are too many is spread over who has any. Sessions are numbered in the log
    as they began: those of two workers may have had the same number.
    """
    placed = []
    for region, wanted in zip(new, seats, strict=True):
        order = sorted(wanted, key=lambda seat: seat.kept.opened_ns)
        placed.append([_move_slot(old[seat.worker], region, slot, seat.kept) for slot, seat in enumerate(order)])
        region.words[Counter.TOP] = len(wanted)
        region.words[Counter.SESSIONS] = region.words[Counter.PERMITS] = len(wanted)
    for worker, region in enumerate(old):
        _add_counters(region, new[worker if worker < len(new) else 0])
    _carry_debts(old, new)
    _carry_times(old, new)
    return placed


def _move_slot(source: Region, target: Region, slot: int, kept: Kept) -> Kept:
    start, begin = source.offset(kept.slot), target.offset(slot)
    target.memory[begin : begin + SLOT_BYTES] = source.memory[start : start + SLOT_BYTES]
    TRACK.pack_into(target.memory, begin + TRACK_OFFSET, slot % MAX_TRACK + 1)
    return kept._replace(slot=slot)


def _add_counters(source: Region, target: Region) -> None:
    have, more = target.words, source.words
    for word in range(FIRST_SUM, FIRST_WORD):
        if more[word]:
            have[word] = (have[word] + more[word]) & LARGEST
    for area, join in _JOINING.items():
        _join_rows(source, target, area, join)


def _join_rows(source: Region, target: Region, area: Area, join: Callable[[int, int], int]) -> None:
    theirs, ours = Rows(source.words, area).read(), Rows(target.words, area)
    # All that are there are wanted: none is to be taken for another one.
    starts = ours.claim([*ours.read(), *theirs])
    for key, (_, *values) in theirs.items():
        start = starts[key if key in starts else OTHERS_KEY]
        for word, value in enumerate(values, start + 1):
            target.words[word] = join(target.words[word], value) & LARGEST


def _carry_debts(old: Sequence[Region], new: Sequence[Region]) -> None:
    owed = sum(region.words[Counter.OWED] for region in old)
    for region in new:
        share = min(owed, region.words[Counter.PERMITS])
        region.words[Counter.OWED] = share
        owed -= share


def _carry_times(old: Sequence[Region], new: Sequence[Region]) -> None:
    """Let slots be as old as the oldest of them: any worker may have died before it wrote its own again."""
    swept = min((region.words[Counter.SWEPT] for region in old if region.words[Counter.SWEPT]), default=0)
    published = max(region.words[Counter.PUBLISHED] for region in old)
    for region in new:
        region.words[Counter.SWEPT], region.words[Counter.PUBLISHED] = swept, published
