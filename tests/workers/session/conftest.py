"""What the tests of sessions ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.session_parts import Pool


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Three free sessions."""
    with Pool(3) as made:
        yield made
