"""What the tests of installations may ask for: a throw-away machine that has no proxyd yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.machine import Machine, start_machine
from tests.kit.place import Namespace


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine of its own, alone in its network."""
    space = Namespace(f"pxd-{os.getpid()}-0-pkg")
    space.make()
    try:
        made = start_machine(space, tmp_path / "machine")
        try:
            yield made
        finally:
            made.close()
    finally:
        space.close()
