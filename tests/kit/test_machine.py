"""A throw-away machine: what is done there is done there alone, and ends with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kit.installed import status_of, wait_for_end
from tests.kit.machine import ROOT, can_overlay, start_machine
from tests.kit.place import Namespace
from tests.kit.requirement import requires_namespaces


@pytest.mark.night
@requires_namespaces
def test_what_is_written_there_is_not_seen_here_and_processes_end_with_it(tmp_path: Path) -> None:
    space = Namespace(f"pxd-{os.getpid()}-0-machine")
    space.make()
    try:
        machine, path = start_machine(space, tmp_path / "machine"), f"/etc/only-there-{os.getpid()}"
        machine.write(path, "text\n")
        assert machine.read(path) == "text\n"
        assert not Path(path).exists()
        assert machine.shell("pwd; echo $PATH").stdout.startswith("/root\n/usr/local/sbin:")
        assert (ROOT / "pyproject.toml").read_text() == machine.read(str(ROOT / "pyproject.toml"))
        assert machine.shell(f"touch {ROOT}/x", check=False).returncode != 0
        (tmp_path / "file").write_text("brought")
        assert machine.read(machine.bring(tmp_path / "file")) == "brought"
        machine.shell("setsid sleep 600 >/dev/null 2>&1 &")
        assert machine.shell("pgrep sleep | wc -l").stdout == "2\n"
        machine.close()
        assert space.pids() == []
    finally:
        space.close()


@requires_namespaces
def test_a_machine_that_nobody_closes_ends_with_its_network(tmp_path: Path) -> None:
    space = Namespace(f"pxd-{os.getpid()}-0-forgotten")
    space.make()
    try:
        start_machine(space, tmp_path / "machine").shell("setsid sleep 600 >/dev/null 2>&1 &")
        (holder,) = [pid for pid in space.pids() if status_of(pid)["Name"] == "sh"]
    finally:
        space.close()
    wait_for_end(holder)


def test_who_may_not_mount_is_told_so(tmp_path: Path) -> None:
    assert not can_overlay(tmp_path / "is-not-there")


@requires_namespaces
def test_a_failing_shell_is_an_error(tmp_path: Path) -> None:
    space = Namespace(f"pxd-{os.getpid()}-0-shell")
    space.make()
    try:
        machine = start_machine(space, tmp_path / "machine")
        with pytest.raises(AssertionError):
            machine.shell("false; true")
        machine.close()
    finally:
        space.close()
