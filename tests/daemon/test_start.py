"""The starting command: its exit status and words are the truth about what it started."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from proxyd.daemon.demands import Capability
from tests.daemon.frame import TIMEOUT_S, Frame, status_of, wait_for_end
from tests.kit.requirement import requires_root

NOBODY = 65534


def test_the_command_returns_0_when_every_child_serves(tmp_path: Path) -> None:
    with Frame(tmp_path, foreground=False).start(background=True, ready=False) as frame:
        assert frame.wait() == (0, "\n")
        daemon = frame.pid
        assert daemon != frame.process.pid
        assert len(frame.clients_by_worker()) == 2
        status = status_of(daemon)
        assert status["PPid"] != str(os.getpid())
        # Detached: in a session of its own that it does not lead, so no terminal can become its own.
        assert os.getsid(daemon) not in (daemon, os.getsid(0))
        assert {str(Path(f"/proc/{daemon}/fd/{number}").readlink()) for number in (0, 1, 2)} == {"/dev/null"}
        os.kill(daemon, signal.SIGTERM)
        wait_for_end(daemon)
        assert not frame.pidfile.exists()


@pytest.mark.parametrize("background", [False, True])
def test_a_taken_socket_is_refused(tmp_path: Path, background: bool) -> None:
    frame = Frame(tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((frame.address, 5300))
        with frame.start(background=background, ready=False):
            status, said = frame.wait()
    assert status == 69
    assert f"bind [{frame.address}]:5300: Address already in use" in said
    assert f"UDPS-520-E Cannot start: bind [{frame.address}]:5300" in frame.log()
    assert not frame.pidfile.exists()


def test_a_second_daemon_on_the_same_socket_is_refused_and_the_first_serves_on(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as first:
        (tmp_path / "second").mkdir()
        second = Frame(tmp_path / "second")
        second.settings = first.settings
        with second.start(background=True, ready=False):
            status, said = second.wait()
        assert status == 69
        assert "Address already in use" in said
        assert not second.pidfile.exists()
        assert first.pidfile.exists()
        assert len(first.clients_by_worker()) == 2


def test_a_second_daemon_of_the_same_name_is_refused_with_the_firsts_process(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as first:
        second = Frame(tmp_path)
        with second.start(background=True, ready=False):
            status, said = second.wait()
            assert status == 69
            assert f"already running as process {first.pid}" in said
            assert first.pid == first.process.pid


def test_a_stale_pidfile_is_replaced(tmp_path: Path) -> None:
    frame = Frame(tmp_path)
    frame.pidfile.write_text(f"{os.getpid()}\n")
    with frame.start():
        assert frame.pid == frame.process.pid


def test_the_pidfile_of_a_killed_proxy_is_replaced(tmp_path: Path) -> None:
    with Frame(tmp_path).start() as first:
        children = first.children()
        first.process.kill()
        for child in children:
            wait_for_end(child)
        second = Frame(tmp_path)
        with second.start():
            assert second.pid == second.process.pid
            assert second.ask(second.client()) in second.children()


@requires_root
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"app_user": "no-such-user"}, "app-user no-such-user: no such user"),
        ({"app_user": "root"}, "app-user root: children may not be root"),
        ({"app_group": "no-such-group"}, "app-user group no-such-group: no such group"),
        ({"chroot_dir": "/no/such/directory"}, "chroot-dir /no/such/directory: no such directory"),
    ],
)
def test_what_cannot_be_set_up_is_told_with_the_step(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    with Frame(tmp_path, **changes).start(background=True, ready=False) as frame:
        status, said = frame.wait()
        assert status == 69
        assert words in said


@requires_root
def test_a_child_that_cannot_start_ends_the_proxy_at_once(tmp_path: Path) -> None:
    # A directory that only its owner may enter: root without these capabilities is not let in.
    jail = tmp_path / "jail"
    jail.mkdir(mode=0o700)
    os.chown(jail, NOBODY, NOBODY)
    frame = Frame(tmp_path, chroot_dir=str(jail))
    frame.without = frozenset((Capability.CAP_DAC_OVERRIDE, Capability.CAP_DAC_READ_SEARCH))
    with frame.start(background=True, ready=False):
        status, said = frame.wait()
        assert status == 69
        assert f"cannot start: chroot {jail}: Permission denied" in said
        assert "UDPS-511-C" in frame.log()
        assert not frame.pidfile.exists()


@requires_root
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"app_user": "daemon"}, "CAP_SETUID is needed for app-user, CAP_SETGID is needed for app-user"),
        ({"chroot_dir": "/"}, "CAP_SYS_CHROOT is needed for chroot-dir"),
    ],
)
def test_a_missing_capability_is_named(public_path: Path, changes: dict[str, str], words: str) -> None:
    frame = Frame(public_path, **changes)
    with frame.start(uid=NOBODY, ready=False):
        status, said = frame.wait()
    assert status == 69
    assert words in said


@requires_root
def test_an_ordinary_users_daemon_needs_a_pidfile(public_path: Path) -> None:
    frame = Frame(public_path, foreground=False)
    frame.run_directory.chmod(0o755)
    with frame.start(uid=NOBODY, background=True, ready=False):
        status, said = frame.wait()
    assert status == 69
    assert f"pidfile {frame.pidfile}: Permission denied" in said


def test_a_warning_is_logged_when_too_few_files_may_be_opened(tmp_path: Path) -> None:
    limit = int(Path("/proc/sys/fs/nr_open").read_text())
    with Frame(tmp_path, max_sessions=limit + 1, workers=1).start() as frame:
        frame.wait_for_log(r"CASE-200-W only \d+ open files are permitted")


def test_the_frame_can_run_in_one_process(tmp_path: Path) -> None:
    with Frame(tmp_path, single_process=True, workers=1).start() as frame:
        client = frame.client()
        assert frame.ask(client) == frame.process.pid
        status = status_of(frame.process.pid)
        if os.geteuid() == 0:
            assert status["Uid"] == " ".join([str(NOBODY)] * 4)
        assert int(status["CapEff"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        os.kill(frame.process.pid, signal.SIGHUP)
        os.kill(frame.process.pid, signal.SIGUSR1)
        frame.wait_for_log("UDPS-772-E Not reloaded: one process does everything")
        frame.wait_for_log("Log level is 8")
        frame.wait_for_log("worker 0 has level 8")
        frame.process.terminate()
        assert frame.process.wait(TIMEOUT_S) == 0
        frame.wait_for_log("UDPS-722-K Listening sockets unbound")
