"""Who is there: the children of one proxy, what state each is in, and what follows when one ends.

Sans-I/O: what happened comes in with the clock, what is to be done comes out. The state of a child has one writer.
Source: udpserver(7); UDPS-510.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from workers.contract.exitcodes import ExitCode

FREEZE_NS = 3_000_000_000
"""How long a child may take to leave its work to a replacement, before it is killed: then it is a death."""
BACKOFF_FIRST_NS = 1_000_000_000
BACKOFF_MAX_NS = 60_000_000_000
_FATAL_CODES = frozenset(int(code) for code in ExitCode if code.fatal)


class Role(Enum):
    """What a child does."""

    WORKER = "worker"
    RESOLVER = "resolver"
    MONITOR = "monitor"


_LEFT = {Role.WORKER: ExitCode.FROZEN, Role.RESOLVER: ExitCode.STOPPED, Role.MONITOR: ExitCode.STOPPED}
"""How a child ends that leaves its work to a replacement: only a worker has anything to save."""


class State(Enum):
    """Where a child is in its life."""

    DEAD = "dead"
    STARTING = "starting"
    READY = "ready"
    FREEZING = "freezing"
    """Asked to leave its work to a replacement."""
    STOPPING = "stopping"


class Input(Enum):
    """What happens to a child."""

    FORKED = "forked"
    SAID_READY = "said ready"
    ASKED_TO_FREEZE = "asked to freeze"
    ASKED_TO_STOP = "asked to stop"
    ENDED = "ended"


TRANSITIONS: dict[State, dict[Input, State]] = {
    State.DEAD: {Input.FORKED: State.STARTING, Input.ASKED_TO_STOP: State.DEAD},
    State.STARTING: {
        Input.SAID_READY: State.READY,
        Input.ASKED_TO_STOP: State.STOPPING,
        Input.ENDED: State.DEAD,
    },
    State.READY: {
        Input.ASKED_TO_FREEZE: State.FREEZING,
        Input.ASKED_TO_STOP: State.STOPPING,
        Input.ENDED: State.DEAD,
    },
    State.FREEZING: {Input.ASKED_TO_STOP: State.STOPPING, Input.ENDED: State.DEAD},
    State.STOPPING: {Input.SAID_READY: State.STOPPING, Input.ASKED_TO_STOP: State.STOPPING, Input.ENDED: State.DEAD},
}
"""A missing key is a breach of the contract by the child, or our own mistake."""


class Verdict(Enum):
    """What follows from a child's end."""

    REPLACE = "replace"
    LEFT = "left"
    """It was asked to leave its work to a replacement, and did; a replacement is due at once, or held back."""
    EXPECTED = "expected"
    """The proxy is stopping: nothing follows."""
    FATAL = "fatal"
    """A replacement would only fail the same way: the proxy ends."""
    TOO_MANY = "too many"
    """More deaths than the limit allows: the proxy ends."""


@dataclass(eq=False, slots=True)
class Child:
    """One place on the roster. pid is that of its present process, 0 when there is none."""

    role: Role
    index: int
    state: State = State.DEAD
    pid: int = 0
    due_ns: int = 0
    """When a dead child is to be started; when a freezing one is to be killed."""
    lives: int = 0
    """Processes that it has had, with the present one."""
    dismissed: bool = False
    """It is wanted no more: when it has ended, nobody takes its place."""
    failures: int = field(default=0, repr=False)
    """Deaths before Ready in a row."""

    @property
    def name(self) -> str:
        """The child's name in the log, as `worker 0`."""
        return f"worker {self.index}" if self.role is Role.WORKER else self.role.value


