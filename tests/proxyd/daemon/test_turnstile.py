"""Requests for reloads are counted, and let pass together."""

from __future__ import annotations

from proxyd.daemon.turnstile import ALONE_NS, Turnstile


def test_all_who_have_asked_pass_together() -> None:
    turnstile = Turnstile()
    assert not turnstile.asked
    assert [turnstile.ask(), turnstile.ask()] == [1, 2]
    assert turnstile.asked
    assert turnstile.may_pass(5)
    assert (turnstile.covered, turnstile.asked) == (2, False)
    assert turnstile.ask() == 3
    assert (turnstile.covered, turnstile.asked) == (2, True)


def test_beside_another_program_each_waits_but_not_for_ever() -> None:
    turnstile = Turnstile()
    turnstile.alone = lambda: False
    for begun_ns in (7, 7 + 3 * ALONE_NS):
        turnstile.ask()
        late_ns = begun_ns + ALONE_NS
        assert [turnstile.may_pass(now_ns) for now_ns in (begun_ns, late_ns - 1, late_ns)] == [False, False, True]
    turnstile.ask()
    assert not turnstile.may_pass(8 * ALONE_NS)
    turnstile.alone = lambda: True
    assert turnstile.may_pass(8 * ALONE_NS)
