"""The session engine against a model that reads the requirements literally, under random datagrams, clocks and limits.

Several workers' engines share one pool of sessions. After every step both must have the same sessions, the same
datagrams must have left, the same have been dropped for the same reasons, and the same ends been recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.kit.session_driver import Arrival, Driver, is_foreign
from tests.kit.session_model import Choice, Datagram, End, Key, Sent, SessionModel
from tests.kit.session_parts import LOCAL, PROXY, REMOTE, SECOND, TARGET, Pool, client, named, rule, server, sock
from workers.contract.catalogue import EVENTS
from workers.contract.settings import (
    AclSettings,
    Address,
    HostCondition,
    HostList,
    HostMember,
    HostPattern,
    SessionKind,
    SourcePort,
    SourcePortMode,
    TimeItem,
)
from workers.contract.slots import CLOSE_WORDS, CloseReason, DropReason
from workers.deadlines import TICK_NS
from workers.policy.hostset import UNASKED
from workers.session.session import Session

RUNS = 3 * settings().max_examples
pytestmark = pytest.mark.timeout(3_600)  # Only the night's many examples take more than seconds.
HOSTS = 3
LISTENERS = 2
OTHER_PROXY = sock(LOCAL + 99, 5301)
STRANGERS = (server(2), server(3), server(2, 99), server(77))
"""Whom clients may write to although it is not the proxy, and who may answer in a server's place."""
GONE = (DropReason.EXPIRED, DropReason.NO_SESSION)
"""Both say that the session is over; which of them depends on who noticed first, and does not matter."""


class Parcel(NamedTuple):
    """A datagram to be: why it cannot be sent, if it passes."""

    size: int
    fate: DropReason | None = None


class Flow(NamedTuple):
    """A client by numbers, and where it writes."""

    host: int
    port: int = 1
    destination: bytes = PROXY


# --- what is tried ---------------------------------------------------------------------------------------------------


class Tape:
    """Random bytes, a choice each: quicker than a choice at a time, and what is shrunk to zeros does nothing."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)
        self._left = len(data)

    def __bool__(self) -> bool:
        return self._left > 0

    def pick(self, choices: Sequence[Any]) -> Any:
        """Choose one; the first when there are no more bytes."""
        self._left -= 1
        return choices[next(self._bytes, 0) % len(choices)]


SIZES = (1, 1, 1, 0, 7, 40, 65_507)
FATES = (None,) * 9 + (DropReason.SEND_BUSY, DropReason.SEND_REFUSED, DropReason.SEND_FAILED)
PARCELS = [Parcel(size, fate) for fate in FATES for size in SIZES]
FLOWS = (
    *(Flow(1),) * 8,
    *(Flow(2),) * 4,
    *(Flow(3),) * 2,
    *(Flow(1, 2), Flow(1, 1, OTHER_PROXY), Flow(2, 2), Flow(3, 2, OTHER_PROXY), Flow(HOSTS + 1)),
    *(Flow(host, 1, destination) for host in (1, 2) for destination in STRANGERS),
)
KINDS = (SessionKind.NORMAL,) * 4 + (SessionKind.ONE_WAY,) + (SessionKind.ANY_PORT, SessionKind.ANY_SOCK) * 2
KINDS += (SessionKind.BROADCAST,)
SOURCE_PORTS = (None,) * 5 + (SourcePort(SourcePortMode.CLIENT), SourcePort(SourcePortMode.FORCE, 5300))
BY_NAME = (HostCondition(HostList((HostMember(HostPattern("good$")),))),)
NAMES = ("good", "good", "bad", None, UNASKED)
DGRAM_LIMITS = (None, None, 1, 1, 2, 3)
BYTE_LIMITS = (None,) * 12 + (1, 8, 47, 65_507, 200_000)
TIMEOUTS = (None, None, None, SECOND, 2 * SECOND, 3 * SECOND)
TARGETS = (TARGET,) * 8 + (replace(TARGET, port=None), named("a"), named("b", None), None)
PLACES = ((0, 0),) * 8 + ((0, 1), (1, 0), (1, 1))
WAIT_FROM = ("now", "now", "now", "end", "end", "alarm")
WAIT_BY = (0, 1, -1, 1_000_000, TICK_NS - 1, TICK_NS, SECOND // 2, SECOND)
ADDRESSES = (REMOTE + 3, REMOTE + 4, None)
CAPACITIES = (8, 8, 15, 1, 2, 3)


def read_rule(tape: Tape, number: int) -> AclSettings:
    """Read a rule that fits one client host; most of them accept."""
    names = ("max_dgrams_out", "max_dgrams_in", "max_bytes_out", "max_bytes_in")
    found = rule(
        f"R{number}",
        accept=tape.pick((True,) * 12 + (False,)),
        clients=(number,),
        plug_to=tape.pick(TARGETS),
        kind=tape.pick(KINDS),
        time=tape.pick((None, None, (TimeItem(),))),
        source_port=tape.pick(SOURCE_PORTS),
        **{name: tape.pick(DGRAM_LIMITS if "dgrams" in name else BYTE_LIMITS) for name in names},
        **{name: tape.pick(TIMEOUTS) for name in ("session_ns", "in_ns", "out_ns", "both_ns")},
    )
    return replace(found, servers=tape.pick(((), (), (), (), BY_NAME)))


@dataclass(frozen=True)
class FromClients:
    """A batch of one listener. sockets: whether there are any for new sessions."""

    place: tuple[int, int]
    arrivals: list[tuple[Flow, list[Parcel]]]
    sockets: bool


@dataclass(frozen=True)
class FromServers:
    """What waits in sessions' sockets: (which socket, which sender, datagrams). way: how it is read."""

    worker: int
    way: str
    heard: list[tuple[int, int, list[Parcel]]]


