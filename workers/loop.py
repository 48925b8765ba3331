"""A worker's main loop: waits for sockets, the parent and signals, and lets the datapath do the rest.

One turn: read the clock, server sides, listeners; then, in a busy loop only now and then, what is due. The only module
that knows them all.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import time

from workers import sandbox
from workers.adoption import take_over
from workers.backlog import take_backlog
from workers.contract.context import WorkerContext
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import Freeze, Names, ToChild
from workers.contract.slots import CloseReason, Counter
from workers.deadlines import NEVER
from workers.lastwords import write_rest
from workers.linger import Linger
from workers.net.singles import FEW
from workers.orders import Orders
from workers.parts import assemble
from workers.stats import Publisher
from workers.sweep import SWEEP_NS, Sweep
from workers.titles import WorkerTitle

PUBLISH_NS = 100_000_000
"""How often the shared counters are written while there is traffic."""
MAX_EVENTS = 512
NAMES_NS = 200_000_000
"""How long a worker that freezes waits for names: the datagrams of other clients wait in sockets meanwhile."""
LONGEST_WAIT_S = 3600.0
"""epoll takes no more than 24 days."""
BUSY_NS = 2_000_000
"""How long what is due may wait while datagrams come: looking for it costs as much as a datagram."""
HOLD_S = 0.001
"""How long at most permits that ended sessions gave back are kept from the other workers."""
GC_THRESHOLD = 50_000
"""Nothing here makes cycles: look for them once in that many new objects, not in every 700."""
_STEPS = {int(signal.SIGUSR1): 1, int(signal.SIGUSR2): -1}


def run(context: WorkerContext) -> ExitCode:
    """Serve until told to stop. Raises ContractError when the parent is gone or speaks nonsense."""
    sandbox.sharpen_timers()
    gc.set_threshold(GC_THRESHOLD)
    return Worker(context).serve()


class Worker:
    """A worker's turns, and what is due when."""

    def __init__(self, context: WorkerContext) -> None:
        now_ns = time.monotonic_ns()
        self._context = context
        self._poll = select.epoll()
        self._parts = assemble(context, self._poll, now_ns)
        interfaces = self._parts.interfaces
        others = [fd for fd in (context.wakeup, context.channel.fileno()) if fd >= 0]
        if interfaces is not None:
            others.append(interfaces.fileno())
        for fd in others:
            self._poll.register(fd, select.EPOLLIN)
        self._parts.sockets.cover(max(*others, *self._parts.listeners))
        take_over(context, self._parts, now_ns)
        self._listening = False
        self._orders = Orders(self._parts.engine, self._parts.journal, self._parts.outbound.taps)
        self._publisher = Publisher(context.region.words)
        self._hear = self._parts.tallies.intake.follow(self._parts.outbound.handle)
        self._title = WorkerTitle(context.index, context.settings.name)
        self._changed = True
        self._publish_ns = now_ns
        self._sweep = Sweep(now_ns)
        self._ending: ExitCode | None = None
        if context.names is not None:
            self._learn(context.names, now_ns)

    def serve(self) -> ExitCode:
        """Turn until stopped."""
        poll, clock = self._poll.poll, time.monotonic_ns
        permits, journal = self._parts.permits, self._parts.journal
        linger, turns, stats = Linger(), 0, self._parts.stats
        tended_ns = clock()
        wait = self._tend(tended_ns)
        while self._ending is None:
            if permits.holding:
                wait = HOLD_S if wait < 0 else min(wait, HOLD_S)
            events = poll(wait, MAX_EVENTS)
            now_ns = journal.now_ns = clock()
            if events:
                self._changed = True
                self._turn(events, now_ns)
                if permits.holding:
                    permits.age()
                turns += 1
                if now_ns < tended_ns + BUSY_NS:
                    wait = BUSY_NS / 1e9
                    if linger.pause_s:
                        time.sleep(linger.pause_s)
                    continue
            else:
                permits.settle()
            linger.adapt(turns, stats.received_out + stats.received_in, time.thread_time_ns(), now_ns)
            turns, tended_ns = 0, now_ns
            wait = self._tend(now_ns)
            self._parts.tallies.lag.note(clock() - now_ns)
        self._parts.journal.lift_budget()
        if self._ending is ExitCode.FROZEN:
            self._await_names(clock() + NAMES_NS)
        if not self._listening:
            self._leave_backlog(clock())
        self._parts.knowledge.give_up()
        if self._ending is ExitCode.FROZEN:
            self._freeze(clock())
        else:
            self._stop(clock())
        return self._ending

    def _stop(self, now_ns: int) -> None:
        """End all sessions, and leave every count where the parent finds it."""
        self._parts.engine.end_all(CloseReason.SHUTDOWN, now_ns)
        self._parts.sockets.close_ended(now_ns)
        self._parts.permits.settle()
        write_rest(self._parts.journal, self._context.channel.fileno())
        self._publish(now_ns)
        self._parts.tallies.publish(NEVER)

    def _await_names(self, deadline_ns: int) -> None:
        """Give clients that wait for a name a last chance: what they have sent lies in no socket any more."""
        channel = select.poll()
        channel.register(self._context.channel.fileno(), select.POLLIN)
        now_ns = time.monotonic_ns()
        while self._parts.knowledge.awaited and now_ns < deadline_ns:
            channel.poll((deadline_ns - now_ns) / 1e6)
            self._handle_messages()
            now_ns = time.monotonic_ns()

    def _leave_backlog(self, now_ns: int) -> None:
        """Treat what waited while no worker was there, though the names never came: nobody new is let in, but counted.

        Sessions that go on get theirs.
        """
        engine = self._parts.engine
        draining, engine.draining = engine.draining, True
        take_backlog(self._context.backlog, self._parts, self._parts.tallies.intake, now_ns)
        engine.draining = draining

    def _freeze(self, now_ns: int) -> None:
        """Leave all sessions to a replacement, those too that have only just begun; end none but whose time is up."""
        parts = self._parts
        for session in parts.engine.everybody():
            parts.engine.reclaim(session)
        parts.engine.expire(now_ns)
        parts.sockets.close_ended(now_ns)
        parts.permits.settle()
        parts.keeper.keep(parts.engine.take_lasting())
        self._publish(now_ns)
        self._parts.tallies.publish(NEVER)
        if not parts.keeper.freeze(list(parts.engine.everybody())):
            parts.journal.note_urgent("sessions-refused", 0, parts.engine.sessions, "the parent did not take them all")
        write_rest(parts.journal, self._context.channel.fileno())

    def _turn(self, events: list[tuple[int, int]], now_ns: int) -> None:
        sessions = self._parts.sockets.sessions
        if len(events) > FEW:
            ready = [session for fd, _ in events if (session := sessions[fd]) is not None]
            others = [fd for fd, _ in events if sessions[fd] is None] if len(ready) < len(events) else []
        else:
            ready, others = [], []
            for fd, _ in events:
                session = sessions[fd]
                if session is not None:
                    ready.append(session)
                else:
                    others.append(fd)
        if ready:
            self._parts.inbound.handle(ready, now_ns)
        if not others:
            return
        listeners = self._parts.listeners
        for fd in others:
            if fd not in listeners:
                self._handle_other(fd)
        # After what the parent says: it counts for every client that comes later.
        for fd in others:
            if fd in listeners:
                self._hear(listeners[fd], now_ns)

    def _handle_other(self, fd: int) -> None:
        if fd == self._context.wakeup:
            self._handle_signals()
        elif fd == self._context.channel.fileno():
            self._handle_messages()
        elif self._parts.interfaces is not None and fd == self._parts.interfaces.fileno():
            if self._parts.interfaces.learn():
                self._parts.sockets.follow(self._parts.interfaces.table)
        else:
            self._handle_unowned(fd)

    def _handle_unowned(self, fd: int) -> None:
        """Read a socket that is not one session's: several have it, or none has it any more."""
        shared = self._parts.sockets.shared(fd)
        if shared is not None:
            self._parts.inbound.hearing.hear_shared(shared, time.monotonic_ns())
        else:
            self._parts.sockets.drain(fd)

    # --- what is due -------------------------------------------------------------------------------------------------

    def _tend(self, now_ns: int) -> float:
        """Do what is due; return how many seconds to wait for datagrams, -1 for as long as it takes."""
        engine = self._parts.engine
        if engine.next_deadline_ns() <= now_ns:
            engine.expire(now_ns)
            self._parts.sockets.close_ended(now_ns)
            self._parts.permits.settle()
            lasting = engine.take_lasting()
            self._parts.keeper.keep(lasting)
            if self._parts.offload is not None:
                self._parts.offload.consider(lasting, 0)
            self._changed = True
        due_ns = min(self._parts.knowledge.tend(now_ns), engine.next_deadline_ns(), self._parts.keeper.tend(now_ns))
        # The log last: what the others write has its time, too.
        due_ns = min(due_ns, self._parts.outbound.taps.tend(now_ns))
        due_ns = min(due_ns, self._parts.journal.tend(now_ns))
        if self._parts.offload is not None:
            due_ns = min(due_ns, self._parts.offload.tend(now_ns))
        if self._changed:
            if now_ns >= self._publish_ns:
                self._publish_ns = now_ns + PUBLISH_NS
                self._publish(now_ns)
            due_ns = min(due_ns, self._publish_ns)
        if self._sweep.left:
            self._sweep_some(now_ns)
            due_ns = min(due_ns, now_ns + BUSY_NS)
        return -1.0 if due_ns >= NEVER else min(LONGEST_WAIT_S, max(0.0, (due_ns - now_ns) / 1e9))

    def _publish(self, now_ns: int) -> None:
        """Write the counters and the title, and begin a sweep over the slots when one is due."""
        words, sessions = self._context.region.words, self._parts.engine.sessions
        words[Counter.SESSIONS] = sessions
        # After the sessions: whoever sees it sees a number that only falls.
        words[Counter.DRAINING] = self._parts.engine.draining
        words[Counter.LOG_LEVEL] = self._parts.journal.level
        if self._parts.offload is not None:
            words[Counter.CARRIED] = self._parts.offload.count
        words[Counter.TURNS] += 1
        words[Counter.PUBLISHED] = now_ns
        stats, journal = self._parts.stats, self._parts.journal
        stats.log_records, stats.log_shed = journal.written, journal.shed
        stats.overflow += self._parts.sockets.take_lost() + sum(item.lost() for item in self._parts.listeners.values())
        self._publisher.publish(stats)
        owed = self._parts.tallies.publish(now_ns)
        self._changed = not self._title.update(sessions, now_ns) or owed
        if self._sweep.is_due(now_ns):
            self._sweep.begin(list(self._parts.engine.everybody()), now_ns)
            self._parts.keeper.begin_sweep(now_ns)
        elif sessions:
            self._changed = True

    def _sweep_some(self, now_ns: int) -> None:
        sessions = self._sweep.take(now_ns)
        if self._parts.offload is not None:
            self._parts.offload.sweep(sessions, self._sweep.since_ns)
        self._parts.keeper.sweep(sessions)
        busy = [session for session in sessions if now_ns - session.last_in_ns < 2 * SWEEP_NS]
        self._changed |= self._parts.sockets.look_for_losses(busy)
        if not self._sweep.left:
            self._parts.keeper.end_sweep()
            # What the kernel passes wakes nobody up.
            self._changed |= self._parts.offload is not None and self._parts.offload.count > 0

    # --- parent and signals ------------------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        for number in os.read(self._context.wakeup, 64):
            if number == signal.SIGTERM:
                self._ending = ExitCode.STOPPED
            elif number in _STEPS:
                self._orders.set_level(self._parts.journal.level + _STEPS[number])
                self._changed = True
            elif number == signal.SIGRTMIN + 1:
                self._parts.journal.note_urgent("state", 0, self._state())

    def _state(self) -> str:
        stats = self._parts.stats
        return (
            f"worker {self._context.index}, {self._parts.engine.sessions} sessions, {stats.sessions_opened} opened; "
            f"out {stats.received_out} received, {stats.forwarded_out} forwarded, {sum(stats.drops_out)} dropped; "
            f"in {stats.received_in} received, {stats.forwarded_in} forwarded, {sum(stats.drops_in)} dropped; "
            f"{self._parts.journal.shed} log records shed"
        )

    def _handle_messages(self) -> None:
        while True:
            message = self._context.channel.receive()
            if message is None:
                return
            now_ns = time.monotonic_ns()
            self._learn(message, now_ns)
            if isinstance(message, Freeze) and self._ending is None:
                self._ending = ExitCode.FROZEN
            if self._orders.carry_out(message, now_ns):
                self._parts.sockets.close_ended(now_ns)
                self._parts.permits.settle()
                self._publish(now_ns)

    def _learn(self, message: ToChild, now_ns: int) -> None:
        """Take in what the parent knows; with the first addresses of host names the worker begins to listen.

        Before that, a rule that denies a name would let it pass.
        """
        learnt = self._parts.knowledge.take(message, now_ns)
        if learnt and isinstance(message, Names) and not self._listening:
            self._listening = True
            take_backlog(self._context.backlog, self._parts, self._parts.tallies.intake, now_ns)
            for fd in self._parts.listeners:
                self._poll.register(fd, select.EPOLLIN)
