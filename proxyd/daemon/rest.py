"""All workers at rest at once: their sessions are saved, and none of them is started before it is said."""

from __future__ import annotations

from typing import Protocol

from proxyd.daemon.roster import Child, Role, Roster, State


class Resting(Protocol):
    """The children."""

    @property
    def roster(self) -> Roster:
        """Who they are."""
        ...

    def freeze(self, child: Child, now_ns: int) -> bool:
        """Ask a child to leave its work to a replacement; False when that cannot be now."""
        ...


class Rest:
    """Brings all workers to rest, and starts them again. See proxyd.daemon.succession.Hands."""

    def __init__(self, company: Resting) -> None:
        self._company = company

    def rest(self, now_ns: int) -> bool:
        """Bring the workers to rest, and start none; tell whether all of them are."""
        roster = self._company.roster
        roster.held = True
        workers = [child for child in roster.children if child.role is Role.WORKER]
        for child in workers:
            if child.state is State.READY:
                self._company.freeze(child, now_ns)
        return all(child.state is State.DEAD for child in workers)

    def resume(self, now_ns: int) -> None:
        """Start the workers again."""
        roster = self._company.roster
        roster.held = False
        for child in roster.children:
            if child.role is Role.WORKER and child.state is State.DEAD:
                child.due_ns = now_ns
