"""A worker's counters of which there is one for each rule, listener and server, and how long its turns take.

Plain integers while it works, added now and then to what its predecessors left in shared memory (contract.tallies).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from workers.contract.settings import ListenerSettings, Settings
from workers.contract.slots import Counter
from workers.contract.tallies import (
    LAG_BOUNDS_NS,
    LINES,
    NO_RULE,
    OTHERS_KEY,
    RULES,
    TARGETS,
    Area,
    Rows,
    line_key,
    rule_key,
    target_key,
)
from workers.listener import Listener
from workers.stats import Stats
from workers.wire import sockaddr

RULES_NS = 1_000_000_000
"""How often the rows of rules are written: there may be thousands."""
Handle: TypeAlias = Callable[[Listener, int], None]
"""Reads a listener; the instant comes with it."""


class Intake:
    """Which listener has received how much: what the worker's counters grow by while it is the one that is read."""

    def __init__(self, stats: Stats, listeners: int) -> None:
        self._stats = stats
        self._accounts = [[0, 0] for _ in range(listeners)]
        self._current = 0
        self._seen = (0, 0)

    def follow(self, handle: Handle) -> Handle:
        """Return what is to be called in the place of handle; where there is one listener, nothing has to be noted."""
        if len(self._accounts) == 1:
            return handle

        def handle_on_account(listener: Listener, now_ns: int) -> None:
            self.turn_to(listener.index)
            handle(listener, now_ns)

        return handle_on_account

    def turn_to(self, listener: int) -> None:
        """Put what is counted from now on to a listener's account."""
        if listener != self._current:
            self.accounts()
            self._current = listener

    def accounts(self) -> list[list[int]]:
        """Return datagrams received and payload bytes forwarded of each listener, up to now."""
        stats, (datagrams, octets) = self._stats, self._seen
        self._seen = stats.received_out, stats.bytes_out
        if self._accounts:
            account = self._accounts[self._current]
            account[0] += stats.received_out - datagrams
            account[1] += stats.bytes_out - octets
        return self._accounts


class Lag:
    """How long the loop's turns take, in which no socket is looked at: counted by size in a header's words."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._counts = list(words[Counter.LAG : Counter.LAG + len(LAG_BOUNDS_NS) + 1])
        self._total_ns = words[Counter.LAG_NS]

    def note(self, turn_ns: int) -> None:
        """Count a turn."""
        self._counts[bisect_left(LAG_BOUNDS_NS, turn_ns)] += 1
        self._total_ns += turn_ns

    def publish(self) -> None:
        """Write the counts."""
        words = self._words
        for word, count in enumerate(self._counts, Counter.LAG):
            words[word] = count
        words[Counter.LAG_NS] = self._total_ns


class Tallies:
    """What one worker of session proxies writes beside its other counters. words: the header of its region."""

    def __init__(self, words: memoryview, settings: Settings, stats: Stats, listeners: Sequence[Listener]) -> None:
        self.intake = Intake(stats, len(listeners))
        self.lag = Lag(words)
        self._rules_ns = 0
        self._stats = stats
        self._listeners = listeners
        keys = {acl.name: rule_key(acl.name, acl.kind.value if acl.accept else "") for acl in settings.acls}
        keys[NO_RULE] = rule_key(NO_RULE, "")
        self._rules = _Ledger(words, RULES, keys)
        targets = {acl.name: target_key(acl.plug_to) for acl in settings.acls if acl.plug_to is not None}
        self._targets = _Ledger(words, TARGETS, targets)
        lines = settings.listeners[: len(listeners)]
        self._lines = _Ledger(words, LINES, {index: _line_key(line) for index, line in enumerate(lines)})

    def publish(self, now_ns: int) -> bool:
        """Write all of it, what there may be much of once a second; tell whether something is left for later."""
        for listener, account in zip(self._listeners, self.intake.accounts(), strict=True):
            self._lines.write(listener.index, (*account, listener.lost_total))
        self.lag.publish()
        if now_ns < self._rules_ns:
            return True
        self._rules_ns = now_ns + RULES_NS
        for name, tally in self._stats.rules.items():
            self._rules.write(name, (tally.accepted, tally.rejected, tally.unopened))
            self._targets.raise_to(name, (tally.answered_ns, tally.refused_ns))
        return False


def _line_key(line: ListenerSettings) -> int:
    return line_key(sockaddr.encode(line.address, line.port), line.device, transparent=line.transparent)


class _Ledger:
    """The rows of one kind, by what the worker calls them; several may have one row together."""

    def __init__(self, words: memoryview, area: Area, keys: Mapping[Any, int]) -> None:
        self._words = words
        starts = Rows(words, area).claim(keys.values())
        self._starts = {what: starts.get(key, starts.get(OTHERS_KEY, 0)) for what, key in keys.items()}
        self._written: dict[Any, tuple[int, ...]] = {}

    def write(self, what: str | int, values: tuple[int, ...]) -> None:
        """Add to a row what its values have grown by since the last time."""
        before = self._written.get(what)
        start = self._starts.get(what)
        if before == values or start is None:
            return
        self._written[what] = values
        words = self._words
        for word, (value, old) in enumerate(zip(values, before or (0,) * len(values), strict=True), start + 1):
            # Payload bytes are taken back where they could not be sent, never below nothing.
            words[word] = max(words[word] + value - old, 0)

    def raise_to(self, what: str | int, values: tuple[int, ...]) -> None:
        """Write into a row those values that are larger than what is there."""
        start = self._starts.get(what)
        if start is None or self._written.get(what) == values:
            return
        self._written[what] = values
        for word, value in enumerate(values, start + 1):
            self._words[word] = max(self._words[word], value)
