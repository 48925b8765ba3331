"""The command udp-proxy: its exit statuses, its words, and a proxy that really forwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyd import VERSION_TAG
from tests.daemon.frame import TIMEOUT_S, end_process, own_address, wait_for_end, wait_for_text
from tests.kit.requirement import requires_root

ROOT = Path(__file__).parents[3]
PORT = 5300


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "proxyd.cli.udp_proxy", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


class Upstream:
    """A configuration of a proxy in front of a socket of the test's."""

    def __init__(self, directory: Path) -> None:
        self.address = own_address()
        self.name = f"CLI-{os.getpid()}-{self.address.rpartition('.')[2]}"
        self.log = directory / "log"
        self.path = directory / "proxy.cfg"
        self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.bind((self.address, 0))
        self.server.settimeout(TIMEOUT_S)

    def write(self, items: str = "nodaemon;", level: int = 6) -> Path:
        self.path.write_text(
            f"""version {VERSION_TAG};
            udp-proxy {self.name} {{
              {items}
              log-debug {{ level {level}; file "{self.log}"; }}
              listen-on {{ non-transparent [{self.address}] port {PORT}; }}
              udpserver {{ max-sessions 10; workers 2; }}
              session-acl ALL {{ accept; plug-to [{self.address}] : {self.server.getsockname()[1]}; timeout both 5; }}
            }}
            """
        )
        return self.path

    def exchange(self) -> bytes:
        """Send a datagram through the proxy and an answer back; return what the client got."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(TIMEOUT_S)
            client.sendto(b"question", (self.address, PORT))
            question, proxy = self.server.recvfrom(100)
            self.server.sendto(question + b" answered", proxy)
            return client.recv(100)


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    made = Upstream(tmp_path)
    yield made
    made.server.close()


def test_help_goes_to_standard_output() -> None:
    result = run("-h")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: udp-proxy")


def test_the_version_has_the_tag_of_the_configuration_and_needs_no_file() -> None:
    result = run("-v")
    assert (result.returncode, result.stderr) == (0, "")
    assert VERSION_TAG in result.stdout


@pytest.mark.parametrize(
    "arguments", [(), ("-x",), ("-f",), ("-d", "2", "-f", "x"), ("-d", "10", "-f", "x"), ("-d", "x", "-f", "x")]
)
def test_a_wrong_command_line_is_refused_with_the_usage(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (64, "")
    assert "usage: udp-proxy" in result.stderr


def test_every_error_of_a_configuration_is_told_and_nothing_is_opened(upstream: Upstream) -> None:
    path = upstream.write("nodaemon; no-such-item; cfg-resolution nonsense;")
    result = run("-f", str(path))
    assert result.returncode == 1
    assert f"CFGP-300-E {path}:3:" in result.stderr
    assert "no-such-item" in result.stderr
    assert "nonsense" in result.stderr
    assert not upstream.log.exists()


def test_a_file_that_is_not_there_is_a_configuration_error() -> None:
    result = run("-f", "/no/such/file")
    assert result.returncode == 1
    assert "/no/such/file" in result.stderr


@requires_root
def test_the_daemon_forwards_is_refused_twice_and_ends(upstream: Upstream) -> None:
    path = upstream.write("")
    pidfile = Path(f"/run/udp-proxy-{upstream.name.lower()}.pid")
    try:
        started = run("-f", str(path))
        assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
        assert upstream.exchange() == b"question answered"
        again = run("-f", str(path))
        assert again.returncode == 69
        assert (
            again.stderr == f"udp-proxy: pidfile {pidfile}: already running as process {pidfile.read_text().strip()}\n"
        )
        assert upstream.exchange() == b"question answered"
        daemon = int(pidfile.read_text())
        os.kill(daemon, signal.SIGTERM)
        wait_for_end(daemon)
        assert not pidfile.exists()
    finally:
        if pidfile.exists():
            end_process(int(pidfile.read_text()))
            pidfile.unlink()


@requires_root
def test_the_level_of_the_command_line_holds_until_the_configuration_is_read(upstream: Upstream) -> None:
    path = upstream.write("nodaemon;", level=3)
    command = [sys.executable, "-m", "proxyd.cli.udp_proxy", "-d", "9", "-f", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for_text(upstream.log, "UDPS-700-K")
            assert upstream.exchange() == b"question answered"
        finally:
            process.terminate()
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 0
    assert "CFGR-100-D Configuration" in said
    assert "-D " not in upstream.log.read_text()
