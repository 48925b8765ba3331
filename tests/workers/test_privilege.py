"""Giving up privileges: what is left, what is proved, and that a proof fails where something was kept."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.kit.requirement import requires_root
from tests.workers.forked import in_child
from workers import privilege, sandbox
from workers.contract.context import Confinement
from workers.errors import PrivilegeError

NOBODY = 65534
CAP_NET_RAW = 13
IP_TRANSPARENT = 19


def confine_and_look(confinement: Confinement) -> str:
    def act() -> object:
        privilege.confine(confinement)
        return os.getresuid(), os.getresgid(), os.getgroups(), sum(sandbox.read_capabilities())

    return in_child(act)


@requires_root
def test_a_confined_process_is_the_user_and_nobody_else() -> None:
    assert confine_and_look(Confinement(NOBODY, NOBODY)) == str(((NOBODY,) * 3, (NOBODY,) * 3, [], 0))


@requires_root
def test_supplementary_groups_are_given_up() -> None:
    def act() -> object:
        os.setgroups([4, 8])
        privilege.confine(Confinement(NOBODY, NOBODY))
        return os.getgroups()

    assert in_child(act) == "[]"


@requires_root
def test_a_confined_process_has_its_root_and_cannot_leave_it(tmp_path: Path) -> None:
    (tmp_path / "inside").touch()
    tmp_path.chmod(0o755)

    def act() -> object:
        privilege.confine(Confinement(NOBODY, NOBODY, str(tmp_path)), (0, 1, 2))
        return [entry.name for place in ("/", "/..", ".") for entry in Path(place).iterdir()]

    assert in_child(act) == str(["inside"] * 3)


@requires_root
def test_a_root_that_cannot_be_entered_is_told_with_its_reason() -> None:
    assert confine_and_look(Confinement(NOBODY, NOBODY, "/no/such/root")) == (
        "BootError: chroot /no/such/root: No such file or directory"
    )


@requires_root
def test_a_directory_that_is_still_open_is_a_way_out_and_refused(tmp_path: Path) -> None:
    def act() -> None:
        privilege.change_root(str(tmp_path), [os.open("/", os.O_RDONLY)])

    assert in_child(act) == "PrivilegeError: a directory outside the root is still open"


@requires_root
def test_a_process_without_the_capability_cannot_change_its_user() -> None:
    def act() -> None:
        sandbox.drop_capabilities()
        privilege.confine(Confinement(NOBODY, NOBODY))

    assert in_child(act) == f"BootError: change to user {NOBODY}, group {NOBODY}: Operation not permitted"


@requires_root
@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        (lambda: None, "the user ids are (0, 0, 0), not 65534"),
        (lambda: os.setresuid(NOBODY, NOBODY, 0), "the user ids are (65534, 65534, 0), not 65534"),
        (lambda: os.setresuid(NOBODY, NOBODY, NOBODY), "group ids or supplementary groups were kept"),
        (
            lambda: (os.setresgid(NOBODY, NOBODY, NOBODY), os.setgroups([4]), os.setresuid(NOBODY, NOBODY, NOBODY)),
            "group ids or supplementary groups were kept",
        ),
        (lambda: privilege.change_user(NOBODY, NOBODY), "new privileges are not forbidden"),
    ],
    ids=["nothing was done", "saved id", "group", "supplementary group", "new privileges"],
)
def test_what_was_kept_is_found_by_the_proof(kept: object, reason: str) -> None:
    def act() -> None:
        kept()  # type: ignore[operator]
        privilege.prove_unprivileged(NOBODY, NOBODY)

    assert in_child(act) == f"PrivilegeError: {reason}"


@requires_root
def test_a_kept_capability_is_found_by_the_proof() -> None:
    def act() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        _keep_capabilities_over_the_change_of_user()
        os.setresuid(NOBODY, NOBODY, NOBODY)
        privilege.prove_unprivileged(NOBODY, NOBODY)

    assert in_child(act) == "PrivilegeError: capabilities were kept"


def _keep_capabilities_over_the_change_of_user() -> None:
    # PR_SET_KEEPCAPS. Source: capabilities(7).
    assert ctypes.CDLL(None).prctl(8, 1, 0, 0, 0) == 0


@requires_root
@pytest.mark.parametrize("kept", [{13}, {10, 13}])
def test_what_the_work_needs_is_kept_over_the_change_of_user_and_nothing_else(kept: set[int]) -> None:
    def act() -> object:
        privilege.confine(Confinement(NOBODY, NOBODY, capabilities=frozenset(kept)))
        return os.getresuid(), tuple(sandbox.read_capabilities()), sandbox.bounding_set()

    mask = sum(1 << capability for capability in kept)
    assert in_child(act) == str(((NOBODY,) * 3, (mask, mask, 0), 0))


@requires_root
def test_a_kept_capability_works_and_cannot_be_handed_on() -> None:
    def act() -> object:
        privilege.confine(Confinement(NOBODY, NOBODY, capabilities=frozenset((CAP_NET_RAW,))))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
            sock.bind(("192.0.2.77", 0))
        status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
        return [line.split()[1] for line in status.splitlines() if line.startswith("Cap")]

    assert in_child(act) == str(["0" * 16] * 5)


@requires_root
def test_one_who_is_no_root_keeps_what_was_given_to_it() -> None:
    def act() -> object:
        sandbox.keep_permitted(True)
        privilege.change_user(NOBODY, NOBODY)
        privilege.confine(Confinement(capabilities=frozenset((CAP_NET_RAW,))))
        return tuple(sandbox.read_capabilities())

    assert in_child(act) == str((1 << CAP_NET_RAW, 1 << CAP_NET_RAW, 0))


@requires_root
def test_what_is_to_be_kept_and_is_not_there_is_told() -> None:
    def act() -> None:
        sandbox.drop_capabilities()
        privilege.confine(Confinement(capabilities=frozenset((CAP_NET_RAW,))))

    assert in_child(act) == "BootError: keep capabilities: not all of [13] are there"


@requires_root
def test_more_than_what_is_to_be_kept_is_found_by_the_proof() -> None:
    def act() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        sandbox.keep_permitted(True)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        sandbox.drop_capabilities(1 << CAP_NET_RAW | 1 << 10)
        privilege.prove_unprivileged(NOBODY, NOBODY, 1 << CAP_NET_RAW)

    assert in_child(act) == "PrivilegeError: capabilities were kept"


@requires_root
def test_a_root_that_could_be_changed_again_is_found_by_the_proof() -> None:
    assert in_child(privilege.prove_root_is_final) == "PrivilegeError: could change the root again"


def test_root_is_never_an_acceptable_user() -> None:
    with pytest.raises(PrivilegeError):
        privilege.prove_unprivileged(0, None)


def test_an_ordinary_user_is_confined_without_any_privilege() -> None:
    def act() -> object:
        if os.geteuid() == 0:
            privilege.change_user(NOBODY, NOBODY)
        privilege.confine(Confinement())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
        return sum(sandbox.read_capabilities()), sandbox.new_privileges_are_forbidden()

    assert in_child(act) == str((0, True))
