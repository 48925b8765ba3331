"""What the tests of /etc may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.etc.host import Host


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host of its own."""
    folder = tmp_path / "host"
    folder.mkdir()
    made = Host(f"pxd-{os.getpid()}-0-init", folder)
    try:
        made.start()
        yield made
    finally:
        made.close()
