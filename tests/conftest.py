"""What every test may ask for: the skip policy is in force, `lab` and `here` are places to act in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.lab import Lab
from tests.kit.place import Place
from tests.kit.skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]


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
