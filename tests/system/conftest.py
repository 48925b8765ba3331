"""What the system tests may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.installed import pidfile
from tests.kit.proxy import unique_name


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a proxy; whatever is left of its pidfile after the test is deleted."""
    given = unique_name()
    yield given
    pidfile(given).unlink(missing_ok=True)
