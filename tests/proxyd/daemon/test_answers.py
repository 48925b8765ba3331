from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxyd.control import protocol
from proxyd.control.protocol import (
    NUMBER,
    AskDrain,
    AskExplain,
    AskGroups,
    AskKill,
    AskLevel,
    AskSessions,
    AskStatus,
    AskTap,
    AskUpgrade,
    AskUsers,
    Done,
    Explanation,
    Listeners,
    Refused,
    Reply,
    Rules,
    Slots,
    Status,
    Workers,
)
from proxyd.daemon.answers import Answers, describe_order
from proxyd.daemon.reading import Reading
from proxyd.daemon.reload import Outcome
from proxyd.daemon.roster import Child, Role, Roster, State
from proxyd.daemon.showing import RECORDS_A_MESSAGE
from proxyd.daemon.spawn import Estate
from proxyd.errors import ProxydError
from tests.proxyd.config.samples import ACTIONS, config, load
from tests.proxyd.daemon.estates import an_estate
from workers.contract.messages import Names, Tap
from workers.contract.slots import SLOT, Counter, DropReason

ACLS = f"session-acl INSIDE {{ from {{ [10.0.0.0/8] }}; {ACTIONS} }} session-acl REST {{ deny; }}"
CLIENT, PROXY = bytes((10, 0, 0, 7)), bytes((127, 0, 0, 1))
ASKED = AskExplain(CLIENT, 40000, PROXY, 5300)


@dataclass
class Chief:
    """Takes orders and remembers them."""

    roster: Roster = field(default_factory=lambda: Roster([Child(Role.WORKER, 0, State.READY, 4711)], 30, 1))
    level: int = 6
    draining: bool = False
    names: Names | None = None
    last_reload: Outcome | None = None
    reloading: bool = False
    wanted: Reading | ProxydError | None = None
    orders: list[tuple[object, ...]] = field(default_factory=list)

    def kill(self, worker: int, sessions: list[tuple[int, int]]) -> bool:
        self.orders.append((worker, sessions))
        return worker < 2

    def tap(self, worker: int, order: Tap, lane: int) -> bool:
        self.orders.append((worker, order, lane))
        return True

    def reload(self) -> int | None:
        self.orders.append(("reload",))
        return None if self.last_reload is None else 1

    def reloaded(self, number: int) -> Outcome | None:
        assert number == 1
        return None if self.reloading else self.last_reload

    def examine(self) -> Reading:
        assert self.wanted is not None
        if isinstance(self.wanted, ProxydError):
            raise self.wanted
        return self.wanted

    def set_level(self, level: int) -> None:
        self.level = level

    def drain(self, timeout_s: float | None) -> None:
        self.orders.append((timeout_s,))


@dataclass
class Scene:
    """A proxy at rest, and who answers for it."""

    estate: Estate
    chief: Chief
    answers: Answers

    def ask(self, request: protocol.Request) -> list[Reply]:
        found = list(self.answers.answer(request))
        for reply in found:
            assert protocol.decode_reply(protocol.encode(reply)) == reply
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    settings = load(config(acls=ACLS)).settings
    with an_estate(tmp_path / "log", acls=settings.acls, max_sessions=300, workers=2) as estate:
        # What rules and listeners say is the configuration's; the sockets are of no matter here.
        asked = dataclasses.replace(estate, settings=dataclasses.replace(estate.settings, listeners=settings.listeners))
        chief = Chief()
        yield Scene(asked, chief, Answers(asked, chief, "1.2", "/etc/x.cfg"))


def state(scene: Scene) -> Status:
    found = scene.ask(AskStatus())[0]
    assert isinstance(found, Status)
    return found


