"""What the monitor looks at: the regions of the workers, the parent's board, and what the configuration calls things.

Nothing here asks anybody: everything is read from memory at the moment it is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from proxyd.control.protocol import ListenerState, RuleState
from proxyd.daemon.board import Board
from workers.contract.slots import CLOSE_WORDS, GENERATIONS, Counter, DropReason, Region
from workers.contract.tallies import (
    LINES,
    NO_RULE,
    OTHERS,
    OTHERS_KEY,
    RULES,
    TARGETS,
    Area,
    Rows,
    TargetColumn,
    rule_key,
)

DIRECTIONS = {"out": Counter.DROPS_OUT, "in": Counter.DROPS_IN}
"""out is client to server."""
NO_RULE_LABEL = "(none)"
SERVER_SIDE = "(server side)"
"""In the place of a listener: the sockets towards servers."""
UFTP = "uftpproxyd"


class RuleFigures(NamedTuple):
    """What a rule has decided: searches accepted and rejected, sessions opened. type: theirs, "" if it denies."""

    name: str
    type: str
    accepted: int
    rejected: int
    opened: int


class LineFigures(NamedTuple):
    """What a listener has received: datagrams; payload bytes passed on; datagrams lost in its full queue."""

    address: str
    received: int
    bytes: int
    lost: int


class Target(NamedTuple):
    """A server that rules plug to. answered_ns, refused_ns: when it was last heard of (CLOCK_MONOTONIC), 0: never."""

    name: str
    answered_ns: int
    refused_ns: int

    @property
    def up(self) -> bool:
        """Whether the last that was heard of it is an answer."""
        return self.answered_ns >= self.refused_ns

    def answered_unix(self, now_ns: int, now: float) -> float | None:
        """Return when it answered last, in seconds since 1970, None for never. now_ns, now: the same instant."""
        return now - (now_ns - self.answered_ns) / 1e9 if self.answered_ns else None

    def refused_unix(self, now_ns: int, now: float) -> float | None:
        """Return when nobody took datagrams there last, likewise."""
        return now - (now_ns - self.refused_ns) / 1e9 if self.refused_ns else None


@dataclass(frozen=True, slots=True)
class View:
    """One proxy. regions: one a worker. started_unix: seconds since 1970. file: its configuration.

    rules: by the low 16 bits of the generation, the present one's under `generation`; listeners: as sessions refer to
    them, line_keys: of their rows in the regions, in the same order. targets: the servers that rules plug to, by name,
    and the keys of their rows.
    """

    program: str
    name: str
    version: str
    max_sessions: int
    generation: int
    regions: tuple[Region, ...]
    started_unix: float
    board: Board = field(repr=False)
    file: str = ""
    rules: Mapping[int, list[RuleState]] = field(default_factory=dict)
    listeners: tuple[ListenerState, ...] = ()
    line_keys: tuple[int, ...] = ()
    targets: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_uftp(self) -> bool:
        """Whether it relays UFTP transfers; it has groups then, where others have sessions."""
        return self.program == UFTP

    @property
    def present_rules(self) -> list[RuleState]:
        """The rules that let clients in now."""
        return self.rules.get(self.generation % GENERATIONS, [])

    def total(self, counter: int) -> int:
        """Return a counter's sum over all workers."""
        return sum(region.words[counter] for region in self.regions)

    @property
    def draining(self) -> bool:
        """Whether no session may begin any more."""
        return any(region.words[Counter.DRAINING] for region in self.regions)

    @property
    def ready(self) -> bool:
        """Whether new clients are served: every worker turns, and none drains or lets datagrams wait."""
        return self.state == "serving"

    @property
    def state(self) -> str:
        """The state in a word."""
        if self.draining:
            return "draining"
        if not all(region.words[Counter.TURNS] for region in self.regions):
            return "starting"
        return "stuck" if self.board.stuck else "serving"

    def saved_ns(self, now_ns: int) -> list[int]:
        """Return by worker how old what another process would go on with may be (ns): what its slots have."""
        return [
            max(now_ns - region.words[Counter.SWEPT], 0) if region.sessions and region.words[Counter.SWEPT] else 0
            for region in self.regions
        ]

    def heard(self) -> Iterator[Target]:
        """Yield the servers that have been heard of."""
        rows = [Rows(region.words, TARGETS).read() for region in self.regions]
        for name, key in self.targets.items():
            found = [row[key] for row in rows if key in row]
            answered_ns = max((row[TargetColumn.ANSWERED] for row in found), default=0)
            refused_ns = max((row[TargetColumn.REFUSED] for row in found), default=0)
            if answered_ns or refused_ns:
                yield Target(name, answered_ns, refused_ns)

    def drops(self, direction: str) -> dict[str, int]:
        """Return the dropped datagrams of a direction by reason."""
        first = DIRECTIONS[direction]
        return {reason.name.lower().replace("_", "-"): self.total(first + reason) for reason in DropReason}

    def closes(self) -> dict[str, int]:
        """Return the ended sessions by reason."""
        return {word: self.total(Counter.CLOSES + number) for number, word in enumerate(CLOSE_WORDS)}

    def rule_figures(self) -> Iterator[RuleFigures]:
        """Yield what each rule has decided, in their order; then what none has, and what has no row of its own."""
        rows = self._rows(RULES)
        names = [(rule.name, rule.kind if rule.accept else "") for rule in self.present_rules]
        for name, kind in names:
            found = rows.pop(rule_key(name, kind), (0, 0, 0))
            yield RuleFigures(name, kind, found[0], found[1], found[0] - found[2])
        for label, key in ((NO_RULE_LABEL, rule_key(NO_RULE, "")), (OTHERS, OTHERS_KEY)):
            if key in rows:
                found = rows[key]
                yield RuleFigures(label, "", found[0], found[1], found[0] - found[2])

    def line_figures(self) -> list[LineFigures]:
        """Return what each listener has received; where there are sessions, last what their sockets have lost."""
        if self.is_uftp:
            # One socket a worker, for everything.
            counts = map(self.total, (Counter.RECEIVED_OUT, Counter.BYTES_OUT, Counter.QUEUE_OVERFLOW))
            return [LineFigures(self.listeners[0].address if self.listeners else "-", *counts)]
        rows = self._rows(LINES)
        figures = [
            LineFigures(listener.address, *rows.get(key, (0, 0, 0)))
            for listener, key in zip(self.listeners, self.line_keys, strict=False)
        ]
        # Another moment's sum may be a little behind.
        rest = self.total(Counter.QUEUE_OVERFLOW) - sum(line.lost for line in figures)
        return [*figures, LineFigures(SERVER_SIDE, 0, 0, max(rest, 0))]

    def _rows(self, area: Area) -> dict[int, tuple[int, int, int]]:
        """Return the rows of an area, summed up over the workers, by their keys."""
        sums: dict[int, tuple[int, int, int]] = {}
        for region in self.regions:
            for key, (_, *values) in Rows(region.words, area).read().items():
                before = sums.get(key, (0, 0, 0))
                sums[key] = (before[0] + values[0], before[1] + values[1], before[2] + values[2])
        return sums
