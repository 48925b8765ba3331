"""Whether the proxy is alive: who has nothing to do may rest, who does nothing while datagrams wait is stuck."""

from __future__ import annotations

from proxyd.daemon.pulse import Beat, Pulse

S = 10**9


def test_a_worker_that_turns_is_alive_however_much_waits() -> None:
    pulse = Pulse(S)
    assert [pulse.look(turn * S, {0: Beat(turn, True)}) for turn in range(4)] == [[]] * 4


def test_a_worker_without_work_may_stand_still() -> None:
    pulse = Pulse(S)
    assert [pulse.look(turn * S, {0: Beat(7, False)}) for turn in range(4)] == [[]] * 4


def test_a_worker_that_stands_still_while_datagrams_wait_is_stuck_until_it_turns() -> None:
    pulse = Pulse(S)
    seen = [pulse.look(0, {0: Beat(turns, True), 1: Beat(5, False)}) for turns in (7, 7, 7, 8)]
    assert seen == [[], [0], [0], []]


def test_datagrams_that_have_just_come_prove_nothing() -> None:
    pulse = Pulse(S)
    pulse.look(0, {0: Beat(7, False)})
    assert pulse.look(S, {0: Beat(7, True)}) == []
    assert pulse.look(2 * S, {0: Beat(7, True)}) == [0]


def test_a_worker_that_is_not_ready_at_one_look_begins_anew() -> None:
    pulse = Pulse(S)
    pulse.look(0, {0: Beat(7, True)})
    pulse.look(S, {})
    assert pulse.look(2 * S, {0: Beat(7, True)}) == []


def test_a_look_is_due_at_once_and_then_from_time_to_time() -> None:
    pulse = Pulse(S)
    assert pulse.due(5)
    pulse.look(5, {})
    assert not pulse.due(S + 4)
    assert pulse.wait_ns(S + 4, S) == 1
    assert pulse.wait_ns(6, 100) == 100
    assert pulse.due(S + 5)


def test_where_no_sign_is_wanted_no_look_is_ever_due() -> None:
    assert not Pulse(0).due(10**18)
    assert Pulse(0).wait_ns(5, 100) == 100
