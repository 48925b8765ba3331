"""A worker's counters: plain integers while it works, copied to shared memory now and then.

received = forwarded + dropped by reason, in each direction, at every moment between two turns of the loop.
"""

from __future__ import annotations

from collections import defaultdict

from workers.contract.slots import CloseReason, Counter, DropReason


class RuleTally:
    """What one rule has decided: searches accepted and rejected, and the accepted that led to no session.

    answered_ns, refused_ns: when its sessions' servers last answered, and when the network last said that nobody takes
    datagrams there; 0: never.
    """

    __slots__ = ("accepted", "answered_ns", "refused_ns", "rejected", "unopened")

    def __init__(self) -> None:
        self.accepted = self.rejected = self.unopened = 0
        self.answered_ns = self.refused_ns = 0


class Stats:
    """Datagrams, payload bytes and sessions since the worker began; out is client to server.

    rules: by the name of a rule, "" where none decided.
    """

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "closes",
        "drops_in",
        "drops_out",
        "forwarded_in",
        "forwarded_out",
        "log_records",
        "log_shed",
        "overflow",
        "received_in",
        "received_out",
        "rules",
        "sessions_opened",
    )

    def __init__(self) -> None:
        self.received_out = 0
        self.forwarded_out = 0
        self.bytes_out = 0
        self.received_in = 0
        self.forwarded_in = 0
        self.bytes_in = 0
        self.sessions_opened = 0
        self.overflow = 0
        self.log_records = self.log_shed = 0
        self.drops_out = [0] * len(DropReason)
        self.drops_in = [0] * len(DropReason)
        self.closes = [0] * len(CloseReason)
        self.rules: defaultdict[str, RuleTally] = defaultdict(RuleTally)

    @property
    def balanced(self) -> bool:
        """Whether every datagram received is accounted for."""
        return self.received_out == self.forwarded_out + sum(
            self.drops_out
        ) and self.received_in == self.forwarded_in + sum(self.drops_in)

    def published(self) -> dict[int, int]:
        """Return the counters as header words by index (Counter)."""
        words: dict[int, int] = {
            Counter.RECEIVED_OUT: self.received_out,
            Counter.FORWARDED_OUT: self.forwarded_out,
            Counter.BYTES_OUT: self.bytes_out,
            Counter.RECEIVED_IN: self.received_in,
            Counter.FORWARDED_IN: self.forwarded_in,
            Counter.BYTES_IN: self.bytes_in,
            Counter.SESSIONS_OPENED: self.sessions_opened,
            Counter.QUEUE_OVERFLOW: self.overflow,
            Counter.LOG_RECORDS: self.log_records,
            Counter.LOG_SHED: self.log_shed,
        }
        for first, values in (
            (Counter.DROPS_OUT, self.drops_out),
            (Counter.DROPS_IN, self.drops_in),
            (Counter.CLOSES, self.closes),
        ):
            words.update((first + index, value) for index, value in enumerate(values))
        return words


class Publisher:
    """Adds a worker's counters to those its predecessors left in the same region, so that sums only grow."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._base = {index: words[index] for index in Stats().published()}

    def publish(self, stats: Stats) -> None:
        """Write every counter to shared memory."""
        words, base = self._words, self._base
        for index, value in stats.published().items():
            words[index] = base[index] + value
