"""Children are renewed one after the other, whatever happens meanwhile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxyd.daemon.rollout import Rollout
from proxyd.daemon.roster import Child, Role, Roster, State
from workers.contract.exitcodes import ExitCode


class Site:
    """A roster of ready children, and the rollout that renews them all."""

    def __init__(self, count: int = 3) -> None:
        self.children = [Child(Role.WORKER, index) for index in range(count)]
        self.roster = Roster(self.children, 1000, 10)
        self.named: set[Child] = set(self.children)
        self.start()
        self.ready()
        self.rollout = Rollout(self.children, lambda child: child in self.named)

    def start(self) -> None:
        for child in self.roster.due(10**18):
            self.roster.handle_forked(child, 1 + child.index + 10 * child.lives)

    def ready(self) -> None:
        for child in self.children:
            if child.state is State.STARTING:
                self.roster.handle_ready(child)

    def end(self, child: Child, code: int) -> None:
        self.roster.handle_death(child, code, 0)

    def leave(self, child: Child) -> None:
        assert self.roster.handle_freeze(child, 0)
        self.end(child, ExitCode.FROZEN)


def test_one_is_renewed_after_the_other() -> None:
    site = Site()
    for child in site.children:
        assert site.rollout.next() is child
        assert site.roster.handle_freeze(child, 0)
        assert site.rollout.next() is None, "it is leaving"
        site.end(child, ExitCode.FROZEN)
        assert site.rollout.next() is None, "its replacement is not there"
        site.start()
        assert site.rollout.next() is None, "its replacement does not serve yet"
        site.ready()
    assert site.rollout.next() is None
    assert site.rollout.finished


def test_one_that_dies_before_its_turn_is_renewed_already() -> None:
    site = Site()
    site.end(site.children[1], -9)
    site.start()
    site.ready()
    site.leave(site.children[0])
    site.start()
    site.ready()
    assert site.rollout.next() is site.children[2]


def test_one_that_is_starting_with_the_old_settings_is_waited_for() -> None:
    site = Site()
    site.end(site.children[0], -9)
    site.start()
    rollout = Rollout(site.children)
    assert rollout.next() is None
    site.ready()
    assert rollout.next() is site.children[0]


def test_one_whose_replacement_keeps_dying_is_waited_for() -> None:
    site = Site()
    site.leave(site.children[0])
    for _ in range(3):
        site.start()
        site.end(site.children[0], -9)
        assert site.rollout.next() is None
    assert site.rollout.left == 3


def test_the_others_wait_until_one_has_what_they_need_of_it() -> None:
    site = Site()
    site.named.discard(site.children[0])
    site.leave(site.children[0])
    site.start()
    site.ready()
    assert site.rollout.next() is None
    site.named.add(site.children[0])
    assert site.rollout.next() is site.children[1]


def test_one_that_is_dismissed_is_asked_to_leave_and_not_waited_for() -> None:
    site = Site(1)
    (child,) = site.children
    child.dismissed = True
    assert site.rollout.next() is child
    site.leave(child)
    site.start()
    assert child.state is State.DEAD
    assert site.rollout.next() is None
    assert site.rollout.finished


@given(st.lists(st.sampled_from(["turn", "start", "ready", "kill0", "kill1", "kill2"]), max_size=60))
def test_whatever_dies_meanwhile_never_two_are_away_by_our_doing_and_it_comes_to_an_end(events: list[str]) -> None:
    site = Site()
    lives = [child.lives for child in site.children]
    for event in events:
        if event == "turn":
            child = site.rollout.next()
            if child is not None:
                assert all(child.state is not State.FREEZING for child in site.children)
                site.roster.handle_freeze(child, 0)
        elif event.startswith("kill"):
            victim = site.children[int(event[-1])]
            if victim.state is not State.DEAD:
                site.end(victim, ExitCode.FROZEN if victim.state is State.FREEZING else -9)
        else:
            getattr(site, event)()
    for _ in range(20):
        for child in site.children:
            if child.state is State.FREEZING:
                site.end(child, ExitCode.FROZEN)
        site.start()
        site.ready()
        leaving = site.rollout.next()
        if leaving is not None:
            site.leave(leaving)
    assert site.rollout.finished
    assert all(child.lives > before for child, before in zip(site.children, lives, strict=True))
