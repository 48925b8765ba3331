"""From children to logs: a batch is checked record by record, written, and what was shed on the way is told.

A child may log the events of its own work and no others: it cannot speak for the parent. A batch that breaks the
contract raises MisbehavedError, and the parent ends that child. Source: udp-proxy(8), LOGGING.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxyd.errors import ProxydError
from proxyd.logs.fields import FieldError
from proxyd.logs.setup import Logs
from workers.contract.catalogue import EVENTS
from workers.contract.messages import MAX_BATCH_RECORDS, LogBatch

SHED_NOTE_NS = 1_000_000_000
"""What was shed is told at most this often."""
MAX_TRACK = 99_999
RECORDS_A_SECOND, BURST_RECORDS = 4_000, 10_000
"""What of one process is written: twice what a worker allows itself (workers.journal), should one not keep to it."""
SECOND_NS = 1_000_000_000
MAX_AGE_NS = 60 * SECOND_NS
"""No record waits that long: an older one's time is nonsense."""
MAX_SHED = 2**53
"""No batch can have lost more: beyond this a count is nonsense."""

_CHILD_COMPONENTS = ("UDPP-", "LIBA-", "UFTP-")
CHILD_EVENTS = frozenset(
    name for name, event in EVENTS.items() if all(line.id.startswith(_CHILD_COMPONENTS) for line in event.lines)
) | {"traceback", "state", "level", "sessions-taken-over", "sessions-refused"}
"""The events of the proxy's own work, and the few of the frame that tell about one process."""


_MAX_BUDGETS = 1024
"""Processes whose budgets are kept: the dead among them are forgotten with all others."""


class MisbehavedError(ProxydError):
    """A child's batch is not what the contract says; the reason is for the administrator."""


@dataclass(slots=True)
class _Budget:
    """How many records of one process may still be written, and when that was reckoned."""

    left: int
    since_ns: int

    def spend(self, wanted: int, now_ns: int) -> int:
        """Return how many of the wanted may be written."""
        seconds = (now_ns - self.since_ns) // SECOND_NS
        if seconds > 0:
            self.left = min(BURST_RECORDS, self.left + seconds * RECORDS_A_SECOND)
            self.since_ns += seconds * SECOND_NS
        spent = min(wanted, self.left)
        self.left -= spent
        return spent


class Relay:
    """Writes what children log. shed: how many records were not written, here or on their way, ever."""

    def __init__(self, logs: Logs) -> None:
        self.shed = 0
        self._logs = logs
        self._untold = 0
        self._told_ns: int | None = None
        self._budgets: dict[int, _Budget] | None = {}

    def lift(self) -> None:
        """Write everything from now on: the proxy is ending, and last words are many at once."""
        self._budgets = None

    def deliver(self, batch: LogBatch, pid: int, now_ns: int) -> None:
        """Write the records of one batch of process pid, in order; now_ns: CLOCK_MONOTONIC.

        Raises MisbehavedError at the first record that breaks the contract; those before it are written.
        """
        if len(batch.records) > MAX_BATCH_RECORDS:
            raise MisbehavedError(f"a batch of {len(batch.records)} records")
        if not 0 <= batch.shed <= MAX_SHED:
            raise MisbehavedError(f"{batch.shed} records shed")
        allowed = self._allow(len(batch.records), pid, now_ns)
        shed = batch.shed + len(batch.records) - allowed
        self.shed += shed
        self._untold += shed
        write = self._logs.write
        for record in batch.records[:allowed]:
            if record.event not in CHILD_EVENTS:
                raise MisbehavedError(f"event {record.event[:40]!r} is not a child's")
            if not 0 <= record.track <= MAX_TRACK:
                raise MisbehavedError(f"{record.event}: track {record.track}")
            age_ns = now_ns - record.at_ns if record.at_ns else 0
            if not 0 <= age_ns <= MAX_AGE_NS:
                age_ns = min(max(age_ns, 0), MAX_AGE_NS)
            try:
                write(record, pid, age_ns)
            except FieldError as error:
                raise MisbehavedError(str(error)) from error
        self.tell_shed(now_ns)

    def _allow(self, wanted: int, pid: int, now_ns: int) -> int:
        if self._budgets is None:
            return wanted
        budget = self._budgets.get(pid)
        if budget is None:
            if len(self._budgets) >= _MAX_BUDGETS:
                self._budgets.clear()
            budget = self._budgets[pid] = _Budget(BURST_RECORDS, now_ns)
        return budget.spend(wanted, now_ns)

    def tell_shed(self, now_ns: int) -> None:
        """Note how many records were shed since the last time, once a second at most; to be called now and then."""
        if self._untold == 0 or (self._told_ns is not None and now_ns - self._told_ns < SHED_NOTE_NS):
            return
        self._logs.note("shed", self._untold)
        self._untold = 0
        self._told_ns = now_ns

    def tell_rest(self, now_ns: int) -> None:
        """Note what has been shed and not been told, however lately the last note was: nobody will tell later."""
        self._told_ns = None
        self.tell_shed(now_ns)
