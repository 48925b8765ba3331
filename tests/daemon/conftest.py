"""What the tests of the frame may ask for."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A directory that every user may read and write: tmp_path lies in root's own."""
    path = Path(tempfile.mkdtemp(prefix="frame-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)
