"""The main loop of a UFTP worker: its socket, its machine's deadlines, the parent and signals.

It decides nothing: the machine does (workers.uftp.machine). Datagrams are taken in batches by workers.forwarder, what
the machine decides is done by workers.outbox.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import select
import signal
import time

from workers.contract.context import WorkerContext
from workers.contract.events import LEVEL_BASE
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import Drain, Freeze, Level, Moved
from workers.contract.slots import Counter
from workers.contract.uftp import Fact, UftpSettings
from workers.deadlines import NEVER
from workers.forwarder import Forwarder, Places, Share
from workers.groupboard import GroupBoard
from workers.journal import Journal
from workers.lastwords import write_rest
from workers.multicast import Multicast
from workers.net.arena import Arena
from workers.net.mmsg import MmsgTransport
from workers.outbox import Outbox
from workers.pace import Pace
from workers.safekeeping import Safekeeping
from workers.titles import WorkerTitle
from workers.uftp.keyring import KeyRing
from workers.uftp.machine import Machine
from workers.uftpfigures import Figures

LOWEST_LEVEL, HIGHEST_LEVEL = 4, 9
PUBLISH_NS = 200_000_000
BATCHES = 8
"""Batches taken in one turn at most: then deadlines and the parent have theirs."""
STREAK = 8
"""Pauses of a stream in one turn at most: deadlines are looked at after each, the parent and signals after the last."""
LONGEST_WAIT_S = 3600.0
GC_THRESHOLD = 20_000
_STEPS = {int(signal.SIGUSR1): 1, int(signal.SIGUSR2): -1}


def run(context: WorkerContext, settings: UftpSettings, ring: KeyRing) -> ExitCode:
    """Serve until told to stop. Raises ContractError when the parent is gone or speaks nonsense."""
    return UftpWorker(context, settings, ring).serve()


def share_of(settings: UftpSettings, workers: int) -> UftpSettings:
    """Return the settings of one of so many workers: each has its part of all groups."""
    return dataclasses.replace(settings, max_groups=-(-settings.max_groups // workers))


class UftpWorker:
    """A worker's turns, and what is due when."""

    def __init__(self, context: WorkerContext, settings: UftpSettings, ring: KeyRing) -> None:
        now_ns = time.monotonic_ns()
        self._context = context
        self._sock = context.listeners[0]
        self._journal = Journal(context.channel, context.level, now_ns)
        multicast = Multicast(self._sock, settings.version, settings.interfaces)
        self._outbox = Outbox(self._sock, multicast, context.channel, self._journal)
        places = Places()
        transport = MmsgTransport(Arena(), places.memory)
        workers = context.settings.workers
        share = Share(context.index, workers)
        self._forwarder = Forwarder(self._sock, settings.version, transport, places, share)
        self._machine = Machine(
            share_of(settings, workers), settings.uid, ring, os.urandom, now_ns, beats=context.index == 0
        )
        self._machine.log_level = context.level - LEVEL_BASE
        self._pace = Pace(settings.buffer_bytes)
        self._figures = Figures(context.region.words, self._sock, workers)
        self._board = GroupBoard(context.region, settings.mode)
        self._title = WorkerTitle(context.index, context.settings.name, context.settings.program, "group")
        self._poll = select.epoll()
        for fd in (self._sock.fileno(), context.wakeup, context.channel.fileno()):
            if fd >= 0:
                self._poll.register(fd, select.EPOLLIN)
        self._publish_ns = now_ns
        self._ending: ExitCode | None = None
        self._safekeeping = Safekeeping(context.store, self._machine, self._journal, now_ns)
        self._outbox.carry_out(self._machine, now_ns)
        # Before anything else: from this the parent knows that what was taken over can be lived with.
        self._publish(now_ns)

    def serve(self) -> ExitCode:
        """Turn until stopped."""
        gc.set_threshold(GC_THRESHOLD)
        try:
            self._turn_on()
        finally:
            if self._ending is None:
                self._safekeeping.blame()
        clock = time.monotonic_ns
        if self._ending is ExitCode.FROZEN:
            self._machine.freeze(clock())
            self._outbox.carry_out(self._machine, clock())
        self._outbox.close()
        write_rest(self._journal, self._context.channel.fileno())
        self._publish(clock())
        return self._ending or ExitCode.STOPPED

    def _turn_on(self) -> None:
        clock, listening, lag = time.monotonic_ns, self._sock.fileno(), self._figures.lag
        now_ns = clock()
        while self._ending is None:
            wait_s = self._tend(clock())
            lag.note(clock() - now_ns)
            events = self._poll.poll(wait_s)
            now_ns = clock()
            for fd, _ in events:
                if fd == listening:
                    self._take(now_ns)
                elif fd == self._context.wakeup:
                    self._handle_signals()
                else:
                    self._handle_messages()

    def _take(self, now_ns: int) -> None:
        """Take what waits in the socket; where more is coming, pause a little and go on, STREAK times at most."""
        for _ in range(STREAK):
            pause_s = self._pace.pause_s(self._take_waiting(now_ns), now_ns)
            if not pause_s:
                return
            time.sleep(pause_s)
            now_ns = time.monotonic_ns()
            if self._machine.next_deadline_ns() <= now_ns:
                return

    def _take_waiting(self, now_ns: int) -> int:
        """Take what waits in the socket, BATCHES batches at most; return how many datagrams that was."""
        stats, forwarder = self._outbox.stats, self._forwarder
        self._journal.now_ns = now_ns
        before = stats.received_out
        for _ in range(BATCHES):
            most = forwarder.most
            if forwarder.receive(self._machine, self._outbox, now_ns) < most:
                break
        taken = stats.received_out - before
        self._figures.note_taken(taken)
        return taken

    # --- what is due -------------------------------------------------------------------------------------------------

    def _tend(self, now_ns: int) -> float:
        """Do what is due; return how many seconds to wait for datagrams, -1 for as long as it takes."""
        machine = self._machine
        self._journal.now_ns = now_ns
        if machine.next_deadline_ns() <= now_ns:
            machine.expire(now_ns)
            self._outbox.carry_out(machine, now_ns)
        shown_ns = self._board.tend(machine.groups, machine.downstream, now_ns)
        kept_ns = self._safekeeping.tend(self._groups, now_ns)
        due_ns = min(machine.next_deadline_ns(), self._journal.tend(now_ns), shown_ns, kept_ns)
        if now_ns >= self._publish_ns and not self._publish(now_ns):
            due_ns = min(due_ns, now_ns + PUBLISH_NS)
        return -1.0 if due_ns >= NEVER else min(LONGEST_WAIT_S, max(0.0, (due_ns - now_ns) / 1e9))

    @property
    def _groups(self) -> int:
        return self._machine.facts[Fact.GROUPS]

    def _publish(self, now_ns: int) -> bool:
        """Write counters and title for everybody to see; tell whether the title is up to date."""
        self._publish_ns = now_ns + PUBLISH_NS
        words, stats, journal = self._context.region.words, self._outbox.stats, self._journal
        words[Counter.SESSIONS] = self._groups
        # After the groups: whoever sees it sees a number that only falls.
        words[Counter.DRAINING] = self._machine.draining
        words[Counter.LOG_LEVEL] = journal.level
        words[Counter.TURNS] += 1
        stats.log_records, stats.log_shed = journal.written, journal.shed
        self._figures.publish(stats, self._machine)
        return self._title.update(self._groups, now_ns)

    # --- parent and signals ------------------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        for number in os.read(self._context.wakeup, 64):
            if number == signal.SIGTERM:
                self._ending = self._ending or ExitCode.STOPPED
            elif number in _STEPS:
                self._set_level(self._journal.level + _STEPS[number])
            elif number == signal.SIGRTMIN + 1:
                # What came before the signal counts.
                self._take_waiting(time.monotonic_ns())
                self._journal.note_urgent("state", 0, self._state())

    def _set_level(self, level: int) -> None:
        self._journal.set_level(min(HIGHEST_LEVEL, max(LOWEST_LEVEL, level)))
        # The machine does not even make lines that nobody wants.
        self._machine.log_level = self._journal.level - LEVEL_BASE
        self._journal.note_urgent("level", 0, self._journal.level)

    def _state(self) -> str:
        figures = self._figures.describe(self._outbox.stats, self._machine)
        return f"worker {self._context.index}, {self._groups} groups; {figures}"

    def _handle_messages(self) -> None:
        while (message := self._context.channel.receive()) is not None:
            if isinstance(message, Moved):
                self._machine.move_downstream(message.downstream)
                self._outbox.carry_out(self._machine, time.monotonic_ns())
            elif isinstance(message, Drain):
                self._machine.drain()
                self._publish(time.monotonic_ns())
            elif isinstance(message, Freeze):
                self._ending = ExitCode.FROZEN
            elif isinstance(message, Level):
                self._set_level(message.level)
