"""The ways from this run to the next, as the running program walks them: handing over to a program that asks for it,
starting that program itself, and laying everything up with the service manager at the end.

One at a time, and none while the proxy drains, ends or reloads.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from proxyd.control import protocol
from proxyd.control.protocol import AskTakeover, AskUpgrade, Reply
from proxyd.daemon import failures
from proxyd.daemon.asker import Asker
from proxyd.daemon.bequest import Left, pack
from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.failures import Failure
from proxyd.daemon.inventory import Bundle
from proxyd.daemon.journal import SessionJournal
from proxyd.daemon.lane import Lane, LaneClosedError
from proxyd.daemon.launch import Attempt, Launch
from proxyd.daemon.layup import bury, lay_up
from proxyd.daemon.notify import Notifier
from proxyd.daemon.rest import Rest, Resting
from proxyd.daemon.spawn import Estate
from proxyd.daemon.succession import Stage, Succession
from workers.contract.custody import Kept
from workers.contract.messages import Names

CHECK, TAKE_OVER = ("--check",), ("--takeover",)
"""What a program is started with that is to check its configuration, and that is to take over."""
ATTEMPT_NS = 60_000_000_000
"""How long a program that was started may take before it asks."""
REST_NS = 5_000_000_000
"""How long the workers may take to come to rest before sessions are laid up without theirs."""
WORD_NS = 4_000_000_000
"""How often who waits for an upgrade hears that it is under way."""
LAST_WORDS_NS = 2_000_000_000
"""How long a program that has gone without saying why may take to its end, which says why."""
_BUSY_NS = 5_000_000
_MAX_CHARS = 1000


class Keeping(Protocol):
    """Where sessions are kept."""

    def kept(self, worker: int) -> tuple[Kept, ...]:
        """Return the sessions that are kept for a worker, by slot."""
        ...


class Company(Resting, Protocol):
    """The children, and what is known of them."""

    @property
    def vault(self) -> Keeping:
        """What workers have entrusted to us."""
        ...

    @property
    def names(self) -> Names | None:
        """The addresses of the configuration's names, None: not resolved yet."""
        ...


class Means:
    """What a passage needs of this program. launch: how it was started, None: not known. private: what only it knows.

    stored: how many descriptors the service manager keeps for it, 0: none.
    """

    def __init__(
        self, notifier: Notifier, launch: Launch | None, stored: int, private: Callable[[], bytes] = bytes
    ) -> None:
        self.notifier = notifier
        self.launch = launch
        self.stored = stored
        self.private = private


class Hindrance(NamedTuple):
    """Why no other run can take over now, both empty if one can.

    leaving: for good, this run has its end already. renewing: for a while, some children are not what they are to be.
    """

    leaving: str = ""
    renewing: str = ""


class Step(NamedTuple):
    """What the program that was started is for, and until when it may take. checking: its configuration alone.

    why: what it has failed by already, as far as is known.
    """

    checking: bool = False
    due_ns: int = 0
    why: str = ""


