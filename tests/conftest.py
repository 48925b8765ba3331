"""What every test may ask for: the skip policy is in force, `lab` and `here` are places to act in.

HYPOTHESIS_PROFILE: `quick` (the default) tries the same examples each time, `night` many more and always others; then
tests marked `night` run too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.kit.lab import Lab
from tests.kit.place import Place
from tests.kit.skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]

# No deadline and no complaint about slow examples: nothing here depends on how busy the machine is.
settings.register_profile("quick", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "night", settings.get_profile("quick"), max_examples=5_000, derandomize=False, print_blob=True
)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")
settings.load_profile(PROFILE)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what takes too long by day to the night."""
    if PROFILE == "night":
        return
    later = [item for item in items if item.get_closest_marker("night")]
    config.hook.pytest_deselected(items=later)
    items[:] = [item for item in items if not item.get_closest_marker("night")]


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Three machines on two networks (needs root: mark the test with requires_root and requires_program)."""
    with Lab() as built:
        yield built


@pytest.fixture
def here() -> Iterator[Place]:
    """The machine itself; what is started through it ends with the test."""
    place = Place()
    yield place
    place.close()
