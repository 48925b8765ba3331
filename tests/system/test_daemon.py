"""The daemon's life: started, started again and refused, stopped; what lies in its way, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.kit import peers
from tests.kit.installed import (
    Proxy,
    children_of,
    launch,
    pidfile,
    requires_installed,
    start_daemon,
    status_of,
    wait_for_end,
)
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4, WAY6

PORT = 7000
SO_REUSEPORT = socket.SO_REUSEPORT

pytestmark = requires_installed


def configuration(name: str, log: Path, listen: str = WAY4.listen(PORT)) -> str:
    """Return a daemon's configuration, with both logs in one file."""
    logs = f'log-debug {{ file "{log}"; }} log-stats {{ file "{log}"; }}'
    return Configuration(listen, acl(f"[{WAY4.server}] : {PORT}"), logs, name=name).text


def start(lab: Lab, folder: Path, name: str) -> Proxy:
    """Start a daemon in the lab."""
    log = folder / "proxy.log"
    return start_daemon(lab.proxy, folder, configuration(name, log), log, name)


def assert_serves(lab: Lab) -> None:
    """Check that a client gets its datagram back through the proxy."""
    with WAY4.client_socket(lab, PORT) as client:
        client.send(b"hello")
        assert client.recv(100) == b"hello"


def end(proxy: Proxy) -> None:
    """Stop a daemon, and wait for its end."""
    proxy.signal(signal.SIGTERM)
    wait_for_end(proxy.pid)


@requires_namespaces
def test_the_command_returns_when_the_daemon_serves_and_the_daemon_is_detached(
    tmp_path: Path, lab: Lab, name: str
) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    proxy = start(lab, tmp_path, name)
    assert_serves(lab)
    proxy.wait_for("UDPS-700-K")
    family = [proxy.pid, *children_of(proxy.pid)]
    assert len(family) == 3
    for pid in family:
        # Field 6 of stat, behind the name in parentheses: the session; field 7: the terminal.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        assert (int(fields[3]) != os.getsid(0), fields[4]) == (True, "0")
        assert {str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in range(3)} == {"/dev/null"}
        assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert pidfile(name).stat().st_mode & 0o777 == 0o644
    end(proxy)
    assert not pidfile(name).exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in family[1:])
    proxy.wait_for("UDPS-701-K Proxy terminating: SIGTERM")
    proxy.wait_for("UDPS-722-K Listening sockets unbound")


@requires_namespaces
def test_a_second_start_is_refused_and_the_first_goes_on(tmp_path: Path, lab: Lab, name: str) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    proxy = start(lab, tmp_path, name)
    again = launch(lab.proxy, tmp_path, configuration(name, tmp_path / "again.log"))
    assert again.wait() == 69
    assert again.output == f"udp-proxy: pidfile {pidfile(name)}: already running as process {proxy.pid}"
    elsewhere = launch(lab.proxy, tmp_path, configuration(name, tmp_path / "again.log", WAY4.listen(PORT + 1)))
    assert elsewhere.wait() == 69
    assert elsewhere.output == f"udp-proxy: pidfile {pidfile(name)}: already running as process {proxy.pid}"
    assert "UDPS-520-E Cannot start: pidfile" in (tmp_path / "again.log").read_text()
    assert pidfile(name).read_text() == f"{proxy.pid}\n"
    assert_serves(lab)
    end(proxy)


@requires_namespaces
def test_another_name_on_the_same_socket_is_refused_though_reuseport_would_let_it_in(
    tmp_path: Path, lab: Lab, name: str
) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    proxy = start(lab, tmp_path, name)
    for address in (WAY4.front, "0.0.0.0"):
        listen = f"non-transparent [{address}] port {PORT};"
        other = launch(lab.proxy, tmp_path, configuration(f"{name}-other", tmp_path / "other.log", listen))
        assert other.wait() == 69
        assert other.output == f"udp-proxy: bind [{address}]:{PORT}: Address already in use"
        assert not pidfile(f"{name}-other").exists()
    assert_serves(lab)
    end(proxy)


@requires_namespaces
@pytest.mark.parametrize(
    "options", [[], [SO_REUSEPORT], [socket.SO_REUSEADDR]], ids=["plain", "reuseport", "reuseaddr"]
)
def test_a_socket_that_another_program_has_is_refused(tmp_path: Path, lab: Lab, name: str, options: list[int]) -> None:
    with lab.proxy.socket() as taken:
        for option in options:
            taken.setsockopt(socket.SOL_SOCKET, option, 1)
        taken.bind((WAY4.front, PORT))
        started = launch(lab.proxy, tmp_path, configuration(name, tmp_path / "proxy.log"))
        assert started.wait() == 69
        assert started.output == f"udp-proxy: bind [{WAY4.front}]:{PORT}: Address already in use"
        assert not pidfile(name).exists()
        assert lab.proxy.pids() == []


@requires_namespaces
@pytest.mark.parametrize("content", ["1\n", "999999999\n", "", "nonsense"])
def test_a_stale_pidfile_is_replaced_whatever_it_says(tmp_path: Path, lab: Lab, name: str, content: str) -> None:
    pidfile(name).write_text(content)
    proxy = start(lab, tmp_path, name)
    assert Path(f"/proc/{proxy.pid}/cmdline").read_text().startswith(f"udp-proxy: parent {name},")
    end(proxy)
    assert not pidfile(name).exists()


@requires_namespaces
def test_a_killed_daemon_takes_its_children_with_it_and_the_next_one_starts(
    tmp_path: Path, lab: Lab, name: str
) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    first = start(lab, tmp_path, name)
    children = children_of(first.pid)
    first.signal(signal.SIGKILL)
    for child in children:
        wait_for_end(child)
    assert pidfile(name).read_text() == f"{first.pid}\n"
    second = start(lab, tmp_path, name)
    assert second.pid != first.pid
    assert_serves(lab)
    end(second)
    # Only the programs of the test itself are left: those that follow the log.
    assert not [pid for pid in lab.proxy.pids() if status_of(pid)["Name"] != "tail"]


@requires_namespaces
def test_a_daemon_on_both_versions_and_many_ports_is_one_daemon(tmp_path: Path, lab: Lab, name: str) -> None:
    peers.udp_peer(lab.server, "echo", WAY4.server, PORT)
    listen = f"non-transparent [0.0.0.0] port {PORT} to {PORT + 4}; non-transparent [::] port {PORT} to {PORT + 4};"
    log = tmp_path / "proxy.log"
    proxy = start_daemon(lab.proxy, tmp_path, configuration(name, log, listen), log, name)
    for way in (WAY4, WAY6):
        for port in range(PORT, PORT + 5):
            with way.client_socket(lab, port) as client:
                client.send(b"hello")
                # The socket is connected: an answer from any other address of the proxy would not come through.
                assert client.recv(100) == b"hello"
    end(proxy)
