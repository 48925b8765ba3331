"""Reloads as who asks for them sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from proxyd.control.client import Connection, RefusedError
from proxyd.control.protocol import (
    AskReload,
    Change,
    Changes,
    Judged,
    Judgements,
    Mistakes,
    Notes,
    Reply,
    Request,
    Step,
)
from proxyd.control.reloads import Answer, ask_rehearsal, order_reload, rehearsal_text


class Scripted:
    """Stands for a connection: yields replies, and refuses at the end where it is told to."""

    def __init__(self, *replies: Reply, refused: str = "") -> None:
        self.asked: list[Request] = []
        self._replies = replies
        self._refused = refused

    def ask(self, request: Request) -> Iterator[Reply]:
        self.asked.append(request)
        yield from self._replies
        if self._refused:
            raise RefusedError(self._refused)


def connection(scripted: Scripted) -> Connection:
    return cast("Connection", scripted)


def test_a_reload_that_is_done_has_no_mistakes_and_tells_how_it_goes() -> None:
    scripted, told = Scripted(Step("one"), Step("two")), list[str]()
    assert order_reload(connection(scripted), told.append) == Answer([], [])
    assert told == ["one", "two"]
    assert scripted.asked == [AskReload()]


def test_all_mistakes_of_a_refused_reload_are_collected() -> None:
    scripted = Scripted(Mistakes(["a", "b"]), Mistakes(["c"]), refused="nothing has changed")
    assert order_reload(connection(scripted), print) == Answer(["a", "b", "c"], [])


def test_what_may_not_be_meant_is_told_with_a_reload_that_is_done() -> None:
    scripted = Scripted(Notes(["a"]), Notes(["b", "c"]))
    assert order_reload(connection(scripted), print) == Answer([], ["a", "b", "c"])


def test_a_reload_that_is_refused_for_no_mistake_says_why() -> None:
    assert order_reload(connection(Scripted(refused="no way")), print) == Answer(["no way"], [])


def test_a_rehearsal_is_put_together_of_its_parts() -> None:
    change = Change("listener", "added", "non-transparent [::1] port 5", "")
    good = Judged(3, 1_000_000, "[10.0.0.1]:9", "[10.0.0.9]:5", True, "A", "a session would begin")
    bad = Judged(4, 2_000_000, "[10.0.0.2]:9", "[10.0.0.9]:5", False, None, "no session-acl fits")
    scripted = Scripted(Changes([change]), Judgements(0, [good]), Judgements(1, [bad]))
    found = ask_rehearsal(connection(scripted))
    assert scripted.asked == [AskReload(dry_run=True)]
    assert found.changes == [change]
    assert [(session.id, session.accepted) for session in found.sessions] == [("0.3.000rs", True), ("1.4.001jk", False)]
    assert [session.id for session in found.refused] == ["1.4.001jk"]
    text = rehearsal_text(found)
    assert "non-transparent [::1] port 5" in text
    assert "2 sessions would be kept; 1 of them would not be let in anew" in text
    assert "[10.0.0.2]:9" in text
    assert "[10.0.0.1]:9" not in text
    assert "cannot be said" not in text


def test_who_depends_on_names_that_nobody_has_resolved_is_neither_let_in_nor_refused() -> None:
    doubtful = Judged(3, 0, "[10.0.0.1]:9", "[10.0.0.9]:5", False, None, "no session-acl fits", ["b.example"])
    other = Judged(4, 0, "[10.0.0.2]:9", "[10.0.0.9]:5", True, "A", "a session would begin", ["a.example", "b.example"])
    found = ask_rehearsal(connection(Scripted(Notes(["f:1:1: a note"]), Judgements(0, [doubtful, other]))))
    assert found.refused == []
    assert len(found.doubtful) == 2
    text = rehearsal_text(found)
    assert "\nf:1:1: a note\n" in text
    assert "2 sessions would be kept; 0 of them would not be let in anew\n" in text
    assert "of 2 it cannot be said before these names are resolved: a.example, b.example\n" in text
    assert "no session-acl fits" not in text


def test_a_rehearsal_that_would_not_be_taken_tells_its_mistakes() -> None:
    found = ask_rehearsal(connection(Scripted(Mistakes(["f:1:1: x"]), refused="would not")))
    assert rehearsal_text(found) == "the configuration would not be taken:\nf:1:1: x\n"


def test_where_nothing_would_change_that_is_said() -> None:
    assert rehearsal_text(ask_rehearsal(connection(Scripted()))).startswith("nothing would change\n")
