"""A UFTP worker's groups in its store: taken over from a predecessor when it begins, kept for a successor from then on.

What is written down and when is decided by workers.uftp.archive; here are the store, the clock and the log.
"""

from __future__ import annotations

from workers.contract.store import Ledger, Store
from workers.deadlines import NEVER
from workers.journal import Journal
from workers.uftp.archive import Archive
from workers.uftp.machine import Machine

PROBATION_NS = 200_000_000
"""How long a worker lives with what it took over before it says that it was good."""
SHOW_NS = 1_000_000_000
PENANCE_NS = 60_000_000_000
"""How long a worker lives before failures of its predecessors do not count any more."""


class Safekeeping:
    """One worker's store, None where nothing is kept. The machine's actions are the caller's to carry out."""

    def __init__(self, store: Store | None, machine: Machine, journal: Journal, now_ns: int) -> None:
        self._machine = machine
        self._journal = journal
        self._ledger: Ledger | None = None
        self._approve_ns = self._show_ns = self._absolve_ns = NEVER
        self._unsaved = 0
        if store is None:
            return
        self._ledger = store.open()
        kept = self._ledger.read()
        if self._ledger.emptied:
            journal.note_urgent("uftp-store-emptied", 0, "")
        machine.adopt(Archive(self._ledger), kept, now_ns)
        self._approve_ns = now_ns + PROBATION_NS
        self._show_ns = now_ns + SHOW_NS
        self._absolve_ns = now_ns + PENANCE_NS

    def tend(self, groups: int, now_ns: int) -> int:
        """Do what is due; return when to come again. groups: how many there are."""
        if self._ledger is None:
            return NEVER
        if now_ns >= self._approve_ns:
            self._approve_ns = NEVER
            self._ledger.approve()
        if now_ns >= self._absolve_ns:
            self._absolve_ns = NEVER
            self._ledger.absolve()
        if now_ns >= self._show_ns and groups:
            self._show_ns = now_ns + SHOW_NS
            self._machine.save_shown()
            self._note_unsaved()
        return min(self._approve_ns, self._absolve_ns, self._show_ns if groups else NEVER)

    def blame(self) -> None:
        """Hear that this worker fails: what it has taken over may be why."""
        if self._ledger is not None:
            self._ledger.blame()

    def _note_unsaved(self) -> None:
        unsaved = self._machine.unsaved
        if unsaved != self._unsaved:
            self._journal.note("uftp-store-full", 0, "", unsaved - self._unsaved)
            self._unsaved = unsaved
