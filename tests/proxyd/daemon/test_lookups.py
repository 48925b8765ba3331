"""Questions for names: bounded, answered to who asked, forgotten with who would answer."""

from __future__ import annotations

import pytest

from proxyd.daemon.handout import Handouts
from proxyd.daemon.lookups import LOOKUPS_A_WORKER, Lookups
from proxyd.daemon.roster import Child, Role
from workers.contract.channel import ChildEnd, ParentEnd, open_channel
from workers.contract.messages import Looked, Lookup, ToChild

WORKER, RESOLVER = Child(Role.WORKER, 1), Child(Role.RESOLVER, 0)
QUESTION, ANSWER = Lookup(9, 4, bytes(4)), Looked(1, 4, bytes(4), "a.example", 60)


class Post:
    def __init__(self) -> None:
        self.handouts = Handouts()
        self.lookups = Lookups(self.handouts)
        self.channel: tuple[ParentEnd, ChildEnd] = open_channel()

    def sent_to(self, child: Child) -> list[ToChild]:
        """Return what waits for a child."""
        found: list[ToChild] = []
        before = -1
        while len(found) > before:
            before = len(found)
            self.handouts.send(child, self.channel[0])
            while (message := self.channel[1].receive()) is not None:
                found.append(message)
        return found


@pytest.fixture
def post() -> Post:
    return Post()


def test_a_question_goes_on_with_the_number_of_the_worker_that_has_the_channel(post: Post) -> None:
    post.lookups.ask(WORKER, RESOLVER, QUESTION)
    assert post.sent_to(RESOLVER) == [Lookup(1, 4, bytes(4))]


def test_without_a_resolver_a_question_is_left(post: Post) -> None:
    post.lookups.ask(WORKER, None, QUESTION)
    assert not post.handouts.waiting


def test_a_worker_has_so_many_questions_under_way_and_no_more(post: Post) -> None:
    for _ in range(LOOKUPS_A_WORKER + 5):
        post.lookups.ask(WORKER, RESOLVER, QUESTION)
    assert len(post.sent_to(RESOLVER)) == LOOKUPS_A_WORKER
    post.lookups.answer([WORKER], ANSWER)
    post.lookups.ask(WORKER, RESOLVER, QUESTION)
    post.lookups.ask(WORKER, RESOLVER, QUESTION)
    assert len(post.sent_to(RESOLVER)) == 1


def test_an_answer_goes_to_who_asked_and_is_there_still(post: Post) -> None:
    post.lookups.answer([WORKER], ANSWER)
    assert post.sent_to(WORKER) == [], "nobody has asked"
    post.lookups.ask(WORKER, RESOLVER, QUESTION)
    post.lookups.answer([], ANSWER)
    assert post.sent_to(WORKER) == [], "gone"
    post.lookups.answer([WORKER], ANSWER)
    assert post.sent_to(WORKER) == [ANSWER]


@pytest.mark.parametrize("everything", [True, False])
def test_what_is_forgotten_is_not_answered(post: Post, everything: bool) -> None:
    post.lookups.ask(WORKER, RESOLVER, QUESTION)
    if everything:
        post.lookups.clear()
    else:
        post.lookups.forget(WORKER)
    post.lookups.answer([WORKER], ANSWER)
    assert post.sent_to(WORKER) == []
