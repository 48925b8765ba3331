"""Complete answers from a proxy, put together of messages: its state, its sessions, its groups, its users."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from proxyd.control import groups, users
from proxyd.control.client import Connection, UnreachableError
from proxyd.control.groups import Group
from proxyd.control.protocol import (
    MAX_KILLS,
    AskExplain,
    AskGroups,
    AskHits,
    AskKill,
    AskSessions,
    AskStatus,
    AskUsers,
    Explanation,
    Groups,
    ListenerHits,
    Listeners,
    ListenerState,
    RuleHits,
    Rules,
    RuleState,
    Slots,
    Status,
    Users,
    Workers,
    WorkerState,
)
from proxyd.control.sessions import Reader, Session
from proxyd.control.users import Register


class State(msgspec.Struct, frozen=True):
    """A proxy with its workers, listeners and rules, in their order.

    earlier: the rules of older generations that sessions still have, by the low 16 bits of the generation.
    """

    proxy: Status
    workers: list[WorkerState]
    listeners: list[ListenerState]
    rules: list[RuleState]
    earlier: dict[int, list[RuleState]] = {}


class Hits(msgspec.Struct, frozen=True):
    """Rules: name, accepted, rejected, without a session. Listeners: address, received, bytes forwarded, lost."""

    rules: list[tuple[str, int, int, int]]
    listeners: list[tuple[str, int, int, int]]


def ask_state(connection: Connection) -> State:
    """Return the proxy's state. Raises as Connection.ask."""
    proxy: Status | None = None
    workers: list[WorkerState] = []
    listeners: list[ListenerState] = []
    rules: list[RuleState] = []
    earlier: dict[int, list[RuleState]] = {}
    for reply in connection.ask(AskStatus()):
        match reply:
            case Status():
                proxy = reply
            case Workers():
                workers += reply.workers
            case Listeners():
                listeners += reply.listeners
            case Rules(part, None):
                rules += part
            case Rules(part, int(generation)):
                earlier.setdefault(generation, []).extend(part)
    if proxy is None:
        raise UnreachableError("the proxy does not say how it is")
    return State(proxy, workers, listeners, rules, earlier)


def ask_sessions(connection: Connection) -> Iterator[Session]:
    """Yield the proxy's sessions. Raises as Connection.ask."""
    state = ask_state(connection)
    reader = Reader(state.rules, state.listeners, state.proxy.generation, state.earlier)
    for reply in connection.ask(AskSessions()):
        if isinstance(reply, Slots):
            yield from reader.read(reply)


def ask_groups(connection: Connection) -> list[Group]:
    """Return the groups of a UFTP proxy, the newest last. Raises as Connection.ask."""
    found: list[Group] = []
    for reply in connection.ask(AskGroups()):
        if isinstance(reply, Groups):
            found += groups.read(reply)
    return sorted(found, key=lambda group: -group.age_s)


def ask_hits(connection: Connection) -> Hits:
    """Return what rules have decided and listeners received. Raises as Connection.ask."""
    found = Hits([], [])
    for reply in connection.ask(AskHits()):
        if isinstance(reply, RuleHits):
            found.rules.extend(reply.rules)
        elif isinstance(reply, ListenerHits):
            found.listeners.extend(reply.listeners)
    return found


def ask_users(connection: Connection) -> Register:
    """Return who sits at which address now. Raises as Connection.ask."""
    register: Register | None = None
    for reply in connection.ask(AskUsers()):
        if isinstance(reply, Users):
            register = users.extend(register, reply)
    if register is None:
        raise UnreachableError("the proxy does not say who sits where")
    return register


def order_kill(connection: Connection, sessions: list[Session]) -> None:
    """Have sessions ended; they are when the workers come to it. Raises as Connection.ask."""
    for start in range(0, len(sessions), MAX_KILLS):
        part = sessions[start : start + MAX_KILLS]
        connection.order(AskKill([(session.worker, session.slot, session.began_ns) for session in part]))


def ask_explanation(connection: Connection, question: AskExplain) -> Explanation:
    """Return what would become of a datagram. Raises as Connection.ask."""
    for reply in connection.ask(question):
        if isinstance(reply, Explanation):
            return reply
    raise UnreachableError("the proxy does not explain it")
