"""The command as it is started: exit statuses, messages, foreground and background, one process or several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.ports import free_port
from tests.kit.process import Process
from tests.kit.requirement import requires_root

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "proxyd.cli.uftpproxyd"]
HERE = ["-I", "lo", "-O", "lo", "-U", "0x0000c0c0"]
BACKGROUND_S = 20


def run(*argv: object) -> subprocess.CompletedProcess[str]:
    words = [*COMMAND, *map(str, argv)]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=BACKGROUND_S, cwd=ROOT)


def start(*argv: object) -> Process:
    return Process([*COMMAND, *map(str, argv)], cwd=ROOT)


@pytest.mark.parametrize("argv", [[], ["-c", "-r"], ["-c", "-t", "0"], ["-cz"], ["-c", "-O", "no-such-interface"]])
def test_a_wrong_command_line_is_status_one(argv: list[str]) -> None:
    done = run(*argv)
    assert done.returncode == 1
    assert done.stderr.startswith("uftpproxyd: ")
    assert "usage: uftpproxyd" in done.stderr


def test_a_list_that_is_wrong_is_status_one_and_named(tmp_path: Path) -> None:
    path = tmp_path / "clients"
    path.write_text("0x1\n0\n")
    done = run("-c", *HERE, "-C", path)
    assert done.returncode == 1
    assert f"{path}:2: " in done.stderr


def test_a_check_finds_what_is_wrong_and_opens_and_makes_nothing(tmp_path: Path) -> None:
    port, key = free_port(), tmp_path / "key.pem"
    with start("-cd", *HERE, "-p", port) as first:
        first.wait_for("started")
        done = run("-c", *HERE, "-p", port, "-k", key, "-K", "rsa:1024", "-P", tmp_path / "pid", "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "options OK\n", "")
    assert list(tmp_path.iterdir()) == []
    assert run("-c", "-t", "0", "--check").returncode == 1
    assert run("-c", *HERE, "-k", key, "--check").returncode == 3


def test_a_port_that_is_taken_is_status_two_of_the_starting_process(tmp_path: Path) -> None:
    port = free_port()
    with start("-cd", *HERE, "-p", port) as first:
        first.wait_for("started")
        done = run("-c", *HERE, "-p", port, "-L", tmp_path / "log")
        assert done.returncode == 2
        assert f"bind port {port}: Address already in use" in done.stderr


def test_a_missing_key_file_is_status_three() -> None:
    done = run("-c", *HERE, "-k", "/no/such/key")
    assert done.returncode == 3
    assert "/no/such/key" in done.stderr


def test_a_log_that_cannot_be_opened_is_status_four(tmp_path: Path) -> None:
    done = run("-c", *HERE, "-p", free_port(), "-L", tmp_path)
    assert done.returncode == 4
    assert str(tmp_path) in done.stderr


@pytest.mark.parametrize("extra", [["--workers", "2"], ["--singleproc"]])
def test_a_signal_ends_the_foreground_with_status_six(extra: list[str]) -> None:
    with start("-cd", *HERE, "-p", free_port(), *extra) as proxy:
        proxy.wait_for("Proxy .* started")
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 6
        assert "Proxy terminating: SIGTERM" in proxy.output
        assert "client proxy, UID 0x0000C0C0" in proxy.output


@requires_root
def test_the_background_is_reached_with_log_and_pidfile(tmp_path: Path) -> None:
    log, pidfile = tmp_path / "log", tmp_path / "pid"
    done = run("-c", *HERE, "-p", free_port(), "-L", log, "-P", pidfile, "--workers", 1)
    assert done.returncode == 0, done.stderr
    process = int(pidfile.read_text())
    descriptor = os.pidfd_open(process)
    try:
        assert "Proxy" in log.read_text()
        assert Path(f"/proc/{process}/cwd").readlink() == Path("/")
    finally:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        os.close(descriptor)


def test_help_and_version_are_status_nought() -> None:
    assert "--max-clients" in run("--help").stdout
    assert run("--version").stdout.startswith("uftpproxyd (proxyd ")
