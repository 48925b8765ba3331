"""The parent's loop: signals, the children's words and deaths, the time. It never sees a byte from the network."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable

from proxyd.control.protocol import AskTakeover, AskUpgrade
from proxyd.daemon import passage
from proxyd.daemon.answers import Answers, Conductor, describe_order
from proxyd.daemon.conductor import CrewConductor
from proxyd.daemon.control import Control
from proxyd.daemon.crew import Crew
from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.heir import Heir
from proxyd.daemon.herald import Herald
from proxyd.daemon.notify import Notifier
from proxyd.daemon.offering import Offering
from proxyd.daemon.passage import Passage
from proxyd.daemon.reading import Reading
from proxyd.daemon.reload import Reloader
from proxyd.daemon.renewal import Means
from proxyd.daemon.roster import Child, Role, Roster
from proxyd.daemon.signals import SignalPipe
from proxyd.daemon.spawn import Estate, Spawner, WorkerMain
from proxyd.daemon.state import describe_state
from proxyd.errors import ProxydError, SetupError
from proxyd.logs.relay import Relay
from proxyd.logs.setup import Logs
from workers.contract.messages import LogBatch

STOP_NS = 5_000_000_000
"""How long children may take to end before they are killed."""
_TICK_NS = 1_000_000_000
_RETRY_NS = 50_000_000
_RENEWING_NS = 5_000_000
"""How long to wait at most while children are renewed: what they do in shared memory wakes nobody."""

LEVEL_STEPS: dict[int, int] = {signal.SIGUSR1: 1, signal.SIGUSR2: -1}
STOPPING: dict[int, str] = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "SIGINT"}
STATE_SIGNAL = signal.SIGRTMIN + 1


def make_roster(estate: Estate) -> Roster:
    """Return the roster of an estate's children, all of them due."""
    settings = estate.settings
    children = [Child(Role.WORKER, index) for index in range(len(estate.listeners))]
    if estate.resolving:
        children.append(Child(Role.RESOLVER, 0))
    if estate.monitoring is not None:
        children.append(Child(Role.MONITOR, 0))
    return Roster(children, settings.respawn_count, settings.respawn_ns)


