"""What is kept of one worker's sessions, by the numbers of their slots: a socket, when it began, the worker's own note.

Arrays, not objects: a proxy may have a hundred thousand sessions, and each takes 20 bytes here. Most notes are equal:
they say by which listener a session came. No I/O but closing what is dropped.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator

from workers.contract.custody import Entry, Kept

_NOBODY = -1
_NOTES = 256
"""Different notes that are remembered, so that equal ones are kept once."""


class Shelf:
    """One worker's. The descriptors are the shelf's own."""

    def __init__(self) -> None:
        self._descriptors = array("i")
        self._opened_ns = array("q")
        self._notes: list[bytes] = []
        self._known: dict[bytes, bytes] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return how many sessions are kept."""
        return self._count

    def __contains__(self, slot: int) -> bool:
        """Tell whether a slot's session is kept; a slot may have any number."""
        return 0 <= slot < len(self._descriptors) and self._descriptors[slot] != _NOBODY

    def __iter__(self) -> Iterator[Kept]:
        """Yield the sessions by their slots."""
        for slot, descriptor in enumerate(self._descriptors):
            if descriptor != _NOBODY:
                yield Kept(slot, self._opened_ns[slot], self._notes[slot], descriptor)

    def opened(self) -> Iterator[tuple[int, int]]:
        """Yield slot and beginning (CLOCK_MONOTONIC, ns) of each session."""
        for slot, descriptor in enumerate(self._descriptors):
            if descriptor != _NOBODY:
                yield slot, self._opened_ns[slot]

    def descriptor(self, slot: int) -> int | None:
        """Return the descriptor kept for a slot of any number, None where there is none."""
        return self._descriptors[slot] if slot in self else None

    def put(self, entry: Entry, descriptor: int) -> None:
        """Keep a session, in the place of another one in its slot; there must be such a slot."""
        slot = entry.slot
        self.drop(slot)
        missing = slot + 1 - len(self._descriptors)
        if missing > 0:
            self._descriptors.extend([_NOBODY] * missing)
            self._opened_ns.extend([0] * missing)
            self._notes.extend([b""] * missing)
        self._descriptors[slot], self._opened_ns[slot] = descriptor, entry.opened_ns
        self._notes[slot] = self._same(entry.note)
        self._count += 1

    def drop(self, slot: int) -> bool:
        """Close what is kept for a slot of any number; tell whether there was anything."""
        if slot not in self:
            return False
        os.close(self._descriptors[slot])
        self._descriptors[slot], self._notes[slot] = _NOBODY, b""
        self._count -= 1
        return True

    def clear(self) -> None:
        """Close everything."""
        for slot, _ in self.opened():
            self.drop(slot)

    def _same(self, note: bytes) -> bytes:
        """Return the equal note that was kept before, if there was one lately."""
        if len(self._known) >= _NOTES:
            self._known.clear()
        return self._known.setdefault(note, note)
