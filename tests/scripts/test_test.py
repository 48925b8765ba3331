"""scripts/test: what failed beside others and passes by itself is told as unstable; what fails again has failed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAILS_SO_OFTEN = """from pathlib import Path
def test_it() -> None:
    asked = Path(__file__).with_name("asked")
    asked.write_text((asked.read_text() if asked.exists() else "") + "x")
    assert len(asked.read_text()) > {times}
"""


@pytest.mark.parametrize(("times", "status", "told"), [(0, 0, False), (1, 0, True), (2, 1, False)])
def test_a_failure_is_asked_again_once(tmp_path: Path, times: int, status: int, told: bool) -> None:
    (tmp_path / "test_it.py").write_text(FAILS_SO_OFTEN.format(times=times))
    free = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {
        "TEST_PROCESSES": "1"
    }
    options = ["-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, tmp_path / "test_it.py"]
    done = subprocess.run([ROOT / "scripts" / "test", *options], env=free, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert ("unstable: failed beside others" in done.stderr) == told
