"""The children as processes: forked, listened to, buried and replaced; the roster says which of these when.

What a child says is untrusted input: a message that is none, or that its state does not permit, costs it its life.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from proxyd.daemon.book import Book
from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.handout import Handouts
from proxyd.daemon.journal import LevelledJournal
from proxyd.daemon.lookups import Lookups
from proxyd.daemon.roster import Child, Role, Roster, State, Verdict
from proxyd.daemon.shared import Shared
from proxyd.daemon.spawn import NOTHING, Handover
from proxyd.daemon.vault import Vault
from proxyd.logs.relay import MisbehavedError
from workers.contract.channel import ChannelClosedError, ParentEnd
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import (
    Drain,
    Failed,
    Freeze,
    FromChild,
    LogBatch,
    Looked,
    Lookup,
    Moved,
    Names,
    Offered,
    Ready,
    Tap,
    ToChild,
    Withdrawn,
)
from workers.contract.naming import split
from workers.errors import ContractError

_BURST = 64
"""Messages taken from one child before others have their turn."""
_LAST_WORDS = 1024
"""Messages taken from a child that is dead: its channel holds fewer."""
_RETRY_NS = 1_000_000_000
_EVERYBODY = frozenset(Role)
_RESOLVER = frozenset((Role.RESOLVER,))
_WORKER = frozenset((Role.WORKER,))

_SERVING = frozenset((State.READY, State.FREEZING, State.STOPPING))

_PERMITTED: dict[type, tuple[frozenset[Role], frozenset[State]]] = {
    LogBatch: (_EVERYBODY, frozenset((State.STARTING, *_SERVING))),
    Ready: (_EVERYBODY, frozenset((State.STARTING, State.STOPPING))),
    Failed: (_EVERYBODY, frozenset((State.STARTING, State.STOPPING))),
    Names: (_RESOLVER, _SERVING),
    Lookup: (_WORKER, _SERVING),
    Looked: (_RESOLVER, _SERVING),
    Moved: (_WORKER, _SERVING),
    Offered: (_WORKER, _SERVING),
    Withdrawn: (_WORKER, _SERVING),
}
"""Who may say what, and when."""


class Forks(Protocol):
    """Makes processes for children."""

    def fork(
        self, child: Child, level: int, known: Names | None, handover: Handover = NOTHING
    ) -> tuple[int, ParentEnd]:
        """Return the process and our end of its channel. Raises OSError."""
        ...


class Offering(Protocol):
    """Where workers' sessions are offered to the kernel."""

    def handle(self, worker: int, message: Offered | Withdrawn) -> None:
        """Have the sessions that a worker names carried, or no more."""
        ...

    def forget(self, worker: int) -> None:
        """Take all sessions of a dead worker back."""
        ...


