"""What the calls of the sandbox do to a process, as the kernel itself tells it in /proc."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.kit.requirement import requires_root
from tests.workers.forked import in_child
from workers import sandbox


def kernel_says(name: str) -> str:
    found = re.search(rf"^{name}:\s*(\S+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return found[1]


def test_the_sets_are_what_the_kernel_tells() -> None:
    sets = sandbox.read_capabilities()
    assert f"{sets.effective:016x} {sets.permitted:016x} {sets.inheritable:016x}" == " ".join(
        map(kernel_says, ("CapEff", "CapPrm", "CapInh"))
    )
    assert f"{sandbox.bounding_set():016x}" == kernel_says("CapBnd")


def test_dropped_capabilities_are_gone_from_every_set() -> None:
    def drop() -> list[str]:
        sandbox.drop_capabilities()
        return [kernel_says(f"Cap{name}") for name in ("Eff", "Prm", "Inh", "Amb")]

    assert in_child(drop) == str(["0" * 16] * 4)


@requires_root
def test_what_is_kept_stays_effective_and_permitted_alone() -> None:
    def drop() -> list[str]:
        sandbox.drop_capabilities(1 << 13 | 1 << 37)
        return [kernel_says(f"Cap{name}") for name in ("Eff", "Prm", "Inh", "Amb")]

    assert in_child(drop) == str(["0000002000002000"] * 2 + ["0" * 16] * 2)


@requires_root
@pytest.mark.parametrize("keep", [True, False])
def test_the_permitted_set_survives_a_change_of_user_where_it_is_told_to(keep: bool) -> None:
    def change() -> bool:
        sandbox.keep_permitted(keep)
        os.setresuid(65534, 65534, 65534)
        return sandbox.read_capabilities().permitted != 0

    assert in_child(change) == str(keep)


@requires_root
def test_the_bounding_set_can_be_emptied() -> None:
    def drop() -> str:
        sandbox.drop_bounding_set()
        return kernel_says("CapBnd")

    assert in_child(drop) == "0" * 16


@requires_root
def test_the_bounding_set_cannot_be_emptied_without_the_capability_for_it() -> None:
    def drop() -> None:
        sandbox.drop_capabilities()
        sandbox.drop_bounding_set()

    assert in_child(drop) == "PrivilegeError: prctl: Operation not permitted (EPERM)"


def test_forbidden_privileges_are_told_as_forbidden() -> None:
    def forbid() -> tuple[bool, bool, str]:
        before = sandbox.new_privileges_are_forbidden()
        sandbox.forbid_new_privileges()
        return before, sandbox.new_privileges_are_forbidden(), kernel_says("NoNewPrivs")

    assert in_child(forbid) == str((False, True, "1"))


def test_forbidden_dumps_hide_the_process_from_its_own_user() -> None:
    def forbid() -> int:
        sandbox.forbid_dumps()
        return Path("/proc/self/environ").stat().st_uid

    # The files of a process that may not be dumped are root's. Source: proc(5).
    assert in_child(forbid) == "0"


def test_sharpened_timers_wake_without_slack() -> None:
    def sharpen() -> str:
        sandbox.sharpen_timers()
        return Path("/proc/self/timerslack_ns").read_text().strip()

    assert in_child(sharpen) == "1"
