"""How many examples a property test tries where the profile's number is not right: at night ten times as many."""

from __future__ import annotations

from hypothesis import settings

NIGHT_FACTOR = 10
MOST_BY_DAY = 1_000
"""The profile of the night tries more than that of each property."""


def examples(by_day: int) -> settings:
    """Return what decorates a test that is to try so many examples by day, and many more at night."""
    return settings(max_examples=by_day * NIGHT_FACTOR if settings().max_examples > MOST_BY_DAY else by_day)
