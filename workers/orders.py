"""What the parent orders of a worker that serves sessions: end these, let nobody in any more, log at this level.

The loop closes the sockets of what was ended, and tells the shared memory.
"""

from __future__ import annotations

from workers.contract.messages import Drain, Kill, Level, ToChild
from workers.contract.slots import CloseReason
from workers.journal import Journal
from workers.session.engine import Engine

LOWEST_LEVEL, HIGHEST_LEVEL = 3, 9


class Orders:
    """Carries out orders on one worker's engine and log."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal

    def carry_out(self, message: ToChild, now_ns: int) -> bool:
        """Do what a message orders; tell whether it was an order."""
        if isinstance(message, Kill):
            self._kill(frozenset(message.sessions), now_ns)
        elif isinstance(message, Drain):
            self._engine.draining = True
        elif isinstance(message, Level):
            self.set_level(message.level)
        else:
            return False
        return True

    def set_level(self, level: int) -> None:
        """Log at this level, or at the nearest there is; the log says so."""
        self._journal.set_level(min(HIGHEST_LEVEL, max(LOWEST_LEVEL, level)))
        self._journal.note_urgent("level", 0, self._journal.level)

    def _kill(self, wanted: frozenset[tuple[int, int]], now_ns: int) -> None:
        """End sessions by slot and beginning: a slot may be another session's by now."""
        found = [
            session
            for table in self._engine.tables
            for session in dict.fromkeys(table.values())
            if (session.slot, session.opened_ns) in wanted
        ]
        for session in found:
            self._engine.end(session, CloseReason.KILLED, now_ns)
