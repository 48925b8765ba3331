"""One process that does everything (`singleproc`): for debugging. It confines itself as a worker does.

The parent's part runs inside the worker's loop: the loop waits on the local channel, and every signal passes through
here before it reaches the loop. The names of addresses are looked up one after the other, with a look at the signals
in between. Where root or user have changed, log files may not be reopened any more, and the file of users not be read
again: then the users stay as they are.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from proxyd.daemon.conductor import CrewConductor
from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.notify import Notifier
from proxyd.daemon.roster import Child, Role, Roster, State
from proxyd.daemon.signals import HANDLED, SignalPipe
from proxyd.daemon.spawn import Estate, WorkerMain, confine_this_process
from proxyd.daemon.supervisor import (
    LEVEL_STEPS,
    STOPPING,
    log_failure,
    open_control,
    reopen,
    step_level,
)
from proxyd.logs.relay import Relay
from proxyd.logs.setup import Logs
from workers.contract.channel import LocalChannel
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import NO_NAMES, Drain, FromChild, LogBatch, Lookup, Names, Tap, ToChild
from workers.errors import WorkerError

LOOK_S = 1.0
"""How often the file of users is looked at, and whether a drained proxy has come to its end."""
_TO_THE_LOOP = frozenset((signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN + 1))


class SoleHand:
    """The one worker, as far as orders to it go. give: lets a message wait for it. names: once they are known."""

    def __init__(self, give: Callable[[ToChild], None]) -> None:
        self.roster = Roster([Child(Role.WORKER, 0, State.READY, os.getpid())], 0, 0)
        self.names: Names | None = None
        self._give = give

    def order(self, index: int, message: ToChild, _most: int) -> bool:
        """Let a message wait for the worker; False for any worker but the one."""
        if index == 0:
            self._give(message)
        return index == 0

    def lend(self, index: int, message: Tap, lane: int) -> bool:
        """Let a message with a duplicate of a descriptor wait for the worker; False for any worker but the one."""
        return index == 0 and self.order(0, msgspec.structs.replace(message, lane=os.dup(lane)), 1)

    def tell_workers(self, messages: Sequence[ToChild]) -> None:
        """Let messages wait for the worker."""
        for message in messages:
            self._give(message)

    def drain(self) -> None:
        """Have the worker begin no session any more."""
        self._give(Drain())


class SingleProcess:
    """The parent's part of a process that is its own only worker. notifier: to the service manager."""

    def __init__(self, estate: Estate, logs: Logs, notifier: Notifier | None = None) -> None:
        self._estate = estate
        self._logs = logs
        self._notifier = notifier or Notifier()
        self._relay = Relay(logs)
        self._signals = SignalPipe(frozenset(HANDLED) - {signal.SIGCHLD} | {signal.SIGALRM})
        self._epoll = select.epoll()
        self._channel = LocalChannel(self._take, self._epoll.fileno(), self._poll)
        self._hand = SoleHand(self._channel.give)
        self._conductor = CrewConductor(self._hand, estate.shared, logs)
        self._control = open_control(estate, self._conductor, logs)
        self._resolver = None if estate.naming is None else estate.naming.own(estate)
        self._loop_end, self._our_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._questions: deque[Lookup] = deque()
        self._ending: Ending | None = None

    def run(self, main: WorkerMain, on_ready: Callable[[], None]) -> Ending:
        """Confine this process, and serve until a signal ends it."""
        names = NO_NAMES if self._resolver is None else self._resolver.resolve_names()
        self._hand.names = names
        for source in (self._signals, self._control):
            if source is not None:
                self._epoll.register(source.fileno(), select.EPOLLIN)
        # The loop asks for what waits when there is something to read.
        self._signals.wake()
        try:
            confine_this_process(self._estate.confinement)
            if self._estate.users is not None or self._control is not None or self._notifier.beat_ns:
                signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)
            context = self._estate.context(0, self._channel, self._loop_end, self._logs.level, names)
            on_ready()
            self._notifier.ready(os.getpid())
            code = main(context)
        except WorkerError as error:
            return Ending(ExitStatus.UNAVAILABLE, str(error))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._signals.end()
            os.close(self._our_end)
        ending = self._ending or Ending(ExitStatus.OK, "the loop ended")
        if code is not ExitCode.STOPPED:
            ending = Ending(ExitStatus.SOFTWARE, ending.reason)
        self._logs.note("terminating", ending.reason)
        return ending

    def _take(self, message: FromChild) -> None:
        if isinstance(message, LogBatch):
            self._relay.deliver(message, os.getpid(), time.monotonic_ns())
        elif isinstance(message, Lookup) and self._resolver is not None:
            self._questions.append(message)
            self._signals.wake()
        self._flush()

    def _poll(self) -> None:
        numbers = self._signals.read()
        for number in numbers:
            self._answer(number)
        now_ns = time.monotonic_ns()
        if self._notifier.beat_ns:
            # Whoever comes here turns its loop: nobody else is there who could be stuck.
            self._notifier.alive()
        if self._control is not None:
            self._control.serve(now_ns)
            self._control.tend(now_ns)
        ending = self._conductor.outcome(now_ns)
        if ending is not None:
            self._end(ending)
        users = self._estate.users
        if users is not None and users.look(time.monotonic_ns()):
            for part in users.parts:
                self._channel.give(part)
        self._look_up(first_the_loop=not _TO_THE_LOOP.isdisjoint(numbers))
        self._flush()

    def _look_up(self, *, first_the_loop: bool) -> None:
        """Answer one question, which may take a while; none once the process ends, later if the loop has a signal."""
        if not self._questions or self._resolver is None or self._ending is not None:
            return
        if first_the_loop:
            self._signals.wake()
        else:
            self._channel.give(self._resolver.answer(self._questions.popleft()))

    def _flush(self) -> None:
        self._logs.flush()
        failure = log_failure(self._logs)
        if failure is not None:
            self._end(failure)

    def _end(self, ending: Ending) -> None:
        """Have the loop end, once."""
        if self._ending is None:
            self._ending = ending
            self._notifier.stopping(ending.reason)
            self._relay.lift()
            os.write(self._our_end, bytes((signal.SIGTERM,)))

    def _answer(self, number: int) -> None:
        if number == signal.SIGHUP:
            reason = "one process does everything: that takes a restart"
            self._logs.note("reload-failed", reason, self._estate.settings.generation)
        elif number == signal.SIGWINCH:
            reopen(self._logs)
        elif number in LEVEL_STEPS:
            step_level(self._logs, number)
        elif number == signal.SIGQUIT:
            signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)
            self._conductor.drain(None)
        elif number in STOPPING:
            self._end(Ending(ExitStatus.OK, STOPPING[number]))
        if number in _TO_THE_LOOP:
            os.write(self._our_end, bytes((number,)))
