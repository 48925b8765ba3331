"""Numbers of examples."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.kit.examples import NIGHT_FACTOR, examples


@pytest.mark.parametrize(("profile", "factor"), [("quick", 1), ("night", NIGHT_FACTOR)])
def test_more_are_tried_at_night(profile: str, factor: int) -> None:
    before = settings.get_current_profile_name()
    settings.load_profile(profile)
    try:
        assert examples(30).max_examples == 30 * factor
    finally:
        settings.load_profile(before)
