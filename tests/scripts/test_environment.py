"""How a checkout comes by its Python environment."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["checkout", "a checkout"])
@pytest.mark.parametrize(
    "text",
    ["#!{venv}/bin/python3\n", '#!/bin/sh\n\'\'\'exec\' "{venv}/bin/python3" "$0" "$@"\n'],
    ids=["plain", "long"],
)
def test_an_environment_in_any_folder_is_this_checkouts_until_it_moves(tmp_path, name, text):
    checkout = tmp_path / name
    (checkout / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "environment.sh", checkout / "scripts")
    programs = checkout / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to("/bin/true")
    (programs / "pip").write_text(text.format(venv=checkout / ".venv"))
    works = ["bash", "-c", ". scripts/environment.sh; venv_works"]
    assert subprocess.run(works, cwd=checkout, check=False).returncode == 0
    moved = checkout.rename(tmp_path / "elsewhere")
    assert subprocess.run(works, cwd=moved, check=False).returncode == 1


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
