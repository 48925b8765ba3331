"""The log as the parent's parts see it, each as much as it needs; proxyd.logs.setup.Logs is all of these."""

from __future__ import annotations

from typing import Protocol


class Journal(Protocol):
    """Where events of the parent go."""

    def note(self, event: str, *fields: str | int | bytes | None) -> None:
        """Write an event of workers.contract.catalogue."""
        ...


class LevelledJournal(Journal, Protocol):
    """The same, and up to which level lines are written, which children begin with."""

    @property
    def level(self) -> int:
        """The level of the debug log."""
        ...


class SessionJournal(Protocol):
    """The same for events of sessions, too."""

    def note(self, event: str, *fields: str | int | bytes | None, track: int = 0) -> None:
        """Write an event of workers.contract.catalogue; track: the session's number, 0: it is none's.

        Raises FieldError for fields that make no sense.
        """
        ...
