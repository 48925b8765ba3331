"""How a sweep is divided: small portions, every session once, and an end in time."""

from __future__ import annotations

import pytest

from tests.kit.traffic import forward_to
from workers.session.admission import compile_terms
from workers.session.session import Session
from workers.sweep import PORTION, SPAN_NS, SWEEP_NS, Sweep

T0 = 1_000_000_000
MS = 1_000_000


def sessions(count: int) -> list[Session]:
    terms = compile_terms(forward_to(("127.0.0.1", 53)), frozenset())
    assert terms is not None
    return [Session(terms, T0, number, number + 1) for number in range(count)]


def sweep_all(sweep: Sweep, turn_ns: int) -> tuple[list[list[Session]], int]:
    """Take a whole sweep in turns of the same length; return its portions, and how long it took."""
    portions, now_ns = [], T0
    while sweep.left:
        portions.append(sweep.take(now_ns))
        now_ns += turn_ns
    return portions, now_ns - turn_ns - T0


@pytest.mark.parametrize("turn_ns", [0, 100_000, 2 * MS])
def test_of_a_thousand_sessions_few_are_taken_at_a_time(turn_ns: int) -> None:
    sweep = Sweep(T0)
    sweep.begin(sessions(1_000), T0)
    portions, _ = sweep_all(sweep, turn_ns)
    assert {len(portion) for portion in portions} == {PORTION}


@pytest.mark.parametrize("count", [1, PORTION, PORTION + 1, 8_000])
@pytest.mark.parametrize("turn_ns", [0, 2 * MS, 30 * MS])
def test_every_session_is_taken_once_and_in_time(count: int, turn_ns: int) -> None:
    sweep, everybody = Sweep(T0), sessions(count)
    sweep.begin(list(everybody), T0)
    portions, took_ns = sweep_all(sweep, turn_ns)
    taken = [session for portion in portions for session in portion]
    assert len(taken) == len(set(taken)) == count
    assert took_ns <= SPAN_NS + turn_ns


def test_the_next_sweep_is_due_in_time_and_not_before_the_last_has_ended() -> None:
    sweep = Sweep(T0)
    assert sweep.is_due(T0)
    sweep.begin(sessions(PORTION + 1), T0)
    assert not sweep.is_due(T0 + SWEEP_NS)
    sweep_all(sweep, MS)
    assert not sweep.is_due(T0 + SWEEP_NS - 1)
    assert sweep.is_due(T0 + SWEEP_NS)


def test_a_sweep_over_nobody_is_over_at_once() -> None:
    sweep = Sweep(T0)
    sweep.begin([], T0)
    assert not sweep.left
    assert sweep.is_due(T0 + SWEEP_NS)


def test_it_is_known_when_the_sweep_before_began() -> None:
    sweep = Sweep(T0)
    sweep.begin(sessions(1), T0)
    sweep.begin(sessions(1), T0 + SWEEP_NS)
    assert sweep.since_ns == T0
