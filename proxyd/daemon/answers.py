"""What a running proxy answers to those who ask over the control socket: from its settings, its children and its shared
memory. It reads no file and waits for nothing; sessions are sent as they lie in memory, and read by who asked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from proxyd.config.explanation import Explainer, Question
from proxyd.config.wanted import wanted
from proxyd.control import protocol
from proxyd.control.protocol import (
    AskDrain,
    AskExplain,
    AskGroups,
    AskHits,
    AskKill,
    AskLevel,
    AskReload,
    AskSessions,
    AskStatus,
    AskTakeover,
    AskTap,
    AskUpgrade,
    AskUsers,
    Reply,
    Request,
)
from proxyd.daemon import demands
from proxyd.daemon.asker import NOBODY, Asker
from proxyd.daemon.reading import Reading
from proxyd.daemon.reload import Outcome
from proxyd.daemon.reloading import ReloadAnswers, now
from proxyd.daemon.roster import Roster, State
from proxyd.daemon.showing import WITH_RULES, Showing, slot_records
from proxyd.daemon.spawn import Estate
from workers.contract.messages import Names, Tap
from workers.contract.settings import AclSettings, Address, ListenerSettings
from workers.contract.slots import SLOT, CloseReason, Counter, DropReason, Region

ROWS_A_MESSAGE = 100
MAX_MISTAKES, MAX_MISTAKE_CHARS = 10, 1000
"""Of the last reload, in the proxy's state; who asks for a reload is told all."""
MAX_CHECKS, MAX_VALUE_CHARS = 200, 150
"""Conditions of an explanation that are shown; the last ones, because the last one decides. They fit one message."""
TOTALS: tuple[tuple[str, Counter], ...] = (
    ("opened", Counter.SESSIONS_OPENED),
    ("carried", Counter.CARRIED),
    ("received_out", Counter.RECEIVED_OUT),
    ("forwarded_out", Counter.FORWARDED_OUT),
    ("bytes_out", Counter.BYTES_OUT),
    ("received_in", Counter.RECEIVED_IN),
    ("forwarded_in", Counter.FORWARDED_IN),
    ("bytes_in", Counter.BYTES_IN),
    ("queue_overflow", Counter.QUEUE_OVERFLOW),
    ("log_records", Counter.LOG_RECORDS),
    ("log_shed", Counter.LOG_SHED),
)


class Conductor(Protocol):
    """What orders come to: who keeps the children. Nothing here waits."""

    @property
    def roster(self) -> Roster:
        """The children."""
        ...

    @property
    def level(self) -> int:
        """The level of the debug log."""
        ...

    @property
    def draining(self) -> bool:
        """Whether no session may begin any more."""
        ...

    @property
    def names(self) -> Names | None:
        """The addresses of the configuration's names, None: not known yet."""
        ...

    def kill(self, worker: int, sessions: list[tuple[int, int]]) -> bool:
        """End a worker's sessions, (slot, beginning) pairs; False when it cannot be told now."""
        ...

    def tap(self, worker: int, order: Tap, lane: int) -> bool:
        """Have a worker copy a session's datagrams to a lane, which stays the caller's; False when it cannot."""
        ...

    def reload(self) -> int | None:
        """Read the configuration again; return the number by which `reloaded` knows it, None where that cannot be."""
        ...

    def reloaded(self, number: int) -> Outcome | None:
        """Return what came of a reload, None while it is under way."""
        ...

    def examine(self) -> Reading:
        """Read the configuration again and change nothing. Raises ProxydError where it would not be taken."""
        ...

    @property
    def last_reload(self) -> Outcome | None:
        """What came of the last reload, None before the first."""
        ...

    @property
    def reloading(self) -> bool:
        """Whether children are being renewed."""
        ...

    def set_level(self, level: int) -> None:
        """Give the debug log a level, in all processes."""
        ...

    def drain(self, timeout_s: float | None) -> None:
        """Begin no session any more; end with the last one, or when the time is up."""
        ...


def describe_order(request: Request) -> str | None:
    """Return in words what a request changes, None for a mere question."""
    match request:
        case AskKill(sessions):
            return f"end {len(sessions)} sessions, the first in slot {sessions[0][1]} of worker {sessions[0][0]}"
        case AskLevel(level):
            return f"log level {level}"
        case AskTap(worker, slot):
            return f"copy the datagrams of the session in slot {slot} of worker {worker}"
        case AskTakeover():
            return "hand over"
        case AskUpgrade():
            return "upgrade"
        case AskReload(False):
            return "reload"
        case AskDrain(timeout_s):
            return "drain" if timeout_s is None else f"drain within {timeout_s:g} s"
        case _:
            return None