class Supervisor:
    """Keeps the children of an estate running until it is told to end, or has to.

    main: the workers' loop. on_ready: called once, when every child serves for the first time. means: how to reload,
    None: that is refused. onward: how to go over into another run.
    """

    def __init__(
        self,
        estate: Estate,
        logs: Logs,
        main: WorkerMain,
        on_ready: Callable[[], None],
        means: Means | None = None,
        onward: passage.Means | None = None,
    ) -> None:
        self._estate = estate
        self._logs = logs
        self._on_ready: Callable[[], None] | None = on_ready
        self._relay = Relay(logs)
        self._epoll = select.epoll()
        self._signals = SignalPipe()
        spawner = Spawner(estate, main)
        self._crew = Crew(make_roster(estate), spawner, estate.shared, logs, self._deliver, self._epoll)
        if estate.carrier is not None:
            self._crew.offering = Offering(estate.carrier, estate, self._crew.vault)
        self._reloader = Reloader(estate, self._crew, spawner, logs, means)
        self._conductor = CrewConductor(self._crew, estate.shared, logs, self._reloader)
        onward = onward or passage.Means(Notifier(), None, 0)
        self._passage = Passage(estate, self._crew, logs, onward, self._epoll, self._hindrance)
        self._herald = Herald(onward.notifier, estate, self._crew.roster, logs)
        self._control = open_control(estate, self._conductor, logs, self._passage)
        self._ending: Ending | None = None
        self._kill_ns = 0
        self._answers: dict[int, Callable[[int], None]] = {
            **dict.fromkeys(STOPPING, self._stop),
            **dict.fromkeys(LEVEL_STEPS, self._step_level),
            signal.SIGCHLD: self._reap,
            signal.SIGHUP: lambda _: self._reload(),
            signal.SIGQUIT: lambda _: self._drain(),
            signal.SIGWINCH: lambda _: reopen(logs),
            STATE_SIGNAL: self._log_state,
        }

    def begin_with(self, heir: Heir, reading: Reading, *, whole: bool = True) -> None:
        """Go on, before the first child is forked, with what another run has left; then what was read counts.

        whole: whether that is all of the configuration; if not, it is read again once this program is alone.
        Raises SetupError.
        """
        book, names = self._crew.book, heir.past.names
        heir.fill(self._crew.vault, self._logs)
        if names is not None and book.anew:
            book.names = names
        try:
            self._reloader.begin_with(reading)
        except SetupError:
            raise
        except ProxydError as error:
            raise SetupError("take over", str(error)) from error
        self._reloader.share_until(heir.alone)
        if not whole:
            self._reloader.ask_once(heir.alone)

    def run(self) -> Ending:
        """Run until every child has ended; return why."""
        self._epoll.register(self._signals.fileno(), select.EPOLLIN)
        if self._control is not None:
            self._epoll.register(self._control.fileno(), select.EPOLLIN)
        carrier = self._estate.carrier
        if carrier is not None:
            self._epoll.register(carrier.fileno(), select.EPOLLIN)
        try:
            while self._ending is None or self._crew.roster.alive:
                self._turn()
            self._relay.tell_rest(time.monotonic_ns())
        finally:
            if self._control is not None:
                self._control.close()
            self._signals.end()
            self._epoll.close()
        return self._ending

    def _turn(self) -> None:
        now_ns = time.monotonic_ns()
        # First of all: who has asked for a reload hears in the same turn what came of it.
        if self._ending is None and not self._passage.under_way:
            self._reloader.step(now_ns)
            self._keep_names(now_ns)
        self._keep_time(now_ns)
        self._crew.end_overdue(now_ns)
        self._crew.start_due(now_ns)
        self._crew.hand_out()
        self._announce()
        self._logs.flush()
        for descriptor, _ in self._epoll.poll(self._wait_ns(now_ns) / 1e9):
            if descriptor == self._signals.fileno():
                self._handle_signals()
            elif self._control is not None and descriptor == self._control.fileno():
                self._control.serve(now_ns)
            elif self._estate.carrier is not None and descriptor == self._estate.carrier.fileno():
                self._estate.carrier.follow()
            else:
                self._crew.receive(descriptor)

    def _wait_ns(self, now_ns: int) -> int:
        if self._reloader.running:
            return _RENEWING_NS
        if self._logs.waiting or self._crew.owing:
            return _RETRY_NS
        due_ns = self._crew.roster.next_due_ns()
        wait_ns = _TICK_NS if due_ns is None else min(max(due_ns - now_ns, 0), _TICK_NS)
        return self._herald.wait_ns(now_ns, self._passage.wait_ns(wait_ns))

    def _announce(self) -> None:
        if self._crew.roster.started and self._on_ready is not None:
            self._on_ready()
            self._on_ready = None
            self._herald.serve()

    def _keep_time(self, now_ns: int) -> None:
        users = self._estate.users
        if users is not None and users.look(now_ns):
            self._crew.tell_workers(users.parts)
        if self._estate.monitoring is not None:
            self._estate.monitoring.look(self._crew.roster.children, now_ns)
        self._relay.tell_shed(now_ns)
        self._herald.tend(now_ns, reloading=self._reloader.running)
        moved = self._passage.tend(now_ns)
        if self._control is not None:
            self._control.let_in(not self._passage.handing)
            self._control.tend(now_ns)
        for ending in (log_failure(self._logs), self._crew.ending, self._conductor.outcome(now_ns), moved):
            if ending is not None:
                self._end(ending)
        if self._ending is not None and now_ns >= self._kill_ns:
            self._crew.signal_all(signal.SIGKILL)

    def _keep_names(self, now_ns: int) -> None:
        """Let a new resolver begin where the machine's tables have changed, unless it is to be renewed anyway."""
        naming = self._estate.naming
        if naming is not None and not self._reloader.running and naming.outdated(self._estate, now_ns):
            self._crew.renew_resolver(now_ns)

    def _end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._kill_ns = time.monotonic_ns() + STOP_NS
            self._logs.note("terminating", ending.reason)
            self._passage.abandon(ending.reason)
            self._pass_on()
            self._herald.stop(ending.reason)
            self._relay.lift()
            self._crew.stop()

    def _handle_signals(self) -> None:
        # What ends the proxy first: where a signal goes to the whole process group, the children's deaths come with it.
        for number in sorted(self._signals.read(), key=lambda number: number not in STOPPING):
            self._answers[number](number)

    def _reload(self) -> None:
        if self._ending is None:
            self._reloader.ask()
            if self._control is not None and not self._passage.under_way:
                self._control.restore()
        else:
            self._passage.pass_on(signal.SIGHUP)

    def _drain(self) -> None:
        if self._ending is None:
            self._conductor.drain(None)
        else:
            self._passage.pass_on(signal.SIGQUIT)

    def _pass_on(self) -> None:
        """Have the program that has taken over, if one has, do what this one was told meanwhile."""
        for number, owed in ((signal.SIGHUP, self._reloader.asked), (signal.SIGQUIT, self._conductor.draining)):
            if owed:
                self._passage.pass_on(number)

    def _hindrance(self) -> passage.Hindrance:
        """Return why no other run can take over now."""
        if self._ending is not None:
            return passage.Hindrance(leaving="the proxy is ending")
        if self._conductor.draining:
            return passage.Hindrance(leaving="the proxy is draining")
        if self._on_ready is not None and not len(self._crew.vault):
            return passage.Hindrance(leaving="the proxy is only starting")
        if self._reloader.running or self._on_ready is not None:
            return passage.Hindrance(renewing="its children are being renewed; try again when they serve")
        return passage.Hindrance()

    def _stop(self, number: int) -> None:
        if not self._passage.park(STOPPING[number]):
            self._end(Ending(ExitStatus.OK, STOPPING[number]))

    def _step_level(self, number: int) -> None:
        step_level(self._logs, number)
        self._crew.signal_all(number)

    def _reap(self, _number: int) -> None:
        self._crew.reap(time.monotonic_ns())

    def _log_state(self, _number: int) -> None:
        estate = self._estate
        self._logs.note("state", describe_state(estate.settings, self._crew.roster, estate.shared, self._logs.level))

    def _deliver(self, batch: LogBatch, process: int) -> None:
        self._relay.deliver(batch, process, time.monotonic_ns())


def open_control(estate: Estate, conductor: Conductor, logs: Logs, onward: Passage | None = None) -> Control | None:
    """Return who serves the control socket, None where there is none. onward: None, no other run can take over."""
    if estate.control is None:
        return None
    answers = Answers(estate, conductor, estate.version, estate.file)
    if onward is not None:
        answers.take_up({AskTakeover: onward.take_over, AskUpgrade: onward.upgrade})
    return Control(estate.control, answers.answer, describe_order, logs)


def log_failure(logs: Logs) -> Ending | None:
    """Return how the proxy ends where a log with `syslog-failure stop` is not taken any more; None: it need not."""
    return None if logs.failure is None else Ending(ExitStatus.SOFTWARE, f"log: {logs.failure}")


def step_level(logs: Logs, number: int) -> None:
    """Raise or lower the level of the debug log by one, as the signal says."""
    logs.level += LEVEL_STEPS[number]
    logs.note("level", logs.level)


def reopen(logs: Logs) -> None:
    """Go by name again to the log files."""
    logs.reopen()
    logs.note("reopened")
