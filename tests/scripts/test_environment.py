"""How a checkout comes by its Python environment."""

import os
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


def test_the_systems_own_python_is_taken_where_it_can_make_environments(tmp_path):
    own, first = Path("/usr/bin/python3"), tmp_path / "python3"
    first.symlink_to("/bin/true")
    asked = "import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 11))"
    able = own.exists() and subprocess.run([own, "-c", asked], capture_output=True, check=False).returncode == 0
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    find = ["bash", "-c", f". {ROOT}/scripts/environment.sh; find_python"]
    found = subprocess.run(find, env=path, capture_output=True, text=True, check=True).stdout
    assert found == f"{own if able else first}\n"


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
