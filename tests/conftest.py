"""What every test may ask for: the skip policy is in force, `lab` and `here` are places to act in.

HYPOTHESIS_PROFILE: `quick` (the default) tries the same examples each time, `night` many more and always others; then
tests marked `night` run too, and those with real processes in all their variants.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest
from hypothesis import HealthCheck, settings

from tests.kit.lab import Lab
from tests.kit.place import Place
from tests.kit.process import ending
from tests.kit.skips import pytest_make_collect_report, pytest_runtest_makereport
from tests.kit.variants import cover

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]

# No deadline and no complaint about slow examples: nothing here depends on how busy the machine is.
settings.register_profile(
    "quick", max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "night", settings.get_profile("quick"), max_examples=5_000, derandomize=False, print_blob=True
)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")
settings.load_profile(PROFILE)

HERE = Path(__file__).parent
MANY_DESCRIPTORS = 256
_most_descriptors = [MANY_DESCRIPTORS]
REAL_PROCESSES = frozenset({"daemon", "etc", "interop", "system"})


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what takes too long by day to the night."""
    if PROFILE == "night":
        return
    later = {item for item in items if item.get_closest_marker("night")}
    groups: dict[object, list[pytest.Function]] = {}
    for item in items:
        if item not in later and has_variants(item):
            groups.setdefault(item.function, []).append(item)
    for group in groups.values():
        chosen = cover([{name: repr(value) for name, value in item.callspec.params.items()} for item in group])
        later.update(item for position, item in enumerate(group) if position not in chosen)
    config.hook.pytest_deselected(items=[item for item in items if item in later])
    items[:] = [item for item in items if item not in later]


def has_variants(item: pytest.Item) -> TypeGuard[pytest.Function]:
    """Tell whether a test has real processes, and parameters."""
    real = item.path.relative_to(HERE).parts[0] in REAL_PROCESSES
    return real and isinstance(item, pytest.Function) and hasattr(item, "callspec")


@pytest.fixture(autouse=True)
def _ending() -> Iterator[None]:
    """Whatever a test starts ends with it, also where nobody closes the place that it was started in."""
    with ending():
        yield


@pytest.fixture(autouse=True)
def _few_descriptors() -> Iterator[None]:
    """Sockets that lie in cycles are closed before there are so many that select(2) takes none any more.

    Looking for cycles takes as long as many tests: again only when twice as many are open as were left.
    """
    yield
    if count_descriptors() > _most_descriptors[0]:
        gc.collect()
        _most_descriptors[0] = max(MANY_DESCRIPTORS, 2 * count_descriptors())


def count_descriptors() -> int:
    """Return how many files and sockets this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


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
