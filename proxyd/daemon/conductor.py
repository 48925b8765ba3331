"""Orders to the running proxy, from signals and from the control socket alike, carried to the children.

Draining: no session begins any more, and the proxy ends with the last one, or when the time is up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.reading import Reading
from proxyd.daemon.reload import Outcome, Reloader, no_means
from proxyd.daemon.roster import Role, Roster, State
from proxyd.daemon.shared import Shared
from proxyd.logs.setup import Logs
from workers.contract.messages import Kill, Level, Names, Tap, ToChild
from workers.contract.slots import Counter

MAX_KILLS_WAITING = 16
"""Kill messages that wait for one worker, at most."""
NEVER_NS = 1 << 62


class Hands(Protocol):
    """Who carries orders out: proxyd.daemon.crew, or the one worker where one process does everything."""

    roster: Roster

    @property
    def names(self) -> Names | None:
        """The addresses of the configuration's names, None: not known yet."""
        ...

    def order(self, index: int, message: ToChild, most: int) -> bool:
        """Owe a worker a message; False when there is none, or most of this kind wait for it already."""
        ...

    def tell_workers(self, messages: Sequence[ToChild]) -> None:
        """Owe every worker messages of one kind."""
        ...

    def lend(self, index: int, message: Tap, lane: int) -> bool:
        """Send a worker a message with a duplicate of a descriptor; False when it cannot be told now."""
        ...

    def drain(self) -> None:
        """Have every worker, and those to come, begin no session any more."""
        ...


class CrewConductor:
    """Carries orders to the crew. reloader None: one process does everything, and cannot be reloaded."""

    def __init__(self, crew: Hands, shared: Shared, logs: Logs, reloader: Reloader | None = None) -> None:
        self._crew = crew
        self._reloader = reloader
        self._shared = shared
        self._logs = logs
        self._end_ns: int | None = None

    @property
    def roster(self) -> Roster:
        """The children."""
        return self._crew.roster

    @property
    def level(self) -> int:
        """The level of the debug log."""
        return self._logs.level

    @property
    def draining(self) -> bool:
        """Whether no session may begin any more."""
        return self._end_ns is not None

    @property
    def names(self) -> Names | None:
        """The addresses of the configuration's names, None: not known yet."""
        return self._crew.names

    def kill(self, worker: int, sessions: list[tuple[int, int]]) -> bool:
        """End a worker's sessions, (slot, beginning) pairs; False when it cannot be told now."""
        return self._crew.order(worker, Kill(sessions), MAX_KILLS_WAITING)

    def tap(self, worker: int, order: Tap, lane: int) -> bool:
        """Have a worker copy a session's datagrams to a lane, which stays the caller's; False when it cannot."""
        return self._crew.lend(worker, order, lane)

    def set_level(self, level: int) -> None:
        """Give the debug log a level, in all processes."""
        self._logs.level = level
        self._logs.note("level", self._logs.level)
        self._crew.tell_workers((Level(self._logs.level),))

    def reload(self) -> int | None:
        """Read the configuration again; return the number by which `reloaded` knows it, None where that cannot be."""
        return None if self._reloader is None else self._reloader.ask()

    def reloaded(self, number: int) -> Outcome | None:
        """Return what came of a reload, None while it is under way."""
        return None if self._reloader is None else self._reloader.result(number)

    def examine(self) -> Reading:
        """Read the configuration again and change nothing. Raises ProxydError where it would not be taken."""
        if self._reloader is None:
            raise no_means()
        return self._reloader.examine()

    @property
    def reloading(self) -> bool:
        """Whether children are being renewed."""
        return self._reloader is not None and self._reloader.running

    @property
    def last_reload(self) -> Outcome | None:
        """What came of the last reload, None before the first."""
        return None if self._reloader is None else self._reloader.outcome

    def drain(self, timeout_s: float | None) -> None:
        """Begin no session any more; end with the last one, or when the time is up. The last order counts."""
        if not self.draining:
            self._crew.drain()
        self._logs.note("draining", self._shared.left)
        self._end_ns = NEVER_NS if timeout_s is None else time.monotonic_ns() + int(timeout_s * 1e9)

    def outcome(self, now_ns: int) -> Ending | None:
        """Return how the proxy ends once it is drained, or its time for that is up; None before."""
        if self._end_ns is None:
            return None
        sessions = self._shared.sessions
        # A worker's number counts from when it lets nobody in any more: from then on it only falls.
        settled = all(
            self._shared.regions[child.index].words[Counter.DRAINING]
            for child in self._crew.roster.children
            if child.role is Role.WORKER and child.state is not State.DEAD
        )
        if settled and sessions == 0:
            return Ending(ExitStatus.OK, "drained")
        if now_ns >= self._end_ns:
            return Ending(ExitStatus.OK, f"drained but for {sessions} sessions when the time was up")
        return None
