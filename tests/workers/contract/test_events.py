"""An event is wanted where a line of it is; the digits of uftpproxyd's levels are levels like the letters."""

from __future__ import annotations

import pytest

from workers.contract.events import LEVEL_BASE, Event, Kind, Line


@pytest.mark.parametrize(("letter", "from_level"), [("0", 4), ("2", 6), ("5", 9), ("D", 7), ("K", 0)])
def test_a_line_is_wanted_from_its_level_on(letter: str, from_level: int) -> None:
    event = Event("some", (("text", Kind.TEXT),), (Line(f"TEST-100-{letter}", "{text}"),))
    assert [event.wanted_at(level) for level in range(3, 10)] == [level >= from_level for level in range(3, 10)]


def test_level_nought_is_written_from_the_base_on() -> None:
    assert Event("some", (), (Line("TEST-100-0", "text"),)).wanted_at(LEVEL_BASE)
    assert not Event("some", (), (Line("TEST-100-0", "text"),)).wanted_at(LEVEL_BASE - 1)
