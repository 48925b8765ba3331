"""A log whose writers are looked at."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Diary:
    """A log of the parent that keeps what is written to it: event, number in the log if it has one, fields."""

    notes: list[tuple[object, ...]] = field(default_factory=list)

    def note(self, event: str, *fields: str | int | bytes | None, track: int = 0) -> None:
        self.notes.append((event, *((track,) if track else ()), *fields))