class Passage:
    """All ways from one run to the next. hindered: what is in the way now.

    The epoll object is the loop's; what is to be waited for is added and removed here.
    """

    def __init__(
        self,
        estate: Estate,
        company: Company,
        journal: SessionJournal,
        means: Means,
        epoll: select.epoll,
        hindered: Callable[[], Hindrance],
    ) -> None:
        self._estate = estate
        self._company = company
        self._journal = journal
        self._means = means
        self._epoll = epoll
        self._hindered = hindered
        self._rest = Rest(company)
        self._succession: Succession | None = None
        self._attempt: Attempt | None = None
        self._step = Step()
        self._left_alone: list[Attempt] = []
        """Programs that were started and not waited for: when they end, they are to be buried."""
        self._verdict: tuple[Reply, ...] = ()
        """What came of the last upgrade, () as long as it is under way."""
        self._parking: tuple[str, int] | None = None
        self._ending: Ending | None = None
        self._heir = -1
        """A pidfd of the program that has taken over."""

    @property
    def under_way(self) -> bool:
        """Whether this run is about to be another one's past, or is."""
        return any(step is not None for step in (self._succession, self._attempt, self._parking, self._ending))

    @property
    def handing(self) -> bool:
        """Whether another program may be answering at the control socket."""
        return self._ending is not None or (self._succession is not None and self._succession.stage is Stage.WAITING)

    def wait_ns(self, longest_ns: int) -> int:
        """Return how long the loop may wait for something to happen, longest_ns at most."""
        if self._ending is not None:
            return 0
        busy = self._parking is not None or (self._succession is not None and self._succession.busy)
        return min(longest_ns, _BUSY_NS) if busy else longest_ns

    # --- orders ------------------------------------------------------------------------------------------------------

    def take_over(self, request: AskTakeover, asker: Asker) -> Iterator[Reply]:
        """Hand over to the program that asks, over the lane that came with the question."""
        settings, now_ns = self._estate.settings, time.monotonic_ns()
        descriptor = asker.take()
        why = self._refusal(started=True)
        if asker.user not in (0, os.geteuid()):
            why = "only root and who started the proxy may take over"
        elif (request.program, request.name) != (settings.program, settings.name):
            why = f"{settings.program} {settings.name} runs there, not {request.program} {request.name}"
        elif descriptor is None:
            why = "no lane came with the question"
        if why or descriptor is None:
            if descriptor is not None:
                os.close(descriptor)
            yield protocol.Refused(why)
            return
        try:
            lane = Lane.of(descriptor)
        except LaneClosedError as error:
            yield protocol.Refused(str(error))
            return
        self._journal.note("handing-over", asker.who)
        self._succession = Succession(lane, asker.process, self._rest, self._pack, now_ns)
        self._epoll.register(lane.fileno(), select.EPOLLIN)
        yield protocol.Done("what is left comes over the lane")

    def upgrade(self, _request: AskUpgrade, _asker: Asker) -> Iterator[Reply | None]:
        """Start the program anew and have it take over; the answer comes when it serves, or has failed."""
        launch, why = self._means.launch, self._refusal(started=False)
        if why or launch is None:
            yield protocol.Refused(why or "it is not known how the program was started")
            return
        self._verdict = ()
        # What it says of its configuration is read here, also where it writes elsewhere later.
        self._start(launch, CHECK, foreground=False)
        yield protocol.Step("the new program checks its configuration")
        word_ns = time.monotonic_ns() + WORD_NS
        while not self._verdict:
            if time.monotonic_ns() >= word_ns:
                word_ns = time.monotonic_ns() + WORD_NS
                yield protocol.Step("it is not there yet")
            else:
                yield None
        yield from self._verdict

    def _start(self, launch: Launch, extra: tuple[str, ...], *, foreground: bool) -> None:
        """Start the program, to check or to take over."""
        self._leave_alone()
        self._step = Step(extra is CHECK, time.monotonic_ns() + ATTEMPT_NS)
        try:
            self._attempt = launch.start(extra, foreground)
        except OSError as error:
            self._fail(Failure(f"the new program cannot be started: {error.strerror}"))
            return
        if extra is not CHECK:
            self._journal.note("upgrade-started", self._attempt.process)

    def park(self, why: str) -> bool:
        """Lay everything up with the service manager before the end; False where there is no store, or no time for it.

        The end comes by `tend`. That children are being renewed is no hindrance: whoever serves leaves its work, and
        who is not there yet has left it with us.
        """
        if (
            self._means.stored <= 0
            or self._parking is not None
            or self._unfit(started=True)
            or self._hindered().leaving
        ):
            return False
        self._parking = (why, time.monotonic_ns() + REST_NS)
        return True

    def pass_on(self, number: int) -> None:
        """Send a signal to the program that has taken over, if one has."""
        if self._heir >= 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._heir, number)

    def abandon(self, why: str) -> None:
        """Go no way any more: this run ends."""
        self._parking = None
        if self._succession is not None:
            self._succession.abandon(why, time.monotonic_ns())
        if self._attempt is not None:
            self._fail(Failure(why))
            self._verdict = (protocol.Refused(f"not upgraded, this program ends: {why}"[:_MAX_CHARS]),)

    # --- turns -------------------------------------------------------------------------------------------------------

    def tend(self, now_ns: int) -> Ending | None:
        """Do what can be done without waiting; return how this run ends once another one has what is left of it."""
        if self._ending is not None:
            return self._ending
        self._bury()
        if self._attempt is not None:
            self._look_at_attempt(self._attempt, now_ns)
        if self._succession is not None:
            self._succession.tend(now_ns)
            if self._succession.over:
                self._conclude(self._succession)
        if self._parking is not None:
            why, due_ns = self._parking
            if self._rest.rest(now_ns) or now_ns >= due_ns:
                self._lay_up()
                self._parking, self._ending = None, Ending(ExitStatus.OK, why)
        return None

    def _conclude(self, succession: Succession) -> None:
        self._succession = None
        self._epoll.unregister(succession.fileno())
        succession.close()
        if succession.stage is Stage.UNDONE:
            if self._estate.pidfile is not None:
                self._estate.pidfile.claim()
            self._journal.note("handover-undone", succession.process, succession.why)
            if self._attempt is not None and succession.mute:
                self._step = Step(due_ns=time.monotonic_ns() + LAST_WORDS_NS, why=succession.why)
            elif self._attempt is not None:
                self._fail(failures.of_takeover(succession.why))
            return
        for remark in succession.remarks:
            self._journal.note("config-warning", remark)
        if succession.whole:
            self._journal.note("handed-over", succession.process, self._estate.shared.sessions)
        else:
            self._journal.note("handed-over", succession.process, 0)
            bury(self._estate, self._kept(), [], self._journal)
        self._leave()
        with contextlib.suppress(OSError):
            self._heir = os.pidfd_open(succession.process)
        self._leave_alone()
        self._means.notifier.tell(f"MAINPID={succession.process}")
        # The end comes a turn later: who has asked for it hears of it first.
        told = f"process {succession.process} has taken over"
        self._verdict = (*map(protocol.Step, (*succession.remarks, told)), protocol.Done(told))
        self._ending = Ending(ExitStatus.OK, told)

    def _leave(self) -> None:
        """Touch nothing any more that is the successor's by now."""
        estate = self._estate
        if estate.pidfile is not None:
            estate.pidfile.leave()
        if estate.control is not None:
            estate.control.leave()
        if estate.monitoring is not None:
            estate.monitoring.leave()

    def _leave_alone(self) -> None:
        """Let the program that was started run on by itself, if one was."""
        if self._attempt is not None:
            self._attempt.close()
            self._left_alone.append(self._attempt)
            self._attempt = None

    def _bury(self) -> None:
        """Wait for programs that have ended since: nobody else does."""
        for attempt in self._left_alone:
            attempt.tend()
        self._left_alone = [attempt for attempt in self._left_alone if attempt.status is None]

    def _look_at_attempt(self, attempt: Attempt, now_ns: int) -> None:
        attempt.tend()
        launch = self._means.launch
        if self._succession is not None or launch is None:
            return
        if attempt.status == 0 and self._step.checking:
            self._start(launch, TAKE_OVER, foreground=self._estate.settings.foreground)
        elif attempt.status is not None:
            self._fail(failures.of_end(attempt.status, attempt.text, checking=self._step.checking))
        elif now_ns >= self._step.due_ns and self._step.why:
            self._fail(failures.of_takeover(self._step.why))
        elif now_ns >= self._step.due_ns:
            self._fail(failures.of_silence(attempt.process, checking=self._step.checking))

    def _fail(self, failure: Failure) -> None:
        if self._attempt is not None:
            # What was given up is not to take over later, and from another run perhaps.
            self._attempt.end()
        self._leave_alone()
        self._journal.note("upgrade-failed", failure.line)
        refused = protocol.Refused(f"not upgraded, the running program goes on: {failure.why}"[:_MAX_CHARS])
        mistakes = [line[:_MAX_CHARS] for line in failure.mistakes]
        self._verdict = (*([protocol.Mistakes(mistakes)] if mistakes else ()), refused)

    # --- what is left ------------------------------------------------------------------------------------------------

    def _pack(self, leash: int) -> Bundle:
        """Return all that is left, for a successor."""
        return pack(self._estate, Left(self._kept(), self._company.names, self._means.private(), leash))

    def _kept(self) -> list[tuple[Kept, ...]]:
        return [self._company.vault.kept(worker) for worker in range(len(self._estate.listeners))]

    def _lay_up(self) -> None:
        left = Left(self._kept(), self._company.names, self._means.private(), places=False)
        lay_up(self._estate, left, self._means.notifier, self._means.stored, self._journal)

    def _refusal(self, *, started: bool) -> str:
        """Return why no other run can take over now, "" if one can. started: an upgrade under way is no hindrance."""
        hindrance = self._hindered()
        return self._unfit(started=started) or hindrance.leaving or hindrance.renewing

    def _unfit(self, *, started: bool) -> str:
        if self._estate.settings.single_process:
            return "one process does everything: its sessions are nobody else's"
        if os.getpid() == 1:
            return "process 1 ends its container when it ends"
        if self._succession is not None or self._parking is not None or (self._attempt is not None and not started):
            return "that is under way already"
        return ""
