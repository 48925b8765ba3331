"""When a loop waits before it looks again."""

from __future__ import annotations

import pytest

from workers.linger import LONGEST_NS, Linger

WINDOW_NS = 2_000_000
DATAGRAMS = 400


class Loop:
    """A loop with a clock, that uses some of the processor."""

    def __init__(self) -> None:
        self.linger = Linger()
        self._now_ns = self._used_ns = self._datagrams = 10**9
        self.linger.adapt(0, self._datagrams, self._used_ns, self._now_ns)

    def run(self, windows: int, *, turns: int, used_percent: int) -> float:
        """Run for so many windows, with DATAGRAMS in as many turns each; return the pause after them."""
        for _ in range(windows):
            self._now_ns += WINDOW_NS
            self._datagrams += DATAGRAMS
            self._used_ns += WINDOW_NS * used_percent // 100
            self.linger.adapt(turns, self._datagrams, self._used_ns, self._now_ns)
        return self.linger.pause_s


def test_a_loop_with_many_small_turns_and_a_full_processor_waits_up_to_the_longest_pause() -> None:
    loop = Loop()

    assert loop.run(1, turns=100, used_percent=99) > 0
    assert loop.run(50, turns=100, used_percent=99) == pytest.approx(LONGEST_NS / 1e9)


def test_a_loop_that_has_time_left_never_waits() -> None:
    assert Loop().run(50, turns=100, used_percent=40) == 0


def test_a_loop_whose_turns_are_full_never_waits() -> None:
    assert Loop().run(50, turns=4, used_percent=99) == 0


@pytest.mark.parametrize(("turns", "used_percent"), [(100, 10), (4, 99)])
def test_the_pause_goes_when_its_reason_goes(turns: int, used_percent: int) -> None:
    loop = Loop()

    assert loop.run(50, turns=100, used_percent=99) > 0
    assert loop.run(10, turns=turns, used_percent=used_percent) == 0


def test_the_pause_stays_while_the_processor_is_used_as_intended() -> None:
    loop = Loop()
    pause_s = loop.run(3, turns=100, used_percent=99)

    assert loop.run(10, turns=30, used_percent=60) == pause_s
