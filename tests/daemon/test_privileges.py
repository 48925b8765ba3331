"""Who every process is, read from /proc: ids, groups, capabilities, no_new_privs, root, descriptors."""

from __future__ import annotations

import os
import pwd
import signal
from pathlib import Path

from tests.daemon.frame import Frame, status_of
from tests.kit.requirement import requires_root

pytestmark = requires_root

NOBODY = pwd.getpwnam("nobody")
KEPT = sum(1 << number for number in (0, 1, 2, 5, 6, 7, 8, 10, 12, 13, 18, 24))
"""CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP,
CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_CHROOT, CAP_SYS_RESOURCE: to replace children, and for any
configuration that a reload brings."""


def test_parent_keeps_the_capabilities_it_needs_to_replace_children_and_to_reload_and_no_other(tmp_path: Path) -> None:
    kept = KEPT & int(status_of(os.getpid())["CapPrm"], 16)
    with Frame(tmp_path).start() as frame:
        status = status_of(frame.pid)
        assert status["Uid"] == "0 0 0 0"
        for name in ("CapPrm", "CapEff", "CapBnd"):
            assert int(status[name], 16) == kept, name
        assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0


def test_children_of_a_root_parent_are_nobody_without_any_privilege(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        children = frame.children()
        assert len(children) == 2
        for child in children:
            status = status_of(child)
            assert status["Uid"] == " ".join([str(NOBODY.pw_uid)] * 4)
            assert status["Gid"] == " ".join([str(NOBODY.pw_gid)] * 4)
            assert status["Groups"] == ""
            assert [int(status[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [0] * 5
            assert status["NoNewPrivs"] == "1"


def test_children_become_the_configured_user_and_group(tmp_path: Path) -> None:
    with Frame(tmp_path, app_user="daemon", app_group="mail").start() as frame:
        for child in frame.children():
            status = status_of(child)
            assert status["Uid"].split()[0] == str(pwd.getpwnam("daemon").pw_uid)
            assert status["Gid"] == "8 8 8 8"


def test_children_and_their_replacements_have_the_configured_root(tmp_path: Path) -> None:
    jail = tmp_path / "jail"
    jail.mkdir(mode=0o755)
    with Frame(tmp_path, chroot_dir=str(jail)).start() as frame:
        assert Path(f"/proc/{frame.pid}/root").readlink() == Path("/")
        victim, client = next(iter(frame.clients_by_worker().items()))
        os.kill(victim, 9)
        assert frame.ask(client) != victim
        for child in frame.children():
            assert Path(f"/proc/{child}/root").readlink() == jail
            assert Path(f"/proc/{child}/cwd").readlink() == jail
            assert status_of(child)["Uid"].split()[0] == str(NOBODY.pw_uid)


def test_a_child_holds_no_descriptor_of_the_parents_or_of_another_child(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        held = {pid: _open_files(pid) for pid in (frame.pid, *frame.children())}
        first, second = frame.children()
        assert not {name for name in held[first] & held[second] if name.startswith("socket:")}
        for child in (first, second):
            assert str(frame.log_path) not in held[child]
            assert not any(".pid" in name for name in held[child])
            assert sum("memfd:" in name for name in held[child]) == 1
            assert sum("memfd:" in line for line in Path(f"/proc/{child}/maps").read_text().splitlines()) == 1


def test_a_child_cannot_dump_core(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as frame:
        for child in frame.children():
            limits = Path(f"/proc/{child}/limits").read_text()
            assert next(line for line in limits.splitlines() if "core" in line).split()[4:6] == ["0", "0"]


def test_an_ordinary_user_can_run_the_proxy_without_pidfile(public_path: Path) -> None:
    frame = Frame(public_path)
    with frame.start(uid=NOBODY.pw_uid):
        children = _children(frame.process.pid)
        frame.clients_by_worker()
        assert not frame.pidfile.exists()
        assert "no pidfile" in frame.log()
        for process in (frame.process.pid, *children):
            status = status_of(process)
            assert status["Uid"].split()[0] == str(NOBODY.pw_uid)
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert all(status_of(child)["NoNewPrivs"] == "1" for child in children)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _open_files(pid: int) -> set[str]:
    return {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}


def test_a_log_in_another_users_directory_is_opened_anew_as_it_was_opened(tmp_path: Path) -> None:
    folder = tmp_path / "another"
    folder.mkdir(mode=0o755)
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    with Frame(folder).start() as frame:
        frame.log_path.rename(folder / "moved.log")
        os.kill(frame.pid, signal.SIGWINCH)
        frame.wait_for_log("UDPS-741-K Log files reopened")