def test_the_status_tells_the_proxy_its_children_and_the_sums_of_its_workers(scene: Scene) -> None:
    for region in scene.estate.shared.regions:
        region.words[Counter.SESSIONS] = 2
        region.words[Counter.FORWARDED_IN] = 7
        region.words[Counter.DROPS_OUT + DropReason.TABLE_FULL] = 3
    found = state(scene)
    assert (found.version, found.file, found.name, found.state, found.level) == (
        *("1.2", "/etc/x.cfg"),
        *("TEST", "serving", 6),
    )
    assert (found.sessions, found.max_sessions, found.users) == (4, 300, None)
    assert [(child.name, child.pid, child.state) for child in found.children] == [("worker 0", 4711, "ready")]
    assert (found.totals["forwarded_in"], found.dropped_out, found.closed) == (14, {"table-full": 6}, {})


def test_workers_listeners_and_rules_follow_the_status(scene: Scene) -> None:
    _, workers, listeners, rules, done = scene.ask(AskStatus())
    assert isinstance(workers, Workers)
    assert isinstance(listeners, Listeners)
    assert isinstance(rules, Rules)
    assert [worker.index for worker in workers.workers] == [0, 1]
    assert listeners.listeners == [protocol.ListenerState("[127.0.0.1]:5300", False, None)]
    assert [(rule.name, rule.accept, rule.both_ns) for rule in rules.rules] == [
        ("INSIDE", True, 5 * 10**9),
        ("REST", False, None),
    ]
    assert done == Done()


def test_the_state_says_when_it_starts_drains_and_stops(scene: Scene) -> None:
    (child,) = scene.chief.roster.children
    child.state = State.DEAD
    assert state(scene).state == "starting"
    scene.chief.draining = True
    assert state(scene).state == "draining"
    scene.chief.roster.handle_stop()
    assert state(scene).state == "stopping"