class Crew:
    """The processes of a roster's children, and our ends of their channels.

    offering: where workers' sessions are offered to the kernel, None: nowhere; set by whoever has it.
    relay: takes a child's log batch and its process. ending: why the proxy has to end, None as long as it has not.
    The epoll object is the loop's; descriptors of channels are added and removed here.
    """

    offering: Offering | None = None

    def __init__(
        self,
        roster: Roster,
        spawner: Forks,
        shared: Shared,
        journal: LevelledJournal,
        relay: Callable[[LogBatch, int], None],
        epoll: select.epoll,
    ) -> None:
        self.roster = roster
        self.ending: Ending | None = None
        self.vault = Vault(shared, epoll)
        self._spawner = spawner
        self._journal = journal
        self._relay = relay
        self._epoll = epoll
        self._channels: dict[Child, ParentEnd] = {}
        self._by_descriptor: dict[int, Child] = {}
        self._failed: dict[Child, Failed] = {}
        # Without a resolver there are no names to wait for.
        self.book = Book(resolved=any(child.role is Role.RESOLVER for child in roster.children))
        self._handouts = Handouts()
        self._standing: dict[type, ToChild] = {}
        self._lookups = Lookups(self._handouts)
        self._handlers: dict[type, Callable[[Child, Any], None]] = {
            LogBatch: self._handle_batch,
            Ready: lambda child, _: self.roster.handle_ready(child),
            Failed: self._handle_failed,
            Names: self._handle_names,
            Lookup: self._handle_lookup,
            Looked: self._handle_looked,
            Moved: self._handle_moved,
            Offered: self._handle_carriage,
            Withdrawn: self._handle_carriage,
        }

    def start_due(self, now_ns: int) -> None:
        """Fork the children that are due."""
        for child in self.roster.due(now_ns):
            try:
                process, channel = self._fork(child)
            except OSError as error:
                self._journal.note("child-failed", child.name, "fork", error.strerror or str(error))
                child.due_ns = now_ns + _RETRY_NS
                if not self.roster.started:
                    self._end(ExitStatus.UNAVAILABLE, f"fork {child.name}: {error.strerror}")
                return
            self.roster.handle_forked(child, process)
            self._channels[child] = channel
            self._by_descriptor[channel.fileno()] = child
            self._epoll.register(channel.fileno(), select.EPOLLIN)
            self._journal.note("child-started", child.name, process)
            for message in self._standing.values() if child.role is Role.WORKER else ():
                self._handouts.replace(child, (message,))

    def _worker(self, index: int) -> Child | None:
        """Return the worker with an index, None where there is none."""
        wanted = Role.WORKER, index
        return next((child for child in self.roster.children if (child.role, child.index) == wanted), None)

    def _fork(self, child: Child) -> tuple[int, ParentEnd]:
        if child.role is not Role.WORKER:
            return self._spawner.fork(child, self._journal.level, self.book.told)
        with self.vault.open(child.index) as custody:
            handover = Handover(custody, self.vault.kept(child.index))
            try:
                return self._spawner.fork(child, self._journal.level, self.book.names, handover)
            except OSError:
                self.vault.close(child.index)
                raise

    def receive(self, descriptor: int, limit: int = _BURST) -> None:
        """Take what the child behind a channel's descriptor says, at most limit messages."""
        child = self._by_descriptor.get(descriptor)
        if child is None:
            worker = self.vault.owner(descriptor)
            if worker is not None:
                self._take_custody(worker)
            return
        for _ in range(limit):
            try:
                message = self._channels[child].receive()
            except ChannelClosedError:
                # Nobody can end it orderly now; one that is ending anyway keeps its exit status.
                self._close_channel(child)
                self._send_signal(child, signal.SIGKILL)
                return
            except ContractError as error:
                self._disown(child, str(error))
                return
            if message is None:
                return
            self._handle(child, message)
            if child not in self._channels:
                return

    def _take_custody(self, worker: int) -> None:
        try:
            self.vault.take(worker)
        except ContractError as error:
            child = self._worker(worker)
            if child is not None:
                self._disown(child, str(error))

    @property
    def owing(self) -> bool:
        """Whether children are owed messages that their channels had no room for."""
        return self._handouts.waiting

    def tell_workers(self, messages: Sequence[ToChild]) -> None:
        """Owe every worker messages of one kind, in the place of those that it has not got yet.

        One that is not ready yet was forked with the old ones; what is sent to it waits in its channel.
        """
        for child in self.roster.alive:
            if child.role is Role.WORKER:
                self._handouts.replace(child, messages)

    @property
    def names(self) -> Names | None:
        """The addresses of the configuration's names, None: not resolved yet."""
        return self.book.names

    def order(self, index: int, message: ToChild, most: int) -> bool:
        """Owe a worker one message more; False when there is none, or most of this kind wait for it already."""
        child = self._worker(index)
        return child in self._channels and self._handouts.add(child, message, most)

    def lend(self, index: int, message: Tap, lane: int) -> bool:
        """Send a worker a message with a duplicate of a descriptor, at once or not at all; False: not at all."""
        child = self._worker(index)
        try:
            return child in self._channels and self._channels[child].lend(message, lane)
        except ContractError:
            return False  # it is dead, and will be buried

    def drain(self) -> None:
        """Have every worker, and those to come, begin no session any more."""
        self._tell_for_good(Drain())

    def _tell_for_good(self, message: ToChild) -> None:
        """Owe every worker a message, and those to come too."""
        self._standing[type(message)] = message
        self.tell_workers((message,))

    def hand_out(self) -> None:
        """Send children what they are owed, as far as their channels take it."""
        for child, channel in self._channels.items():
            self._handouts.send(child, channel)

    def reap(self, now_ns: int) -> None:
        """Bury the children that ended, and note what follows."""
        for child in self.roster.alive:
            if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self._bury(child, now_ns)

    def freeze(self, child: Child, now_ns: int) -> bool:
        """Ask a child to leave its work to a replacement, a worker all its sessions; False when that cannot be now."""
        if not self.roster.handle_freeze(child, now_ns):
            return False
        if child.role is Role.WORKER:
            self._handouts.replace(child, (Freeze(),))
        else:
            self._send_signal(child, signal.SIGTERM)
        return True

    def renew_resolver(self, now_ns: int) -> None:
        """Have the resolver leave its work to a replacement, which learns of the machine what it can now."""
        for child in self.roster.alive:
            if child.role is Role.RESOLVER:
                self.freeze(child, now_ns)

    def end_overdue(self, now_ns: int) -> None:
        """Kill the children that take too long to leave their work."""
        for child in self.roster.overdue(now_ns):
            child.due_ns = now_ns + _RETRY_NS
            self._send_signal(child, signal.SIGKILL)

    def stop(self) -> None:
        """Ask every child to end."""
        self.roster.handle_stop()
        self.signal_all(signal.SIGTERM)

    def signal_all(self, number: int) -> None:
        """Send a signal to every child."""
        for child in self.roster.alive:
            self._send_signal(child, number)

    def _handle(self, child: Child, message: FromChild) -> None:
        roles, states = _PERMITTED[type(message)]
        if child.role not in roles or child.state not in states:
            self._disown(
                child, f"{type(message).__name__} is not permitted to a {child.state.value} {child.role.value}"
            )
            return
        self._handlers[type(message)](child, message)

    def _handle_batch(self, child: Child, batch: LogBatch) -> None:
        try:
            self._relay(batch, child.pid)
        except MisbehavedError as error:
            self._disown(child, str(error))

    def _handle_failed(self, child: Child, message: Failed) -> None:
        self._failed[child] = message
        self._journal.note("child-failed", child.name, message.step, message.reason)

    def _handle_names(self, child: Child, part: Names) -> None:
        try:
            names = self.book.take(part)
        except ContractError as error:
            self._disown(child, str(error))
            return
        if names is not None:
            self.tell_workers(split(names))

    def _handle_lookup(self, child: Child, message: Lookup) -> None:
        resolver = next((other for other in self._channels if other.role is Role.RESOLVER), None)
        self._lookups.ask(child, resolver, message)

    def _handle_looked(self, _child: Child, message: Looked) -> None:
        self._lookups.answer(self._channels, message)

    def _handle_moved(self, child: Child, message: Moved) -> None:
        """Tell every worker, the one that says it and those to come too: the last word counts."""
        if child.index != 0:
            self._disown(child, "heartbeats are the first worker's")
            return
        self._tell_for_good(message)

    def _handle_carriage(self, child: Child, message: Offered | Withdrawn) -> None:
        # What it has entrusted before it says this comes by another way.
        self._take_custody(child.index)
        if self.offering is not None and child in self._channels:
            self.offering.handle(child.index, message)

    def _bury(self, child: Child, now_ns: int) -> None:
        process = child.pid
        # Its last words are taken while it is a zombie: until it is waited for, its number is nobody else's.
        if child in self._channels:
            self.receive(self._channels[child].fileno(), _LAST_WORDS)
        self._close_channel(child)
        self._handouts.forget(child)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if child.role is Role.WORKER:
            self._lookups.forget(child)
            if self.offering is not None:
                self.offering.forget(child.index)
            if not self.vault.inherit(child.index, killed=exit_code == -signal.SIGKILL):
                self._journal.note("sessions-given-up", child.name)
        elif child.role is Role.RESOLVER:
            self._lookups.clear()
        verdict = self.roster.handle_death(child, exit_code, now_ns)
        failed = self._failed.pop(child, None)
        if verdict in (Verdict.EXPECTED, Verdict.LEFT):
            return
        how = describe_exit(exit_code)
        self._journal.note("child-ended", child.name, process, how)
        if verdict is Verdict.TOO_MANY:
            if self.ending is None:
                self._journal.note("too-many-deaths")
            self._end(ExitStatus.SOFTWARE, "too many terminated children")
        elif verdict is Verdict.FATAL:
            status = ExitStatus.SOFTWARE if self.roster.started else ExitStatus.UNAVAILABLE
            why = f"{failed.step}: {failed.reason}" if failed else how
            self._end(status, f"{child.name} cannot start: {why}")

    def _end(self, status: ExitStatus, reason: str) -> None:
        if self.ending is None:
            self.ending = Ending(status, reason)

    def _disown(self, child: Child, reason: str) -> None:
        self._journal.note("child-misbehaved", child.name, reason)
        # In this order: a child that finds its channel closed would end as if the parent were at fault.
        self._send_signal(child, signal.SIGKILL)
        self._close_channel(child)
        if child.role is Role.WORKER:
            self.vault.close(child.index)

    def _close_channel(self, child: Child) -> None:
        channel = self._channels.pop(child, None)
        if channel is not None:
            self._epoll.unregister(channel.fileno())
            del self._by_descriptor[channel.fileno()]
            channel.close()

    def _send_signal(self, child: Child, number: int) -> None:
        if child.pid:
            os.kill(child.pid, number)


def describe_exit(exit_code: int) -> str:
    """Return a child's end in words. exit_code: its status; minus the signal that killed it."""
    if exit_code < 0:
        return f"killed by {_SIGNAL_NAMES.get(-exit_code, f'signal {-exit_code}')}"
    meaning = _CODE_NAMES.get(exit_code)
    return f"exit status {exit_code}" + (f" ({meaning})" if meaning else "")


_SIGNAL_NAMES = {int(number): number.name for number in signal.Signals}
_CODE_NAMES = {int(code): code.name.lower() for code in ExitCode}
