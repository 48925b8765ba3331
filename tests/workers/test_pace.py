"""When the loop waits for company, and when not."""

from __future__ import annotations

from workers.pace import BATCH, IDLE_NS, LONGEST_NS, STEADY_TURNS, Pace

MS = 1_000_000


def pauses(gap_ns: int, turns: int, datagrams: int = 1) -> list[float]:
    """Return the pauses of so many turns, each with datagrams that came gap_ns apart."""
    pace, now_ns, found = Pace(4_000_000), 10**12, []
    for _ in range(turns):
        now_ns += gap_ns * datagrams
        found.append(pace.pause_s(datagrams, now_ns))
    return found


def test_single_messages_never_wait() -> None:
    assert set(pauses(5 * MS, 100)) == {0.0}


def test_a_stream_is_gathered_once_it_is_steady() -> None:
    found = pauses(10_000, 200, 4)
    assert set(found[: STEADY_TURNS - 1]) == {0.0}
    assert found[-1] == BATCH * 10_000 / 1e9


def test_a_pause_is_bounded() -> None:
    assert max(pauses(40_000, 500, 2)) == LONGEST_NS / 1e9


def test_after_a_silence_it_begins_again() -> None:
    pace = Pace(4_000_000)
    for turn in range(100):
        pace.pause_s(4, turn * 40_000)
    assert pace.pause_s(4, 100 * 40_000)
    assert pace.pause_s(4, 100 * 40_000 + IDLE_NS + 1) == 0.0
    assert pace.pause_s(4, 101 * 40_000 + IDLE_NS + 1) == 0.0


def test_a_turn_that_finds_nothing_ends_the_stream() -> None:
    pace = Pace(4_000_000)
    for turn in range(100):
        pace.pause_s(4, turn * 40_000)
    assert pace.pause_s(0, 100 * 40_000) == 0.0
    assert pace.pause_s(4, 101 * 40_000) == 0.0


def test_a_small_buffer_makes_short_pauses() -> None:
    def longest(buffer_bytes: int) -> float:
        pace = Pace(buffer_bytes)
        return max(pace.pause_s(4, turn * 40_000) for turn in range(1, 200))

    assert longest(65_536) < longest(262_144) < longest(4_194_304)
