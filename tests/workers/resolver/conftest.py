"""What the resolver's tests may ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.kit.place import Place
from tests.workers.resolver.name_server import start_name_server


@pytest.fixture
def name_server(here: Place, tmp_path: Path) -> Callable[..., int]:
    """Start a name server: call it with more records for its zone; it returns its port."""
    return partial(start_name_server, here, tmp_path)