class Roster:
    """All children of a proxy.

    A ready child that dies is replaced at once; one that keeps dying before it is ready, after 1, 2, 4 … 60 s from the
    second time on. While the proxy is starting, a child that dies before it was ready ends it: the starting command
    must learn the truth. respawn_count: so many deaths in respawn_ns are survived.
    """

    def __init__(self, children: list[Child], respawn_count: int, respawn_ns: int) -> None:
        self.children = children
        self.stopping = False
        self.held = False
        """Whether dead workers stay dead for the time being."""
        self.started = False
        """Whether all children were ready at one time."""
        self._respawn_count = respawn_count
        self._respawn_ns = respawn_ns
        self._deaths_ns: deque[int] = deque()

    @property
    def alive(self) -> list[Child]:
        """The children that have a process."""
        return [child for child in self.children if child.state is not State.DEAD]

    def limit(self, respawn_count: int, respawn_ns: int) -> None:
        """Survive so many deaths in that time from now on."""
        self._respawn_count, self._respawn_ns = respawn_count, respawn_ns

    def forget_dismissed(self) -> None:
        """Take from the roster who is wanted no more and has ended."""
        self.children = [child for child in self.children if not (child.dismissed and child.state is State.DEAD)]

    def resize(self, workers: int) -> None:
        """Let there be so many workers; those that are too many have ended."""
        kept = [child for child in self.children if child.role is not Role.WORKER or child.index < workers]
        count = sum(child.role is Role.WORKER for child in kept)
        self.children = kept[:count] + [Child(Role.WORKER, index) for index in range(count, workers)] + kept[count:]

    def due(self, now_ns: int) -> list[Child]:
        """Return the children to be started now."""
        return [child for child in self._waiting() if child.due_ns <= now_ns]

    def overdue(self, now_ns: int) -> list[Child]:
        """Return the children that take too long to leave their work, and are to be killed."""
        return [child for child in self.children if child.state is State.FREEZING and child.due_ns <= now_ns]

    def next_due_ns(self) -> int | None:
        """Return when the next child is to be started, or killed; None when none is."""
        freezing = [child for child in self.children if child.state is State.FREEZING]
        return min((child.due_ns for child in self._waiting() + freezing), default=None)

    def _waiting(self) -> list[Child]:
        """Return the children that are to be started at some time."""
        if self.stopping:
            return []
        dead = [child for child in self.children if child.state is State.DEAD and not child.dismissed]
        return [child for child in dead if not (self.held and child.role is Role.WORKER)]

    def handle_forked(self, child: Child, pid: int) -> None:
        """Note a child's new process."""
        self._step(child, Input.FORKED)
        child.pid = pid
        child.lives += 1

    def handle_ready(self, child: Child) -> None:
        """Note that a child serves."""
        self._step(child, Input.SAID_READY)
        if child.state is State.READY:
            child.failures = 0
            self.started = self.started or all(other.state is State.READY for other in self.children)

    def handle_freeze(self, child: Child, now_ns: int) -> bool:
        """Note that a child is asked to leave its work to a replacement; False when it cannot be asked now."""
        if Input.ASKED_TO_FREEZE not in TRANSITIONS[child.state]:
            return False
        self._step(child, Input.ASKED_TO_FREEZE)
        child.due_ns = now_ns + FREEZE_NS
        return True

    def handle_stop(self) -> None:
        """Note that the proxy is ending: nobody is replaced from now on."""
        self.stopping = True
        for child in self.children:
            self._step(child, Input.ASKED_TO_STOP)

    def handle_death(self, child: Child, exit_code: int, now_ns: int) -> Verdict:
        """Note a child's end and return what follows. exit_code: its status; minus the signal that killed it."""
        was_ready, was_asked = child.state in (State.READY, State.FREEZING), child.state is State.FREEZING
        self._step(child, Input.ENDED)
        child.pid = 0
        if self.stopping:
            return Verdict.EXPECTED
        if was_asked and exit_code == _LEFT[child.role]:
            child.failures, child.due_ns = 0, now_ns
            return Verdict.LEFT
        if exit_code in _FATAL_CODES or not (was_ready or self.started):
            return Verdict.FATAL
        self._deaths_ns.append(now_ns)
        while self._deaths_ns[0] <= now_ns - self._respawn_ns:
            self._deaths_ns.popleft()
        if len(self._deaths_ns) > self._respawn_count:
            return Verdict.TOO_MANY
        child.failures = 0 if was_ready else child.failures + 1
        child.due_ns = now_ns + _backoff_ns(child.failures)
        return Verdict.REPLACE

    def _step(self, child: Child, event: Input) -> None:
        child.state = TRANSITIONS[child.state][event]


def _backoff_ns(failures: int) -> int:
    if failures < 2:
        return 0
    return min(BACKOFF_FIRST_NS << min(failures - 2, 6), BACKOFF_MAX_NS)