def test_open_sessions_are_sent_as_they_lie_in_memory_as_many_in_a_message_as_fit(scene: Scene) -> None:
    region = scene.estate.shared.regions[1]
    region.words[Counter.TOP] = 300
    for slot in range(290):
        region.memory[region.offset(slot)] = slot % 29 != 0
        region.memory[region.offset(slot) + 1] = slot % 5
    *parts, done = scene.ask(AskSessions())
    assert done == Done()
    assert [
        (part.worker, len(part.records) // (NUMBER.size + SLOT.size)) for part in parts if isinstance(part, Slots)
    ] == [
        (0, 0),
        (1, RECORDS_A_MESSAGE),
        (1, 40),
    ]
    last = parts[-1]
    assert isinstance(last, Slots)
    slot, record = NUMBER.unpack_from(last.records)[0], last.records[NUMBER.size : NUMBER.size + SLOT.size]
    assert record == region.memory[region.offset(slot) : region.offset(slot) + SLOT.size]


def test_a_top_beyond_the_slots_does_no_harm(scene: Scene) -> None:
    scene.estate.shared.regions[0].words[Counter.TOP] = 2**60
    assert scene.ask(AskSessions())[-1] == Done()


def explained(scene: Scene, request: AskExplain = ASKED) -> Explanation:
    found, done = scene.ask(request)
    assert done == Done()
    assert isinstance(found, Explanation)
    return found


def test_a_datagram_is_explained_by_the_running_rules(scene: Scene) -> None:
    found = explained(scene)
    assert (found.verdict, found.rule, found.kind, found.target) == ("accepted", "INSIDE", "normal", "[192.0.2.53]:53")
    assert found.listener == "non-transparent [127.0.0.1] port 5300"
    assert [(check.rule, check.condition, check.holds) for check in found.checks] == [("INSIDE", "from", True)]
    other = explained(scene, AskExplain(bytes((11, 0, 0, 7)), 1, PROXY, 5300))
    assert (other.verdict, other.rule, other.kind) == ("dropped", "REST", None)


def test_what_the_rules_accept_is_dropped_by_a_proxy_that_drains_or_is_full(scene: Scene) -> None:
    scene.estate.shared.regions[0].words[Counter.SESSIONS] = 300
    assert explained(scene).reason == "max-sessions is reached"
    scene.chief.draining = True
    assert (explained(scene).verdict, explained(scene).reason) == ("dropped", "the proxy is draining")


def test_a_proxy_without_rules_has_nothing_to_explain(scene: Scene) -> None:
    settings = dataclasses.replace(scene.estate.settings, program="uftpproxyd")
    other = Answers(dataclasses.replace(scene.estate, settings=settings), scene.chief, "1", "")
    (refusal,) = other.answer(ASKED)
    assert refusal == Refused("uftpproxyd has no session-acl that could decide")


@pytest.mark.parametrize(
    "request_", [AskExplain(bytes(5), 1, PROXY, 1), AskExplain(CLIENT, 1, bytes(16), 1)], ids=["length", "versions"]
)
def test_addresses_that_are_none_are_refused(scene: Scene, request_: AskExplain) -> None:
    (refusal,) = scene.ask(request_)
    assert isinstance(refusal, Refused)


def test_a_kill_goes_to_each_worker_and_says_when_one_cannot_be_told(scene: Scene) -> None:
    assert scene.ask(AskKill([(0, 1, 2), (1, 3, 4), (0, 5, 6)])) == [Done()]
    assert scene.chief.orders == [(0, [(1, 2), (5, 6)]), (1, [(3, 4)])]
    assert isinstance(scene.ask(AskKill([(2, 1, 2)]))[0], Refused)


def test_a_uftp_proxys_records_are_no_sessions(scene: Scene) -> None:
    settings = dataclasses.replace(scene.estate.settings, program="uftpproxyd")
    other = Answers(dataclasses.replace(scene.estate, settings=settings), scene.chief, "1", "")
    assert list(other.answer(AskSessions())) == [Done()]
    assert [type(reply) for reply in other.answer(AskGroups())] == [protocol.Groups] * 2 + [Done]


def test_users_are_asked_for_by_name(scene: Scene) -> None:
    assert isinstance(scene.ask(AskUsers())[0], Refused)


def test_what_nobody_here_answers_is_refused(scene: Scene) -> None:
    (refusal,) = scene.ask(AskUpgrade())
    assert isinstance(refusal, Refused)


def test_level_and_drain_are_ordered(scene: Scene) -> None:
    assert scene.ask(AskLevel(9)) == [Done("the level is 9")]
    assert scene.ask(AskDrain(2.5)) == [Done("draining, 0 sessions are left")]
    assert scene.chief.orders == [(2.5,)]
    scene.chief.roster.held = True
    (refusal,) = scene.ask(AskDrain(2.5))
    assert isinstance(refusal, Refused)
    assert "its workers rest" in refusal.why
    scene.chief.roster.held = False
    scene.chief.roster.handle_stop()
    assert isinstance(scene.ask(AskDrain())[0], Refused)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (AskStatus(), None),
        (ASKED, None),
        (AskKill([(1, 2, 3), (0, 0, 0)]), "end 2 sessions, the first in slot 2 of worker 1"),
        (AskLevel(3), "log level 3"),
        (AskDrain(), "drain"),
        (AskDrain(2.5), "drain within 2.5 s"),
        (AskTap(1, 17, 5, 1, 1, 1), "copy the datagrams of the session in slot 17 of worker 1"),
        (AskUsers(), None),
        (AskGroups(), None),
    ],
)
def test_orders_are_described_and_questions_are_none(request_: protocol.Request, words: str | None) -> None:
    assert describe_order(request_) == words


def test_the_state_tells_how_the_last_reload_went_and_rules_of_older_generations(scene: Scene) -> None:
    earlier = dataclasses.replace(scene.estate.settings, acls=scene.estate.settings.acls[:1])
    scene.estate.earlier[7] = earlier
    scene.chief.last_reload = Outcome(3, 5.5, tuple(f"f:{line}:1: x" for line in range(20)))
    replies = scene.ask(protocol.AskStatus())
    (status,) = [reply for reply in replies if isinstance(reply, protocol.Status)]
    assert status.reload == protocol.ReloadState(3, 5.5, [f"f:{line}:1: x" for line in range(10)])
    rules = {reply.generation: reply.rules for reply in replies if isinstance(reply, protocol.Rules)}
    assert set(rules) == {None, 7}
    assert [rule.name for rule in rules[7]] == [acl.name for acl in earlier.acls]
