"""The new program's part when it takes over: ask for what is left, say that it serves, or why it cannot.

It comes into what a running program hands over, or into what the service manager kept; both are used in the same way.
All that takes its time has been done before anybody is asked: from then on the workers of the other program rest.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from proxyd.control.client import Connection, RefusedError, UnreachableError
from proxyd.control.protocol import AskTakeover
from proxyd.daemon import bequest, fdstore
from proxyd.daemon.bequest import Legacy
from proxyd.daemon.inventory import InventoryError
from proxyd.daemon.journal import Journal
from proxyd.daemon.lane import Coming, Failed, Lane, LaneClosedError, Message, Serving, make_lane
from proxyd.daemon.notify import Notifier
from proxyd.errors import SetupError

STEP = "take over"
PATIENCE_S = 30.0
"""How long the running program may take for each step; its workers save their sessions meanwhile."""
NEVER, GONE = -1, -2
"""In the place of a descriptor: there is none to wait on, or no more."""
STORE = "the service manager's store"


class Giver(Protocol):
    """Whoever has left something, and wants to know what became of it."""

    @property
    def goes_on(self) -> bool:
        """Whether it serves by itself if this program fails."""
        ...

    def coming(self, step: str) -> None:
        """Say that a step is done."""
        ...

    def serving(self, *, sessions: bool = True) -> None:
        """Say that this process serves: what was left is its own now. sessions: whether it has these, too."""
        ...

    def failed(self, why: str) -> None:
        """Say that it does not, and never will."""
        ...

    def let_go(self) -> bool:
        """Tell whether it has let go of everything. To be asked once this process serves."""
        ...


class Predecessor:
    """The running program, at the other end of a lane. process: its number, 0: not known."""

    goes_on = True

    def __init__(self, lane: Lane, process: int = 0) -> None:
        self._lane = lane
        self._process = process
        self._held = -1

    def coming(self, step: str) -> None:
        """Say that a step is done; whether it is heard shows later."""
        with contextlib.suppress(LaneClosedError):
            self._lane.send(Coming(step))

    def serving(self, *, sessions: bool = True) -> None:
        """Say that this process serves. Raises SetupError when the other one has gone on by itself meanwhile."""
        with contextlib.suppress(OSError):
            self._held = os.pidfd_open(self._process) if self._process else -1
        try:
            self._lane.send(Serving(os.getpid(), sessions))
        except LaneClosedError as error:
            raise SetupError(STEP, str(error)) from error
        self._lane.close()

    def failed(self, why: str) -> None:
        """Say that it does not."""
        self._tell(Failed(why[:2000]))
        self._lane.close()

    def let_go(self) -> bool:
        """Tell whether it has ended."""
        if self._held >= 0 and _has_news(self._held):
            os.close(self._held)
            self._held = -1
        return self._held < 0

    def _tell(self, message: Message) -> None:
        with contextlib.suppress(LaneClosedError):
            self._lane.send(message)


class Keeper:
    """The service manager."""

    goes_on = False

    def __init__(self, notifier: Notifier, journal: Journal) -> None:
        self._notifier = notifier
        self._journal = journal
        self._done: int | None = None

    def coming(self, step: str) -> None:
        """Say nothing: it does not wait."""

    def serving(self, *, sessions: bool = True) -> None:
        """Have it forget what is ours now."""
        fdstore.forget(self._notifier)

    def failed(self, why: str) -> None:
        """Leave it with the manager, for the next start."""

    def let_go(self) -> bool:
        """Tell whether it has forgotten what is ours; where it cannot be asked for that, never."""
        if self._done is None:
            try:
                self._done = self._notifier.barrier()
            except BlockingIOError:
                return False
            except OSError as error:
                self._done = NEVER
                self._journal.note("manager-silent", error.strerror or str(error))
        if self._done >= 0 and _has_news(self._done):
            os.close(self._done)
            self._done = GONE
        return self._done == GONE


def _has_news(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def ask(path: Path, program: str, name: str) -> tuple[Legacy, Giver]:
    """Ask the proxy that serves at a control socket for all it has. Raises SetupError; if it refuses, in its words."""
    ours, theirs = make_lane()
    try:
        with theirs, Connection(path) as connection:
            for _ in connection.ask(AskTakeover(program, name), (theirs.fileno(),)):
                pass
        legacy = bequest.read(ours.take(PATIENCE_S), "the running program")
    except (UnreachableError, RefusedError, LaneClosedError, InventoryError) as error:
        giver = Predecessor(ours)
        giver.failed(str(error))
        raise SetupError(STEP, str(error)) from error
    legacy.source = f"process {legacy.manifest.process} ({legacy.manifest.release})"
    return legacy, Predecessor(ours, legacy.manifest.process)


def fetch(passed: Mapping[int, str], notifier: Notifier, journal: Journal) -> tuple[Legacy, Giver] | None:
    """Return what the service manager kept for us, None where there is nothing. Raises InventoryError.

    passed: what it has passed of that, by descriptors.
    """
    bundle = fdstore.fetch(passed)
    return None if bundle is None else (bequest.read(bundle, STORE), Keeper(notifier, journal))