@dataclass(frozen=True)
class FromReturns:
    """What comes to a source that the proxy has used for a client: of which session, and from which sender."""

    worker: int
    which: int
    sender: int
    run: list[Parcel]


@dataclass(frozen=True)
class Rest:
    """A moment in which nothing comes: what was fixed is all that can come from then on."""

    worker: int


@dataclass(frozen=True)
class Wait:
    """Time that goes by: so long, or until `until` (a session's end, the engine's alarm), and `by` later or earlier."""

    until: str
    which: int
    by: int
    tend: bool


@dataclass(frozen=True)
class Learn:
    """New addresses of the configuration's names, and new names of servers."""

    names: dict[str, int | None]
    reverse: dict[Address, str | None]


def read_from_clients(tape: Tape) -> FromClients:
    place = tape.pick(PLACES)
    longest = tape.pick((1, 1, 2, 5))
    arrivals = [
        (tape.pick(FLOWS), [tape.pick(PARCELS) for _ in range(tape.pick(range(1, longest + 1)))])
        for _ in range(tape.pick((1, 2, 3, 6)))
    ]
    return FromClients(place, arrivals, tape.pick((True,) * 15 + (False,)))


def read_from_servers(tape: Tape) -> FromServers:
    worker = tape.pick(PLACES)[0]
    way = tape.pick(("singles", "singles", "runs", "trains"))
    heard = [
        (
            tape.pick((0, 0, 0, 0, 1, 1, 2, 5)),
            tape.pick((0, 0, 0, 1, 2, 3, 4)),
            [tape.pick(PARCELS) for _ in range(tape.pick((1, 1, 2, 4)))],
        )
        for _ in range(tape.pick((1, 2, 4)))
    ]
    return FromServers(worker, way, heard)


def read_wait(tape: Tape) -> Wait:
    return Wait(tape.pick(WAIT_FROM), tape.pick(range(8)), tape.pick(WAIT_BY), tape.pick((True, False)))


def read_learn(tape: Tape) -> Learn:
    names = {name: tape.pick(ADDRESSES) for name in "ab"}
    return Learn(names, {Address(4, REMOTE + number): tape.pick(NAMES) for number in (1, 2, 3)})


def read_from_returns(tape: Tape) -> FromReturns:
    run = [tape.pick(PARCELS) for _ in range(tape.pick((1, 1, 2)))]
    return FromReturns(tape.pick(PLACES)[0], tape.pick(range(4)), tape.pick((0, 0, 1, 2, 3, 4)), run)


def read_rest(tape: Tape) -> Rest:
    return Rest(tape.pick(PLACES)[0])


def read_question(tape: Tape) -> FromClients:
    return FromClients((0, 0), [(Flow(1), [tape.pick(PARCELS)])], True)


def read_answer(tape: Tape) -> FromServers:
    run = [tape.pick(PARCELS) for _ in range(tape.pick((1, 1, 1, 2)))]
    return FromServers(0, tape.pick(("singles", "runs")), [(0, 0, run)])


