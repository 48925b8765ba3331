"""When a loop waits before it looks again."""

from __future__ import annotations

import pytest

from workers.linger import LONGEST_NS, Linger

WINDOW_NS = 2_000_000
NOW_NS = 10**9


def run(windows: int, *, turns: int, used_percent: int, linger: Linger | None = None) -> Linger:
    """Let a loop run for so many windows with as many turns each."""
    linger = linger or Linger()
    linger.adapt(0, 0, NOW_NS)
    for window in range(1, windows + 1):
        linger.adapt(turns, window * WINDOW_NS * used_percent // 100, NOW_NS + window * WINDOW_NS)
    return linger


def test_a_loop_with_many_short_turns_and_a_full_processor_waits_up_to_the_longest_pause() -> None:
    assert run(1, turns=100, used_percent=99).pause_s > 0
    assert run(50, turns=100, used_percent=99).pause_s == pytest.approx(LONGEST_NS / 1e9)


def test_a_loop_that_has_time_left_never_waits() -> None:
    assert run(50, turns=100, used_percent=40).pause_s == 0


def test_a_loop_whose_turns_are_full_never_waits() -> None:
    assert run(50, turns=4, used_percent=99).pause_s == 0


@pytest.mark.parametrize(("turns", "used_percent"), [(100, 10), (4, 99)])
def test_the_pause_goes_when_its_reason_goes(turns: int, used_percent: int) -> None:
    waiting = run(50, turns=100, used_percent=99)

    assert run(10, turns=turns, used_percent=used_percent, linger=waiting).pause_s == 0


def test_the_pause_stays_while_the_processor_is_used_as_intended() -> None:
    waiting = run(3, turns=100, used_percent=99)
    pause_s = waiting.pause_s

    assert run(10, turns=30, used_percent=60, linger=waiting).pause_s == pause_s