class Answers:
    """Answers for one proxy. version, file: what runs, and the configuration it came from."""

    def __init__(self, estate: Estate, conductor: Conductor, version: str, file: str) -> None:
        self._estate = estate
        self._conductor = conductor
        self._version = version
        self._file = file
        self._began_ns = time.monotonic_ns()
        self._began_unix = time.time()
        self._explainer: Explainer | None = None
        self._explained = estate.settings
        self._handlers: dict[type, Callable[..., Iterator[Reply]]] = {
            AskStatus: self._status,
            AskSessions: self._sessions,
            AskKill: self._kill,
            AskLevel: self._level,
            AskDrain: self._drain,
            AskExplain: self._explain,
        }
        shown = Showing(estate, conductor)
        self._handlers |= {AskUsers: shown.users, AskGroups: shown.groups, AskHits: shown.hits}
        self._personal: dict[type, Callable[..., Iterator[Reply | None]]] = {AskTap: shown.tap}
        self._personal[AskReload] = ReloadAnswers(estate, conductor).answer
        """Answers that depend on who asks, or take the descriptor that came with the question."""

    def take_up(self, more: Mapping[type, Callable[..., Iterator[Reply | None]]]) -> None:
        """Have further questions answered, with who asks them."""
        self._personal.update(more)

    def answer(self, request: Request, asker: Asker = NOBODY) -> Iterator[Reply | None]:
        """Yield the answer; each message is made when it is asked for, from what is true then. None: not there yet."""
        personal = self._personal.get(type(request))
        if personal is not None:
            return personal(request, asker)
        handler = self._handlers.get(type(request))
        return iter((protocol.Refused("this proxy does not do that"),)) if handler is None else handler(request)

    # --- what is ------------------------------------------------------------------------------------------------------

    def _status(self, _request: AskStatus) -> Iterator[Reply]:
        settings = self._estate.settings
        yield self._state()
        workers = [_worker(index, region) for index, region in enumerate(self._estate.shared.regions)]
        for start in range(0, len(workers), ROWS_A_MESSAGE):
            yield protocol.Workers(workers[start : start + ROWS_A_MESSAGE])
        listeners = self._estate.standing
        for start in range(0, len(listeners), ROWS_A_MESSAGE):
            part = listeners[start : start + ROWS_A_MESSAGE]
            yield protocol.Listeners([listener_state(listener) for listener in part])
        yield from _rules(settings.acls, None)
        for generation, earlier in list(self._estate.earlier.items()):
            yield from _rules(earlier.acls, generation)
        yield protocol.Done()

    def _state(self) -> protocol.Status:
        settings, shared, conductor = self._estate.settings, self._estate.shared, self._conductor
        users = self._estate.users
        return protocol.Status(
            program=settings.program,
            version=self._version,
            name=settings.name,
            pid=os.getpid(),
            file=self._file,
            generation=settings.generation,
            started_unix=self._began_unix,
            uptime_s=(time.monotonic_ns() - self._began_ns) / 1e9,
            state=self._phase(),
            level=conductor.level,
            sessions=shared.sessions,
            max_sessions=settings.max_sessions,
            users=None if users is None else sum(len(part.entries) for part in users.parts),
            names=0 if conductor.names is None else len(conductor.names.addresses),
            children=[
                protocol.ChildState(child.name, child.pid, child.state.value) for child in conductor.roster.children
            ],
            totals={name: shared.total(counter) for name, counter in TOTALS},
            dropped_out=self._reasons(Counter.DROPS_OUT, DropReason),
            dropped_in=self._reasons(Counter.DROPS_IN, DropReason),
            closed=self._reasons(Counter.CLOSES, CloseReason),
            reload=_reload_state(conductor.last_reload),
            reloading=conductor.reloading,
        )

    def _phase(self) -> str:
        roster = self._conductor.roster
        if roster.stopping:
            return "stopping"
        if self._conductor.draining:
            return "draining"
        ready = all(child.state is State.READY for child in roster.children)
        return "serving" if ready else "starting"

    def _reasons(self, first: Counter, reasons: type[DropReason] | type[CloseReason]) -> dict[str, int]:
        regions = self._estate.shared.regions
        counts = {reason: sum(region.words[first + reason] for region in regions) for reason in reasons}
        return {reason.name.lower().replace("_", "-"): count for reason, count in counts.items() if count}

    def _sessions(self, _request: AskSessions) -> Iterator[Reply]:
        if self._estate.settings.program == WITH_RULES:
            yield from slot_records(self._estate, SLOT.size)
        yield protocol.Done()

    # --- what would be ------------------------------------------------------------------------------------------------

    def _explain(self, request: AskExplain) -> Iterator[Reply]:
        program = self._estate.settings.program
        if program != WITH_RULES:
            yield protocol.Refused(f"{program} has no session-acl that could decide")
            return
        client, destination = _address(request.client), _address(request.destination)
        if client is None or destination is None or client.version != destination.version:
            yield protocol.Refused("client and destination are not addresses of one IP version")
            return
        user, groups = request.user, frozenset(request.groups)
        if user is None:
            user, groups = self._user_at(client)
        question = Question(
            client,
            request.client_port,
            destination,
            request.destination_port,
            user,
            groups,
            now() if request.when is None else request.when,
            request.transparent,
            request.tos,
        )
        yield self._explanation(question)
        yield protocol.Done()

    def _explanation(self, question: Question) -> protocol.Explanation:
        if self._explainer is None or self._explained is not self._estate.settings:
            self._explained = self._estate.settings
            self._explainer = Explainer(self._explained)
        names = self._conductor.names
        book = {} if names is None else names.addresses
        found = self._explainer.explain(
            question,
            {
                name: frozenset(Address(version, int.from_bytes(value)) for version, value in addresses)
                for name, addresses in book.items()
            },
        )
        acls, rule = self._estate.settings.acls, found.rule
        verdict, reason = "accepted" if found.accepted else "dropped", found.reason
        if found.accepted and self._conductor.draining:
            verdict, reason = "dropped", "the proxy is draining"
        elif found.accepted and self._estate.shared.sessions >= self._estate.settings.max_sessions:
            verdict, reason = "dropped", "max-sessions is reached"
        return protocol.Explanation(
            verdict=verdict,
            reason=reason,
            listener=None if found.listener is None else demands.item_of(found.listener),
            rule=None if rule is None else rule.name,
            kind=None if rule is None or not rule.accept else rule.kind.value,
            target=found.target,
            user=question.user,
            checks=[
                protocol.Checked(
                    acls[check.rule].name,
                    check.condition,
                    check.value[:MAX_VALUE_CHARS],
                    check.holds,
                    wanted(acls[check.rule], check.condition),
                )
                for check in found.checks[-MAX_CHECKS:]
            ],
        )

    def _user_at(self, client: Address) -> tuple[str | None, frozenset[str]]:
        users = self._estate.users
        value = client.value.to_bytes(4 if client.version == 4 else 16)
        for part in () if users is None else users.parts:
            for version, raw, user, groups in part.entries:
                if (version, raw) == (client.version, value):
                    return user, frozenset(groups)
        return None, frozenset()

    # --- what is to be ------------------------------------------------------------------------------------------------

    def _kill(self, request: AskKill) -> Iterator[Reply]:
        wanted: dict[int, list[tuple[int, int]]] = {}
        for worker, slot, began_ns in request.sessions:
            wanted.setdefault(worker, []).append((slot, began_ns))
        told = [self._conductor.kill(worker, sessions) for worker, sessions in wanted.items()]
        yield protocol.Done() if all(told) else protocol.Refused("a worker cannot be told now, or there is none")

    def _level(self, request: AskLevel) -> Iterator[Reply]:
        self._conductor.set_level(request.level)
        yield protocol.Done(f"the level is {self._conductor.level}")

    def _drain(self, request: AskDrain) -> Iterator[Reply]:
        if self._conductor.roster.stopping:
            yield protocol.Refused("the proxy is ending already")
            return
        if self._conductor.roster.held:
            yield protocol.Refused("its workers rest, as another program is to go on with their work; try again")
            return
        self._conductor.drain(request.timeout_s)
        yield protocol.Done(f"draining, {self._estate.shared.left} sessions are left")


