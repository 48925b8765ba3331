"""How a checkout comes by its Python environment."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.night
def test_an_environment_that_is_another_checkouts_is_left_alone(tmp_path):
    checkout, others = tmp_path / "checkout", tmp_path / "others"
    (checkout / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "environment.sh", checkout / "scripts")
    (others / "bin").mkdir(parents=True)
    (checkout / ".venv").symlink_to(others)
    subprocess.run(["bash", "-ec", ". scripts/environment.sh; make_venv; venv_works"], cwd=checkout, check=True)
    assert (checkout / ".venv" / "bin" / "python").exists()
    assert not (checkout / ".venv").is_symlink()
    assert [path.name for path in others.rglob("*")] == ["bin"]
