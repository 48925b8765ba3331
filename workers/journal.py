"""A worker's log: events are gathered and go to the parent in batches; what is too much is shed and counted.

Writing an event never blocks and costs a fraction of a microsecond; lines are made by the parent. A budget bounds what
the log may cost: RECORDS_A_SECOND on the average, BURST_RECORDS at once, and what the channel does not take is lost.
Without the clock and the channel, both of which come in as arguments, it does no input or output.
"""

from __future__ import annotations

from typing import TypeAlias

from workers.contract.catalogue import EVENTS
from workers.contract.context import ChannelLike
from workers.contract.messages import LogBatch, LogRecord
from workers.deadlines import NEVER
from workers.errors import MessageTooLongError

RECORDS_A_SECOND = 2_000
BURST_RECORDS = 5_000
BATCH_RECORDS = 100
RESERVE_RECORDS = BURST_RECORDS // 2
"""What only sessions that were accepted may use: no stranger can drown the record of who was served."""
STRANGERS_EVENTS = frozenset(
    (
        *("rejected", "wrong-source", "not-taken", "socket-error", "unsent", "payload"),
        *("no-plug-to", "same-interface", "session-failed", "table-full"),
    )
)
"""What anybody can cause without being accepted, or as often as he likes."""
DUMP_LEVEL = 9
"""From this level of the log on every payload is shown, so that every datagram must come by."""
DELAY_NS = 20_000_000
"""How long a record may wait for company."""
SECOND_NS = 1_000_000_000

Field: TypeAlias = str | int | bytes | None


class Journal:
    """One worker's end of the log. written, shed: records since it began.

    taking: whether there is budget left. A caller with an event of every level need not ask takes where there is none,
    if it counts the event in skipped. now_ns: the time of what is logged, which the loop keeps right.
    """

    def __init__(self, channel: ChannelLike, level: int, now_ns: int) -> None:
        self._channel = channel
        self._wanted: frozenset[str] = frozenset()
        self._budget = BURST_RECORDS
        self._refilled_ns = now_ns
        self._records: list[LogRecord] = []
        self._since_ns = NEVER
        self._unreported = 0
        self.now_ns = now_ns
        self.taking = True
        self.skipped = 0
        self.written = 0
        self.shed = 0
        self.level = 0
        self.set_level(level)

    def set_level(self, level: int) -> None:
        """Write the events that are written at this level from now on."""
        self.level = level
        self._wanted = frozenset(name for name, event in EVENTS.items() if event.wanted_at(level))

    def takes(self, event: str, *, stranger: bool = False) -> bool:
        """Tell whether an event is written now: put must follow; otherwise it is not wanted, or shed and counted.

        stranger: it is about a client that is not accepted.
        """
        if event not in self._wanted:
            return False
        if self._budget > (RESERVE_RECORDS if stranger or event in STRANGERS_EVENTS else 0):
            self._budget -= 1
            return True
        self.taking = self._budget > 0
        self.shed += 1
        self._unreported += 1
        return False

    def put(self, event: str, track: int, *fields: Field) -> None:
        """Log an event that takes has allowed: its fields in order; track: the session's number, 0 for none."""
        self._records.append(LogRecord(event, track, fields, self.now_ns))

    def note(self, event: str, track: int, *fields: Field) -> None:
        """Log one event of the catalogue, if it is taken."""
        if self.takes(event):
            self.put(event, track, *fields)

    def note_urgent(self, event: str, track: int, *fields: Field) -> None:
        """Log an event that an operator has asked for, whatever the budget."""
        if event in self._wanted:
            self.put(event, track, *fields)

    def note_large(self, event: str, track: int, *fields: Field) -> None:
        """Log an event that may be too large to share a batch."""
        if self.takes(event):
            self.flush()
            self.put(event, track, *fields)
            self.flush()

    def tend(self, now_ns: int) -> int:
        """Send what has waited long enough. Return when to call again, NEVER if only for new records."""
        seconds = (now_ns - self._refilled_ns) // SECOND_NS
        if seconds:
            self._budget = max(self._budget, min(BURST_RECORDS, self._budget + seconds * RECORDS_A_SECOND))
            self._refilled_ns += seconds * SECOND_NS
            self.taking = True
        self._count_skipped()
        if not self._records and not self._unreported:
            return NEVER if self.taking else self._refilled_ns + SECOND_NS
        if self._since_ns == NEVER:
            self._since_ns = now_ns
        if len(self._records) < BATCH_RECORDS and now_ns - self._since_ns < DELAY_NS:
            return self._since_ns + DELAY_NS
        self.flush()
        return NEVER

    def _count_skipped(self) -> None:
        self.shed += self.skipped
        self._unreported += self.skipped
        self.skipped = 0

    def lift_budget(self) -> None:
        """Write everything from now on: no traffic is left that the log could hold up."""
        self._budget = NEVER
        self.taking = True

    def send_some(self) -> bool:
        """Send as much as the channel takes; tell whether that was everything."""
        self._count_skipped()
        most = BATCH_RECORDS
        while self._records or self._unreported:
            records = self._records[:most]
            try:
                taken = self._channel.send(LogBatch(records, self._unreported))
            except MessageTooLongError:
                most = self._fewer(records)
                continue
            if not taken:
                return False
            del self._records[:most]
            self.written += len(records)
            self._unreported = 0
            most = BATCH_RECORDS
        self._since_ns = NEVER
        return True

    def _fewer(self, records: list[LogRecord]) -> int:
        """Return how many records to try after these were too long together; one that is so by itself is shed.

        What strangers write may stand in a record: a text, or a list of stations.
        """
        if len(records) == 1:
            del self._records[0]
            self.shed += 1
            self._unreported += 1
        return max(len(records) // 2, 1)

    def flush(self) -> None:
        """Send everything now; what the channel does not take is shed."""
        if not self.send_some():
            lost = len(self._records)
            self._records.clear()
            self.shed += lost
            self._unreported += lost
            self._since_ns = NEVER
