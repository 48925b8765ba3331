"""A UFTP worker's figures, for everybody to see in shared memory, and in words for the log.

The kernel counts datagrams that it has dropped for a socket, whatever for: those with no room in its queue, and those
that the socket's own filter keeps out, multicast of groups that other workers have. They are told apart by how much
waited: nobody but us empties the queue, so that where little waited there was room. Source: socket(7); SO_MEMINFO.
"""

from __future__ import annotations

import socket
from collections import Counter as Count

from workers.contract.slots import Counter
from workers.contract.uftp import DropReason, Fact
from workers.net.upstream import drops_of
from workers.stats import Publisher, Stats
from workers.tallies import Lag
from workers.uftp.machine import Machine

MOST_ROOM_BYTES = 20_000
"""What a datagram takes of a queue at most, with all that the kernel puts around 9,000 bytes."""
GAUGES = frozenset((Fact.GROUPS, Fact.CLIENTS))
"""Facts that say how many there are now; all others grow, over the lives of a worker's predecessors."""


class Losses:
    """What the kernel has dropped for a socket since now. overflow: for want of room; kept_out: by the filter.

    filtered: whether the socket has a filter at all.
    """

    def __init__(self, sock: socket.socket, filtered: bool) -> None:
        self._sock = sock
        self._filtered = filtered
        self._seen = drops_of(sock)
        self.full_at = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // MOST_ROOM_BYTES
        """So many datagrams must have waited before the queue can have been full."""
        self.overflow = self.kept_out = 0

    def look(self, waited: int = 0) -> None:
        """Take in what was dropped since the last look. waited: how many datagrams were found in the queue."""
        seen = drops_of(self._sock)
        dropped, self._seen = (seen - self._seen) & 0xFFFF_FFFF, seen
        if self._filtered and waited < self.full_at:
            self.kept_out += dropped
        else:
            self.overflow += dropped


class Figures:
    """One worker's. words: the header of its region. lag: how long its turns take."""

    def __init__(self, words: memoryview, sock: socket.socket, workers: int) -> None:
        self.losses = Losses(sock, filtered=workers > 1)
        self.lag = Lag(words)
        self._words = words
        self._publisher = Publisher(words)
        self._drops = [words[Counter.UFTP_DROPS + reason] for reason in DropReason]
        self._facts = [0 if fact in GAUGES else words[Counter.UFTP_FACTS + fact] for fact in Fact]

    def note_taken(self, waited: int) -> None:
        """Hear how many datagrams were found in the queue at once."""
        if waited >= self.losses.full_at:
            self.losses.look(waited)

    def publish(self, stats: Stats, machine: Machine) -> None:
        """Write everything to shared memory."""
        self.losses.look()
        stats.overflow = self.losses.overflow
        self._publisher.publish(stats)
        self.lag.publish()
        words, drops, facts = self._words, machine.drops, machine.facts
        for reason, base in enumerate(self._drops):
            words[Counter.UFTP_DROPS + reason] = base + drops[DropReason(reason)]
        for fact, base in enumerate(self._facts):
            words[Counter.UFTP_FACTS + fact] = base + facts[Fact(fact)]

    def describe(self, stats: Stats, machine: Machine) -> str:
        """Return the figures in words; counts that are nothing are left out."""
        self.losses.look()
        return (
            f"{stats.received_out} datagrams received, {stats.forwarded_out} sent, "
            f"{self.losses.overflow} lost in the queue, {self.losses.kept_out} for other workers; "
            f"not used: {_words(machine.drops) or 'none'}; {_words(machine.facts) or 'no facts'}"
        )


def _words(counts: Count[DropReason] | Count[Fact]) -> str:
    return ", ".join(f"{count} {key.name.lower().replace('_', '-')}" for key, count in counts.items() if count)
