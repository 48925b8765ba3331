"""The running program's part when a new one takes over: come to rest, hand over, see it serve, and only then end.

What is handed over are duplicates: all that this program needs to go on stays in its hands until the successor has said
that it serves. If the successor dies, refuses or is silent for PATIENCE_NS, it is made sure that none of its processes
is left, by a pipe whose other end all of them hold; then the workers start again with what their predecessors saved.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from proxyd.daemon.inventory import Bundle
from proxyd.daemon.lane import Coming, Failed, Lane, LaneClosedError, Message, Serving, Withheld, close_all

REST_NS = 10_000_000_000
"""How long the workers may take to come to rest: those that do not are killed long before."""
PATIENCE_NS = 30_000_000_000
"""How long the successor may say nothing."""
GRACE_NS = 2_000_000_000
"""How long a successor that has said why it fails may take to end by itself."""
GONE_NS = 500_000_000
"""How long one that has gone without a word may take to end: the words come after that, where it was started."""
LEASH_NS = 5_000_000_000
"""How long the processes of a successor that has failed may take to be gone."""


class Stage(Enum):
    """How far it is."""

    RESTING = "resting"
    """The workers save their sessions, and end."""
    HANDING = "handing"
    """What is left goes over the lane, as there is room."""
    WAITING = "waiting"
    """The successor is to serve."""
    UNDOING = "undoing"
    """It has failed: its processes are to be gone."""
    TAKEN = "taken"
    """It serves."""
    UNDONE = "undone"
    """This program goes on."""


class Hands(Protocol):
    """Who brings the workers to rest, and starts them again."""

    def rest(self, now_ns: int) -> bool:
        """Bring the workers to rest, and start none; tell whether all of them are."""
        ...

    def resume(self, now_ns: int) -> None:
        """Start the workers again, each with the sessions that are kept for it."""
        ...


class Succession:
    """One successor's attempt. process: its number. The lane is ours from now on.

    pack: makes the bundle once the workers rest, of which the descriptor it is given is a part; what it raises of
    OSError ends the attempt.
    """

    def __init__(self, lane: Lane, process: int, hands: Hands, pack: Callable[[int], Bundle], now_ns: int) -> None:
        self.process = process
        self.stage = Stage.RESTING
        self.why = ""
        """Why it has failed."""
        self.mute = False
        """Whether that is not the successor's own word: it has gone."""
        self.remarks: list[str] = []
        """What the successor has said of how it does."""
        self.whole = True
        """Whether it has the sessions, too."""
        self._lane = lane
        self._hands = hands
        self._pack = pack
        self._due_ns = now_ns + REST_NS
        self._kill_ns = 0
        self._leash = (-1, -1)
        self._steps: dict[Stage, Callable[[int], None]] = {
            Stage.RESTING: self._rest,
            Stage.HANDING: self._hand,
            Stage.WAITING: self._hear,
            Stage.UNDOING: self._undo,
        }
        self._successor = -1
        with contextlib.suppress(OSError):
            self._successor = os.pidfd_open(process)

    def fileno(self) -> int:
        """Return the descriptor to wait on for something to read."""
        return self._lane.fileno()

    @property
    def busy(self) -> bool:
        """Whether a turn soon can bring it on, without anything to read."""
        return self.stage in (Stage.RESTING, Stage.HANDING, Stage.UNDOING)

    @property
    def over(self) -> bool:
        """Whether it has come to an end, this or that."""
        return self.stage in (Stage.TAKEN, Stage.UNDONE)

    def tend(self, now_ns: int) -> None:
        """Do what can be done without waiting."""
        try:
            step = self._steps.get(self.stage)
            if step is not None:
                step(now_ns)
        except LaneClosedError as error:
            self.mute = not self.why
            self._fail(str(error), now_ns, now_ns + GONE_NS)

    def abandon(self, why: str, now_ns: int) -> None:
        """Give up: this program is to end otherwise, or cannot hand over."""
        if not self.over:
            with contextlib.suppress(LaneClosedError):
                self._lane.send(Withheld(why[:2000]))
            self._fail(why, now_ns)

    def close(self) -> None:
        """Close what is ours. To be called when it is over, and nothing waits on the lane any more."""
        self._lane.close()
        close_all([fd for fd in (*self._leash, self._successor) if fd >= 0])
        self._leash, self._successor = (-1, -1), -1

    # --- stages ------------------------------------------------------------------------------------------------------

    def _rest(self, now_ns: int) -> None:
        self._hear(now_ns)
        if self.stage is not Stage.RESTING:
            return
        if not self._hands.rest(now_ns):
            if now_ns >= self._due_ns:
                self.abandon("the workers do not come to rest", now_ns)
            return
        try:
            self._leash = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._lane.give(self._pack(self._leash[1]))
        except OSError as error:
            self.abandon(f"what is left cannot be packed: {error.strerror}", now_ns)
            return
        self.stage, self._due_ns = Stage.HANDING, now_ns + PATIENCE_NS
        self._hand(now_ns)

    def _hand(self, now_ns: int) -> None:
        self._lane.pump()
        if not self._lane.waiting:
            self._let_go_of_leash()
            self.stage, self._due_ns = Stage.WAITING, now_ns + PATIENCE_NS
        self._hear(now_ns)

    def _hear(self, now_ns: int) -> None:
        while not self.over and (heard := self._lane.receive()) is not None:
            message, descriptors = heard
            close_all(descriptors)
            self._take(message, now_ns)
        if self.stage in (Stage.HANDING, Stage.WAITING) and now_ns >= self._due_ns:
            self.abandon(f"it says nothing for {PATIENCE_NS // 10**9} s", now_ns)

    def _take(self, message: Message, now_ns: int) -> None:
        if isinstance(message, Coming):
            self.remarks.append(message.step)
            self._due_ns = max(self._due_ns, now_ns + PATIENCE_NS)
        elif isinstance(message, Serving) and self.stage is Stage.WAITING:
            self.stage, self.whole = Stage.TAKEN, message.sessions
        elif isinstance(message, Failed):
            self._fail(message.why, now_ns, now_ns + GRACE_NS)
        else:
            self._fail("it says what it may not say", now_ns)

    def _fail(self, why: str, now_ns: int, kill_ns: int = 0) -> None:
        if self.stage is not Stage.UNDOING:
            self.why, self.stage, self._due_ns, self._kill_ns = why, Stage.UNDOING, now_ns + LEASH_NS, kill_ns
            self._let_go_of_leash()
            self._undo(now_ns)

    def _undo(self, now_ns: int) -> None:
        if self._leash_held():
            if now_ns >= self._kill_ns:
                self._kill()
            if now_ns < self._due_ns:
                return
        self._hands.resume(now_ns)
        self.stage = Stage.UNDONE

    def _kill(self) -> None:
        """Kill the successor, which has what is ours in its hands: whatever it was about to do, it does not do it."""
        if self._successor >= 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._successor, signal.SIGKILL)

    def _leash_held(self) -> bool:
        """Tell whether a process of the successor is left: the pipe's other end is open as long as there is one."""
        if self._leash[0] < 0:
            return False
        poll = select.poll()
        poll.register(self._leash[0], 0)
        return not poll.poll(0)

    def _let_go_of_leash(self) -> None:
        """Close our end of what only the successor is to hold."""
        if self._leash[1] >= 0:
            os.close(self._leash[1])
            self._leash = (self._leash[0], -1)
