"""A line of workers that are killed behaves as one that is not: whatever is sent, whatever the rule, whenever it is."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.datapath import Datapath
from tests.kit.session_parts import SECOND
from tests.kit.traffic import close_all, forward_to, let_arrive, listen, udp
from workers.adoption import take_over
from workers.contract.settings import AclSettings, Limits, SessionKind
from workers.contract.slots import Counter
from workers.session.session import Session

T0 = 1000 * SECOND
CLIENTS = SERVERS = 3
EXAMPLES = max(40, settings().max_examples // 5)
pytestmark = pytest.mark.timeout(3_600)  # Only the night's many examples take more than seconds.


class Step(NamedTuple):
    """What happens: a client sends, a server answers a client's session, time goes by, or the worker is killed."""

    what: str
    client: int = 0
    server: int = 0
    size: int = 0


@dataclass
class Stage:
    """One line of workers with clients and servers of its own. killed: whether workers are killed at all."""

    rule: AclSettings
    killed: bool
    fast_path: bool
    now_ns: int = T0
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __post_init__(self) -> None:
        self.clients = [self.stack.enter_context(udp()) for _ in range(CLIENTS)]
        self.servers = [self.stack.enter_context(udp(f"127.0.0.{2 + number}")) for number in range(SERVERS)]
        rule = forward_to(self.servers[0].getsockname(), self.rule.kind, self.rule.limits)
        self.settings, self.listeners = listen((rule,), max_sessions=2, fast_path=self.fast_path)
        self.stack.callback(close_all, self.listeners)
        self.path = Datapath(self.settings, self.listeners)
        for sock in (*self.clients, *self.servers):
            sock.setblocking(False)

    def close(self) -> None:
        """Close all; every datagram is accounted for, or this raises AssertionError."""
        self.path.close()
        self.stack.close()

    def carry_out(self, step: Step) -> object:
        """Let a step happen; return what of it can be seen."""
        if step.what == "out":
            self.clients[step.client].sendto(bytes(step.size), self.path.to[0])
        elif step.what == "in" and (session := self._session_of(step.client)) is not None:
            self.servers[step.server].sendto(bytes(step.size), session.sock.getsockname())
        elif step.what == "wait":
            self.now_ns += step.size * SECOND // 2
            self.path.tend(self.now_ns)
        elif step.what == "kill" and self.killed:
            self._kill()
        self.path.settle(self.now_ns)
        self.path.tend(self.now_ns)
        let_arrive()
        return self._seen()

    def _session_of(self, client: int) -> Session | None:
        port = self.clients[client].getsockname()[1].to_bytes(2, "big")
        return next((session for session in self.path.sessions if session.client[2:4] == port), None)

    def _kill(self) -> None:
        """Replace the worker by another one, which finds everything written down."""
        self.path.tend(self.now_ns)
        self.path.parts.keeper.freeze(self.path.sessions)
        estate = self.path.die()
        self.path = Datapath(self.settings, self.listeners, estate=estate)
        take_over(self.path.context, self.path.parts, self.now_ns)
        assert estate.region.words[Counter.PERMITS] == len(self.path.sessions)

    def _seen(self) -> object:
        return (
            [list(sizes(client)) for client in self.clients],
            [list(sizes(server)) for server in self.servers],
            [self._state(number) for number in range(CLIENTS)],
        )

    def _state(self, client: int) -> object:
        session = self._session_of(client)
        if session is None:
            return None
        targets = [server.getsockname()[1].to_bytes(2, "big") for server in self.servers]
        budgets = session.dgrams_in_left, session.dgrams_out_left, session.bytes_in_left, session.bytes_out_left
        wasted, found = (session.wasted_in, session.wasted_out), targets.index(session.target[2:4])
        return budgets, wasted, found, session.fixed, session.deadline()


def sizes(sock: socket.socket) -> Iterator[int]:
    """Yield the sizes of what waits in a socket."""
    with contextlib.suppress(BlockingIOError):
        while True:
            yield len(sock.recv(2000))


amounts = st.sampled_from((None, None, 1, 2, 5))
# Half-way between two instants: when exactly a session ends, at most a tick late, is nobody's business here.
durations = st.sampled_from((None, None, *(number * SECOND + SECOND // 4 for number in (1, 2, 3))))
limits = st.builds(
    Limits,
    max_dgrams_in=amounts,
    max_dgrams_out=amounts,
    max_bytes_in=st.sampled_from((None, None, 10, 100)),
    max_bytes_out=st.sampled_from((None, None, 10, 100)),
    session_ns=durations,
    in_ns=durations,
    out_ns=durations,
    both_ns=durations,
)
rules = st.builds(
    lambda kind, limits: AclSettings("ALL", True, kind=kind, limits=limits), st.sampled_from(SessionKind), limits
)
numbers = st.integers(0, CLIENTS - 1)
steps = st.one_of(
    st.builds(Step, st.just("out"), numbers, st.just(0), st.sampled_from((0, 1, 9, 40))),
    st.builds(Step, st.just("in"), numbers, numbers, st.sampled_from((0, 1, 9, 40))),
    st.builds(Step, st.just("wait"), size=st.integers(1, 4)),
    st.just(Step("kill")),
)


@given(rules, st.lists(steps, min_size=3, max_size=25), st.booleans())
@settings(max_examples=EXAMPLES)
def test_nobody_can_tell_whether_workers_are_killed(rule: AclSettings, script: list[Step], fast_path: bool) -> None:
    killed, spared = Stage(rule, True, fast_path), Stage(rule, False, fast_path)
    try:
        for step in script:
            assert killed.carry_out(step) == spared.carry_out(step)
    finally:
        with contextlib.closing(killed):
            spared.close()