def _rules(acls: Sequence[AclSettings], generation: int | None) -> Iterator[Reply]:
    for start in range(0, len(acls), ROWS_A_MESSAGE):
        yield protocol.Rules([rule_state(acl) for acl in acls[start : start + ROWS_A_MESSAGE]], generation)


def _reload_state(outcome: Outcome | None) -> protocol.ReloadState | None:
    if outcome is None:
        return None
    mistakes = [line[:MAX_MISTAKE_CHARS] for line in outcome.mistakes[:MAX_MISTAKES]]
    return protocol.ReloadState(outcome.generation, outcome.when_unix, mistakes)


def _worker(index: int, region: Region) -> protocol.WorkerState:
    words = region.words
    totals = {name: words[counter] for name, counter in TOTALS}
    return protocol.WorkerState(index, region.sessions, bool(words[Counter.DRAINING]), totals)


def listener_state(listener: ListenerSettings) -> protocol.ListenerState:
    """Return how a listener is shown."""
    address = f"[{listener.address}]:{listener.port}"
    return protocol.ListenerState(address, listener.transparent, listener.device)


def rule_state(acl: AclSettings) -> protocol.RuleState:
    """Return how a rule is shown."""
    limits = acl.limits
    return protocol.RuleState(
        acl.name,
        acl.accept,
        acl.kind.value,
        limits.max_dgrams_in,
        limits.max_dgrams_out,
        limits.max_bytes_in,
        limits.max_bytes_out,
        limits.session_ns,
        limits.in_ns,
        limits.out_ns,
        limits.both_ns,
    )


def _address(raw: bytes) -> Address | None:
    version = {4: 4, 16: 6}.get(len(raw))
    return None if version is None else Address(version, int.from_bytes(raw))
