"""What the parent orders of a worker that serves sessions: end these, let nobody in, show this one, log at this level.

The loop closes the sockets of what was ended, and tells the shared memory.
"""

from __future__ import annotations

from workers.contract.messages import Drain, Kill, Level, Tap, ToChild
from workers.contract.slots import CloseReason
from workers.journal import Journal
from workers.session.engine import Engine
from workers.session.session import Session
from workers.tap import Taps

LOWEST_LEVEL, HIGHEST_LEVEL = 3, 9


class Orders:
    """Carries out orders on one worker's engine, its log, and what is watched of its sessions."""

    def __init__(self, engine: Engine, journal: Journal, taps: Taps) -> None:
        self._engine = engine
        self._journal = journal
        self._taps = taps

    def carry_out(self, message: ToChild, now_ns: int) -> bool:
        """Do what a message orders; tell whether it was an order."""
        if isinstance(message, Kill):
            self._kill(frozenset(message.sessions), now_ns)
        elif isinstance(message, Drain):
            self._engine.draining = True
        elif isinstance(message, Level):
            self.set_level(message.level)
        elif isinstance(message, Tap):
            found = self._find(frozenset(((message.slot, message.opened_ns),)))
            for session in found:
                self._engine.reclaim(session)
            self._taps.begin(found[0] if found else None, message, now_ns)
        else:
            return False
        return True

    def set_level(self, level: int) -> None:
        """Log at this level, or at the nearest there is; the log says so."""
        self._journal.set_level(min(HIGHEST_LEVEL, max(LOWEST_LEVEL, level)))
        self._journal.note_urgent("level", 0, self._journal.level)

    def _kill(self, wanted: frozenset[tuple[int, int]], now_ns: int) -> None:
        """End sessions by slot and beginning: a slot may be another session's by now."""
        for session in self._find(wanted):
            self._engine.end(session, CloseReason.KILLED, now_ns)

    def _find(self, wanted: frozenset[tuple[int, int]]) -> list[Session]:
        return [
            session
            for table in self._engine.tables
            for session in dict.fromkeys(table.values())
            if (session.slot, session.opened_ns) in wanted
        ]
