"""From children to logs: a batch is checked record by record, written, and what was shed on the way is told.

A child may log the events of its own work and no others: it cannot speak for the parent. A batch that breaks the
contract raises MisbehavedError, and the parent ends that child. Source: udp-proxy(8), LOGGING.
"""

from __future__ import annotations

from proxyd.errors import ProxydError
from proxyd.logs.fields import FieldError
from proxyd.logs.setup import Logs
from workers.contract.catalogue import EVENTS
from workers.contract.messages import MAX_BATCH_RECORDS, LogBatch

SHED_NOTE_NS = 1_000_000_000
"""What was shed is told at most this often."""
MAX_TRACK = 99_999
MAX_SHED = 2**53
"""No batch can have lost more: beyond this a count is nonsense."""

_CHILD_COMPONENTS = ("UDPP-", "UFTP-")
CHILD_EVENTS = frozenset(
    name for name, event in EVENTS.items() if all(line.id.startswith(_CHILD_COMPONENTS) for line in event.lines)
) | {"traceback", "state", "level"}
"""The events of the proxy's own work, and the few of the frame that tell about one process."""


class MisbehavedError(ProxydError):
    """A child's batch is not what the contract says; the reason is for the administrator."""


class Relay:
    """Writes what children log. shed: how many records never reached the parent, ever."""

    def __init__(self, logs: Logs) -> None:
        self.shed = 0
        self._logs = logs
        self._untold = 0
        self._told_ns: int | None = None

    def deliver(self, batch: LogBatch, pid: int, now_ns: int) -> None:
        """Write the records of one batch of process pid, in order; now_ns: CLOCK_MONOTONIC.

        Raises MisbehavedError at the first record that breaks the contract; those before it are written.
        """
        if len(batch.records) > MAX_BATCH_RECORDS:
            raise MisbehavedError(f"a batch of {len(batch.records)} records")
        if not 0 <= batch.shed <= MAX_SHED:
            raise MisbehavedError(f"{batch.shed} records shed")
        self.shed += batch.shed
        self._untold += batch.shed
        for record in batch.records:
            if record.event not in CHILD_EVENTS:
                raise MisbehavedError(f"event {record.event[:40]!r} is not a child's")
            if not 0 <= record.track <= MAX_TRACK:
                raise MisbehavedError(f"{record.event}: track {record.track}")
            try:
                self._logs.write(record, pid)
            except FieldError as error:
                raise MisbehavedError(str(error)) from error
        self.tell_shed(now_ns)

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
