"""All workers at rest together, and then at work again."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxyd.daemon.rest import Rest
from proxyd.daemon.roster import Child, Role, Roster, State
from workers.contract.exitcodes import ExitCode


@dataclass
class Company:
    """Children that are only on the roster."""

    roster: Roster
    asked: list[str] = field(default_factory=list)

    def freeze(self, child: Child, now_ns: int) -> bool:
        self.asked.append(child.name)
        return self.roster.handle_freeze(child, now_ns)


def company() -> Company:
    return Company(Roster([Child(Role.WORKER, 0), Child(Role.WORKER, 1), Child(Role.RESOLVER, 0)], 5, 10**9))


def begin(roster: Roster) -> None:
    for pid, child in enumerate(roster.due(0), start=100):
        roster.handle_forked(child, pid)
        roster.handle_ready(child)


def test_each_worker_is_asked_once_and_all_rest_when_the_last_one_has_left() -> None:
    found = company()
    rest, roster = Rest(found), found.roster
    begin(roster)
    assert [rest.rest(0), rest.rest(1)] == [False, False]
    assert found.asked == ["worker 0", "worker 1"]
    for child in roster.children[:2]:
        assert not rest.rest(2)
        roster.handle_death(child, ExitCode.FROZEN, 2)
    assert rest.rest(3)
    assert roster.due(10**10) == [], "nobody is started meanwhile"


def test_afterwards_the_workers_are_due_at_once() -> None:
    found = company()
    rest, roster = Rest(found), found.roster
    rest.rest(0)
    rest.resume(7)
    assert [child.due_ns for child in roster.due(7) if child.role is Role.WORKER] == [7, 7]


def test_one_that_begins_just_now_is_asked_when_it_is_ready() -> None:
    found = company()
    rest, roster = Rest(found), found.roster
    for pid, child in enumerate(roster.due(0), start=100):
        roster.handle_forked(child, pid)
    assert not rest.rest(0)
    assert {child.state for child in roster.children} == {State.STARTING}
    for child in roster.children:
        roster.handle_ready(child)
    rest.rest(0)
    assert found.asked == ["worker 0", "worker 1"]