def read_pause(tape: Tape) -> Wait:
    return Wait("now", 0, tape.pick((SECOND // 8, SECOND // 4, SECOND // 2)), True)


TALK = (read_question, read_question, read_answer, read_answer, read_pause)
STEPS = (read_wait, read_wait, *(read_from_clients,) * 4, *(read_from_servers,) * 4, read_from_returns, read_rest)
STEPS += (read_learn,)
tapes = st.binary(min_size=500, max_size=500)


# --- both at once ----------------------------------------------------------------------------------------------------


class Duel:
    """A proxy of two workers and its model, given the same things."""

    def __init__(self, rules: list[AclSettings], pool: Pool) -> None:
        self.pool = pool
        self.rules = {index + 1: acl for index, acl in enumerate(rules)}
        self.names: dict[str, int | None] = {}
        self.reverse: dict[Address, str | None] = {}
        self.workers = [Driver(rules, pool, listeners=LISTENERS) for _ in range(2)]
        self.model = SessionModel(pool.capacity, self.choose)
        self.now_ns = 7 * SECOND
        self._numbers = 0

    def choose(self, source: bytes, destination: bytes) -> Choice:
        """Read the rules: each fits one host, or there is one that fits all; they look at nothing else."""
        host = int.from_bytes(source[4:8], "big") - LOCAL
        acl = self.rules.get(host) if self.rules[1].sources else self.rules[1]
        if acl is None:
            return Choice(DropReason.REJECTED, acl)
        target, name = self.target(acl, destination)
        if acl.servers and name != "good":
            return Choice(DropReason.NAME_PENDING if name == UNASKED else DropReason.REJECTED, acl)
        if not acl.accept:
            return Choice(DropReason.REJECTED, acl)
        if acl.plug_to is None and not is_foreign(destination):
            return Choice(DropReason.NO_PLUG_TO, acl)
        if target is None:
            return Choice(DropReason.NO_TARGET, acl)
        return Choice(None, acl, target, is_foreign(destination))

    def target(self, acl: AclSettings, destination: bytes) -> tuple[bytes | None, str | None]:
        """Return where a rule's sessions go, and that server's name; no address where its name has none."""
        plug = acl.plug_to
        if plug is None:
            address = Address(4, int.from_bytes(destination[4:8], "big"))
            return destination, self.reverse.get(address, UNASKED)
        port = int.from_bytes(destination[2:4], "big") if plug.port is None else plug.port
        if isinstance(plug.host, Address):
            return sock(plug.host.value, port), self.reverse.get(plug.host, UNASKED)
        value = self.names.get(plug.host.name)
        return None if value is None else sock(value, port), plug.host.name

    def datagrams(self, parcels: list[Parcel], source: bytes = b"") -> tuple[Datagram, ...]:
        """Make datagrams of sizes and fates, each with a number of its own."""
        first, self._numbers = self._numbers, self._numbers + len(parcels)
        return tuple(Datagram(number, size, fate, source) for number, (size, fate) in enumerate(parcels, first))

    # --- steps -------------------------------------------------------------------------------------------------------

    def take(self, step: Any) -> None:
        """Do one step, and let the worker tend as it does after each turn."""
        steps = {
            FromClients: self.clients,
            FromServers: self.servers,
            FromReturns: self.returns,
            Rest: lambda rest: self.workers[rest.worker].rest(),
            Wait: self.wait,
            Learn: self.learn,
        }
        steps[type(step)](step)

    def clients(self, step: FromClients) -> None:
        worker, listener = step.place
        driver = self.workers[worker]
        driver.have_sockets = step.sockets
        driver.rested = (0, 2, 64)[len(step.arrivals) % 3]
        batch = [
            Arrival(client(flow.host, flow.port), flow.destination, self.datagrams(run)) for flow, run in step.arrivals
        ]
        for source, destination, run in driver.hear_clients(listener, batch, self.now_ns):
            key = Key(worker, listener, source, destination)
            self.model.client_run(key, run, self.now_ns, sockets=step.sockets)

    def servers(self, step: FromServers) -> None:
        driver = self.workers[step.worker]
        open_now = sorted(driver.sockets.items())
        chosen = {open_now[which % len(open_now)][1]: (sender, run) for which, sender, run in step.heard if open_now}
        heard = {
            session: self.datagrams(run, _sender(session, sender))
            for session, (sender, run) in chosen.items()
            if session.connected
        }
        if step.way == "singles":
            heard = {session: run[:1] for session, run in heard.items()}
        if step.way == "trains":
            heard = {session: tuple(item._replace(fate=None) for item in run) for session, run in heard.items()}
        strangers = {
            session: self.datagrams(run, _sender(session, sender))
            for session, (sender, run) in chosen.items()
            if not session.connected
        }
        for session, run in (strangers | heard).items():
            key = Key(step.worker, session.listener, session.client, session.destination)
            self.model.server_run(key, run, self.now_ns)
        for session, run in strangers.items():
            driver.hear_strangers(session, run, self.now_ns)
        if step.way == "singles":
            driver.hear_singles([(session, run[0]) for session, run in heard.items()], self.now_ns)
        elif step.way == "runs":
            driver.hear_runs(list(heard.items()), self.now_ns)
        else:
            for session, run in heard.items():
                driver.hear_trains(session, [run[:2], run[2:]] if len(run) > 2 else [run], self.now_ns)

    def returns(self, step: FromReturns) -> None:
        driver = self.workers[step.worker]
        sharing = [session for session in driver.sessions if session.trail is not None and session.trail.local]
        if sharing:
            chosen = sharing[step.which % len(sharing)]
            local, source = chosen.trail.local, _sender(chosen, step.sender, anybody=True)
            run = self.datagrams(step.run, source)
            twin = self.model.find_return(step.worker, local, source)
            if twin is None:
                self.model.stray(step.worker, run)
            else:
                self.model.server_run(twin.key, run, self.now_ns)
            driver.hear_return(local, run, self.now_ns)

    def wait(self, step: Wait) -> None:
        ends = [expiry[0] for session in self.model.sessions.values() if (expiry := session.expiry())]
        alarms = [worker.engine.next_deadline_ns() for worker in self.workers if worker.sessions]
        until = {"now": [], "end": sorted(ends), "alarm": alarms}[step.until]
        start = until[step.which % len(until)] if until else self.now_ns
        self.now_ns = max(self.now_ns, min(start, self.now_ns + 100 * SECOND) + step.by)
        if step.tend:
            self.tend()

    def tend(self) -> None:
        for index, driver in enumerate(self.workers):
            driver.tend(self.now_ns)
            assert driver.engine.next_deadline_ns() > self.now_ns, "the loop would spin"
            self.model.reconcile(index, self.keys(index), self.now_ns, TICK_NS)

    def learn(self, step: Learn) -> None:
        self.names, self.reverse = step.names, step.reverse
        known = {name: frozenset({Address(4, host)}) for name, host in step.names.items() if host is not None}
        for driver in self.workers:
            driver.engine.admission.learn_names(known)
            driver.names = step.reverse

    def stop(self) -> None:
        """End everything: every permit is back in the pool."""
        for index, driver in enumerate(self.workers):
            driver.stop(self.now_ns)
            self.model.end_all(index, self.now_ns)
        self.compare()
        assert not self.model.sessions
        assert self.pool.free() == self.pool.capacity

    # --- what must be the same ---------------------------------------------------------------------------------------

    def keys(self, worker: int) -> set[Key]:
        """Return whose sessions a worker has."""
        return {
            Key(worker, session.listener, session.client, session.destination)
            for session in self.workers[worker].sessions
        }

    def compare(self) -> None:
        """Hold the workers against the model, and each against itself."""
        assert set(self.model.sessions) == self.keys(0) | self.keys(1)
        assert self.pool.free() + sum(driver.permits_held for driver in self.workers) == self.pool.capacity
        for index, driver in enumerate(self.workers):
            self.compare_traffic(index, driver)
            self.compare_sessions(index, driver)
        ends = [record.fields for driver in self.workers for record in driver.diary.take("session-end")]
        assert Counter(_end(fields) for fields in ends) == Counter(self.model.ends)
        self.model.ends.clear()

    def compare_traffic(self, index: int, driver: Driver) -> None:
        model, stats = self.model, driver.stats
        assert stats.balanced
        assert driver.diary.journal.shed == 0
        for direction, left, drops, received, forwarded, total in (
            ("out", driver.out, stats.drops_out, stats.received_out, stats.forwarded_out, stats.bytes_out),
            ("in", driver.into, stats.drops_in, stats.received_in, stats.forwarded_in, stats.bytes_in),
        ):
            sent = [Sent(datagram.number, peer, face) for datagram, peer, face in left]
            assert sent == model.sent.get((index, direction), [])
            assert forwarded == len(sent)
            assert total == sum(leaving.datagram.size for leaving in left)
            assert received == model.received[index, direction]
            assert _drops(drops) == _drops([model.drops[index, direction, reason] for reason in DropReason])

    def compare_sessions(self, index: int, driver: Driver) -> None:
        sessions = driver.sessions
        assert len(sessions) == driver.engine.sessions == driver.permits_held
        assert driver.stats.sessions_opened == len(sessions) + sum(
            driver.stats.closes[reason] for reason in CloseReason if reason is not CloseReason.FAILURE
        )
        assert sorted(driver.sockets.values(), key=id) == sorted(sessions, key=id)
        aliases = {key for key in self.model.aliases if key.worker == index}
        assert driver.engine.trails.aliases == len(aliases)
        assert len({session.slot for session in sessions}) == len(sessions)
        assert all(0 <= session.slot < self.pool.capacity for session in sessions)
        alarm_ns = driver.engine.next_deadline_ns()
        for session in sessions:
            twin = self.model.sessions[Key(index, session.listener, session.client, session.destination)]
            assert session.closing is None
            assert (session.target, session.opened_ns) == (twin.target, twin.opened_ns)
            assert (session.dgrams_out, session.dgrams_in) == (twin.out.dgrams, twin.into.dgrams)
            assert (session.bytes_out, session.bytes_in) == (twin.out.bytes, twin.into.bytes)
            expiry = twin.expiry()
            assert expiry is None or alarm_ns < expiry[0] + TICK_NS


def _sender(session: Session, which: int, *, anybody: bool = False) -> bytes:
    """Return who sends: the target; to an unconnected socket also the target's other port, and other hosts."""
    target = session.target
    if which == 0 or (session.connected and not anybody):
        return target
    return target[:2] + b"\1\1" + target[4:] if which == 1 else STRANGERS[which - 2]


def _drops(counts: list[int]) -> dict[DropReason | None, int]:
    found = {reason: counts[reason] for reason in DropReason if counts[reason] and reason not in GONE}
    return found | {None: sum(counts[reason] for reason in GONE)}


def _end(fields: tuple[Any, ...]) -> End:
    found = {name: value for (name, _), value in zip(EVENTS["session-end"].fields, fields, strict=True)}
    reason = CloseReason(CLOSE_WORDS.index(found["reason"]))
    counts = (found[name] for name in ("bytes_cin", "bytes_cout", "bytes_sin", "bytes_sout", "duration"))
    return End(found["client"], found["server"], reason, *counts)


def play(rules: list[AclSettings], capacity: int, tape: Tape, kinds: Sequence[Any] = STEPS) -> None:
    """Let both go through the steps on the tape, which are of these kinds."""
    with Pool(capacity) as pool:
        duel = Duel(rules, pool)
        while tape:
            step = tape.pick(kinds)(tape)
            note(repr(step))
            duel.take(step)
            duel.compare()
        duel.stop()


@settings(max_examples=RUNS)
@given(tapes)
def test_the_engine_does_what_the_requirements_say(data: bytes) -> None:
    tape = Tape(data)
    rules = [read_rule(tape, number) for number in range(1, HOSTS + 1)]
    play(rules, tape.pick(CAPACITIES), tape)


@settings(max_examples=RUNS // 4)
@given(tapes)
def test_one_rule_for_everybody_is_no_different(data: bytes) -> None:
    tape = Tape(data)
    play([replace(read_rule(tape, 1), sources=())], tape.pick(CAPACITIES), tape)


@settings(max_examples=RUNS)
@given(st.binary(min_size=120, max_size=120))
def test_one_client_and_one_server_talk_as_the_requirements_say(data: bytes) -> None:
    tape = Tape(data)
    limits = {name: tape.pick((1, 2, 3)) for name in ("max_dgrams_out", "max_dgrams_in")}
    limits |= {name: tape.pick(TIMEOUTS) for name in ("session_ns", "in_ns", "out_ns", "both_ns")}
    play([rule(**limits)], 1, tape, TALK)
