"""The roster: states, replacements, backoff and the limit of deaths, against a naive reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxyd.daemon.roster import FREEZE_NS, TRANSITIONS, Child, Input, Role, Roster, State, Verdict
from workers.contract.exitcodes import ExitCode

SECOND = 1_000_000_000
KILLED = -9


def make_roster(workers: int = 2, count: int = 30, window_ns: int = 60 * SECOND) -> Roster:
    return Roster([Child(Role.WORKER, index) for index in range(workers)], count, window_ns)


def make_ready(roster: Roster, first_pid: int = 100) -> None:
    for pid, child in enumerate(roster.due(0), first_pid):
        roster.handle_forked(child, pid)
        roster.handle_ready(child)


def test_every_state_has_a_row() -> None:
    assert set(TRANSITIONS) == set(State)


def test_children_are_named_for_the_log() -> None:
    assert [child.name for child in (Child(Role.WORKER, 3), Child(Role.RESOLVER, 0))] == ["worker 3", "resolver"]


def test_all_children_are_due_at_the_start_and_the_proxy_started_when_all_are_ready() -> None:
    roster = make_roster()
    first, second = roster.due(0)
    roster.handle_forked(first, 1)
    roster.handle_forked(second, 2)
    roster.handle_ready(first)
    assert not roster.started
    roster.handle_ready(second)
    assert roster.started
    assert roster.due(10**18) == []
    assert roster.next_due_ns() is None


def test_a_ready_child_that_dies_is_due_at_once() -> None:
    roster = make_roster()
    make_ready(roster)
    child = roster.children[0]
    assert roster.handle_death(child, KILLED, 5) is Verdict.REPLACE
    assert roster.due(5) == [child]
    assert roster.next_due_ns() == 5
    assert roster.alive == [roster.children[1]]


@pytest.mark.parametrize("code", [code for code in ExitCode if code.fatal])
def test_a_child_that_would_only_fail_again_ends_the_proxy(code: ExitCode) -> None:
    roster = make_roster()
    make_ready(roster)
    assert roster.handle_death(roster.children[0], code, 5) is Verdict.FATAL


@pytest.mark.parametrize("code", [ExitCode.CRASHED, ExitCode.STOPPED, KILLED])
def test_a_child_that_dies_before_the_proxy_has_started_ends_it_unless_it_was_ready(code: int) -> None:
    roster = make_roster()
    first, second = roster.due(0)
    roster.handle_forked(first, 1)
    roster.handle_forked(second, 2)
    roster.handle_ready(first)
    assert roster.handle_death(first, code, 1) is Verdict.REPLACE
    assert roster.handle_death(second, code, 1) is Verdict.FATAL


def test_one_that_keeps_dying_before_it_is_ready_waits_longer_each_time_and_a_minute_at_most() -> None:
    roster = make_roster(workers=1)
    make_ready(roster)
    (child,) = roster.children
    now_ns, waits = 0, []
    roster.handle_death(child, KILLED, now_ns)
    for _ in range(10):
        now_ns = roster.next_due_ns() or 0
        roster.handle_forked(child, 7)
        assert roster.handle_death(child, KILLED, now_ns) is Verdict.REPLACE
        waits.append((child.due_ns - now_ns) // SECOND)
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_being_ready_once_ends_the_waiting() -> None:
    roster = make_roster(workers=1)
    make_ready(roster)
    (child,) = roster.children
    for _ in range(4):
        roster.handle_death(child, KILLED, 0)
        roster.handle_forked(child, 7)
    roster.handle_ready(child)
    roster.handle_death(child, KILLED, 0)
    assert child.due_ns == 0


def test_so_many_deaths_are_survived_and_one_more_is_not() -> None:
    roster = make_roster(count=3)
    make_ready(roster)
    child = roster.children[0]
    verdicts = []
    for turn in range(4):
        verdicts.append(roster.handle_death(child, KILLED, turn))
        roster.handle_forked(child, turn + 1)
        roster.handle_ready(child)
    assert verdicts == [Verdict.REPLACE] * 3 + [Verdict.TOO_MANY]


def test_a_stopping_proxy_replaces_nobody_and_takes_a_late_ready() -> None:
    roster = make_roster()
    first, second = roster.due(0)
    roster.handle_forked(first, 1)
    roster.handle_stop()
    roster.handle_ready(first)
    assert first.state is State.STOPPING
    assert roster.handle_death(first, ExitCode.BOOT, 5) is Verdict.EXPECTED
    assert roster.due(10**18) == []
    assert roster.next_due_ns() is None
    assert second.state is State.DEAD


def test_a_worker_that_leaves_its_work_as_asked_is_replaced_at_once_and_has_not_died() -> None:
    roster = make_roster(count=0)
    make_ready(roster)
    child = roster.children[0]
    assert roster.handle_freeze(child, 7)
    assert child.state is State.FREEZING
    assert roster.due(10**18) == []
    assert roster.handle_death(child, ExitCode.FROZEN, 9) is Verdict.LEFT
    assert roster.due(9) == [child]
    roster.handle_forked(child, 7)
    assert child.lives == 2


def test_a_resolver_that_is_asked_to_leave_just_stops() -> None:
    roster = Roster([Child(Role.RESOLVER, 0)], 0, SECOND)
    make_ready(roster)
    assert roster.handle_freeze(roster.children[0], 0)
    assert roster.handle_death(roster.children[0], ExitCode.STOPPED, 1) is Verdict.LEFT


@pytest.mark.parametrize("asked", [True, False])
def test_leaving_otherwise_than_asked_is_a_death(asked: bool) -> None:
    roster = make_roster()
    make_ready(roster)
    child = roster.children[0]
    code = ExitCode.CRASHED if asked else ExitCode.FROZEN
    assert not asked or roster.handle_freeze(child, 0)
    assert roster.handle_death(child, code, 1) is Verdict.REPLACE
    assert child.due_ns == 1


def test_who_takes_too_long_to_leave_is_overdue() -> None:
    roster = make_roster()
    make_ready(roster)
    child = roster.children[0]
    roster.handle_freeze(child, 0)
    assert roster.next_due_ns() == FREEZE_NS
    assert roster.overdue(FREEZE_NS - 1) == []
    assert roster.overdue(FREEZE_NS) == [child]


def test_only_one_who_is_ready_can_be_asked_to_leave() -> None:
    roster = make_roster()
    first, _ = roster.due(0)
    assert not roster.handle_freeze(first, 0)
    roster.handle_forked(first, 1)
    assert not roster.handle_freeze(first, 0)
    roster.handle_ready(first)
    assert roster.handle_freeze(first, 0)
    assert not roster.handle_freeze(first, 0)


def test_while_workers_are_held_back_only_others_are_started() -> None:
    roster = Roster([Child(Role.WORKER, 0), Child(Role.MONITOR, 0)], 30, SECOND)
    roster.held = True
    assert [child.role for child in roster.due(0)] == [Role.MONITOR]
    roster.held = False
    assert len(roster.due(0)) == 2


def test_a_ready_child_may_not_say_ready_again() -> None:
    roster = make_roster()
    make_ready(roster)
    with pytest.raises(KeyError):
        roster.handle_ready(roster.children[0])


@given(
    deaths=st.lists(st.integers(0, 20), max_size=60).map(sorted), count=st.integers(0, 10), window=st.integers(1, 20)
)
def test_the_limit_agrees_with_counting(deaths: list[int], count: int, window: int) -> None:
    roster = make_roster(workers=1, count=count, window_ns=window)
    make_ready(roster)
    (child,) = roster.children
    for number, now_ns in enumerate(deaths):
        recent = sum(1 for death in deaths[: number + 1] if death > now_ns - window)
        expected = Verdict.TOO_MANY if recent > count else Verdict.REPLACE
        assert roster.handle_death(child, KILLED, now_ns) is expected
        roster.handle_forked(child, 1)
        roster.handle_ready(child)


def test_there_can_be_more_workers_and_fewer_and_the_others_stay_behind_them() -> None:
    roster = Roster([Child(Role.WORKER, 0), Child(Role.WORKER, 1), Child(Role.RESOLVER, 0)], 1, SECOND)
    first, second, resolver = roster.children
    roster.resize(4)
    assert [child.name for child in roster.children] == ["worker 0", "worker 1", "worker 2", "worker 3", "resolver"]
    assert roster.children[:2] == [first, second]
    assert {child.index for child in roster.due(0) if child.role is Role.WORKER} == {0, 1, 2, 3}
    roster.resize(1)
    assert roster.children == [first, resolver]


def may_say_ready(child: Child) -> bool:
    return Input.SAID_READY in TRANSITIONS[child.state]


class AnyLife(RuleBasedStateMachine):
    """Everything that can happen to a roster, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.roster = make_roster(workers=3, count=5, window_ns=10 * SECOND)
        self.now_ns = 0
        self.next_pid = 1

    @rule(seconds=st.integers(0, 100))
    def time_passes(self, seconds: int) -> None:
        self.now_ns += seconds * SECOND

    @rule()
    def start_due(self) -> None:
        for child in self.roster.due(self.now_ns):
            self.roster.handle_forked(child, self.next_pid)
            self.next_pid += 1

    @precondition(lambda self: any(map(may_say_ready, self.roster.alive)))
    @rule(data=st.data())
    def one_is_ready(self, data: st.DataObject) -> None:
        able = list(filter(may_say_ready, self.roster.alive))
        self.roster.handle_ready(data.draw(st.sampled_from(able)))

    @precondition(lambda self: self.roster.alive)
    @rule(data=st.data(), code=st.sampled_from([KILLED, *ExitCode]))
    def one_dies(self, data: st.DataObject, code: int) -> None:
        child = data.draw(st.sampled_from(self.roster.alive))
        stopping = self.roster.stopping
        verdict = self.roster.handle_death(child, code, self.now_ns)
        assert (verdict is Verdict.EXPECTED) == stopping
        if verdict is Verdict.REPLACE:
            assert self.now_ns <= child.due_ns <= self.now_ns + 60 * SECOND

    @precondition(lambda self: self.roster.alive)
    @rule(data=st.data())
    def one_is_asked_to_leave(self, data: st.DataObject) -> None:
        child = data.draw(st.sampled_from(self.roster.alive))
        ready = child.state is State.READY
        assert self.roster.handle_freeze(child, self.now_ns) == ready

    @rule()
    def stop(self) -> None:
        self.roster.handle_stop()

    @invariant()
    def a_process_is_there_exactly_where_the_state_says_so(self) -> None:
        assert all((child.pid == 0) == (child.state is State.DEAD) for child in self.roster.children)
        pids = [child.pid for child in self.roster.alive]
        assert len(pids) == len(set(pids))

    @invariant()
    def who_is_due_is_dead_and_nobody_is_when_stopping(self) -> None:
        due = self.roster.due(self.now_ns)
        assert all(child.state is State.DEAD for child in due)
        assert not (due and self.roster.stopping)

    @invariant()
    def a_stopping_roster_has_nobody_at_work(self) -> None:
        if self.roster.stopping:
            assert {child.state for child in self.roster.children} <= {State.STOPPING, State.DEAD}


TestAnyLife = AnyLife.TestCase
