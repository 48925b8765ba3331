"""How a proxy with transparent listeners starts: what it listens to, what it needs, what it says of what is missing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kit import delivery
from tests.kit.installed import UDP_PROXY, Proxy, children_of, requires_installed, serve, status_of
from tests.kit.lab import Lab
from tests.kit.proxy import STARTED, Configuration
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAY4, WAYS, Way, connected

PORT = 6900
TIMEOUT = "timeout both 60;"
CAP_NET_RAW = 1 << 13

pytestmark = [requires_installed, requires_program("nft")]
both_versions = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A directory that every user may read: tmp_path lies in root's own."""
    path = Path(tempfile.mkdtemp(prefix="transparent-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def everywhere(way: Way, port: int) -> str:
    return f"transparent [{'0.0.0.0' if way.version == 4 else '::'}] port {port};"


def on(address: str, port: int) -> str:
    return f"transparent [{address}] port {port};"


def rule(items: str, name: str = "ALL") -> str:
    return f"session-acl {name} {{ accept; {items} {TIMEOUT} }}"


def configuration(listen: str, acls: str, fast_path: str = "on", workers: int = 2) -> Configuration:
    return Configuration(listen, acls, f"nodaemon; fast-path {fast_path};", workers=workers)


def to_server(stack: ExitStack, lab: Lab, way: Way, port: int = PORT) -> socket.socket:
    """Return a socket of the client that takes answers from the server's own address and port alone."""
    return stack.enter_context(connected(lab.client, way.client, way.server, port))


def talk(client: socket.socket, server: socket.socket, words: bytes = b"question") -> tuple[str, int]:
    """Exchange a question and an answer; return who the server has seen."""
    client.send(words)
    payload, source = server.recvfrom(65_536)
    assert payload == words
    server.sendto(words[::-1], source)
    assert client.recv(65_536) == words[::-1]
    return source[0], source[1]


@requires_namespaces
def test_a_listener_of_one_interface_does_not_hear_the_other_k90(tmp_path: Path, lab: Lab, stack: ExitStack) -> None:
    delivery.lead_through(lab)
    delivery.deliver(lab, "mark", [PORT])
    acls = rule(f"plug-to [{WAY4.server}] : 7;")
    proxy = serve(lab.proxy, tmp_path, configuration(on(WAY4.front, PORT), acls))
    server = stack.enter_context(WAY4.server_socket(lab, 7))
    stranger = stack.enter_context(connected(lab.server, WAY4.server, WAY4.back, PORT))
    stranger.send(b"from the wrong side")
    with pytest.raises(ConnectionRefusedError):
        stranger.recv(100)
    talk(stack.enter_context(WAY4.client_socket(lab, PORT)), server)
    assert proxy.totals()["out_received"] == 1


@requires_namespaces
@both_versions
def test_what_routing_lacks_is_said_at_the_start_with_what_mends_it(tmp_path: Path, lab: Lab, way: Way) -> None:
    proxy = serve(lab.proxy, tmp_path, configuration(on(way.front, PORT), rule("")))
    line = proxy.wait_for("CASE-200-W .*no routing rule brings")
    command = f"ip -{way.version} rule add iif front ipproto udp dport {PORT} lookup 7570"
    route = f"ip -{way.version} route add local default dev lo table 7570"
    assert f"wanted, for example: '{command}' and '{route}'" in line
    proxy.log.stop()
    for words in (command, route):
        lab.proxy.run(words.split())
    delivery.lead_through(lab)
    again = serve(lab.proxy, tmp_path, configuration(on(way.front, PORT), rule("")))
    assert "CASE-200-W" not in again.log.output
    with ExitStack() as stack:
        talk(to_server(stack, lab, way), stack.enter_context(way.server_socket(lab, PORT)))


@requires_namespaces
def test_workers_and_replacements_have_the_capability_that_pretending_needs_and_no_other(
    tmp_path: Path, lab: Lab
) -> None:
    for items, held in (("source-address client;", CAP_NET_RAW), ("", 0)):
        rules = rule(f"from {{ localhost, * }}; {items}")
        proxy = serve(lab.proxy, tmp_path, configuration(everywhere(WAY4, PORT), rules))
        victim = proxy.workers[0]
        os.kill(victim, signal.SIGKILL)
        proxy.wait_for(rf"UDPS-710-K Child worker 0 started, process (?!{victim}$)\d+$")
        # A worker that answers has given up what it does not need.
        proxy.totals()
        for worker in proxy.workers:
            status = status_of(worker)
            assert [int(status[f"Cap{name}"], 16) for name in ("Prm", "Eff")] == [held] * 2
            assert [int(status[f"Cap{name}"], 16) for name in ("Inh", "Bnd", "Amb")] == [0] * 3
            assert status["Uid"].split()[0] != "0"
        (resolver,) = set(children_of(proxy.pid)) - set(proxy.workers)
        assert [int(status_of(resolver)[f"Cap{name}"], 16) for name in ("Prm", "Eff")] == [0, 0]
        proxy.log.stop()


def as_nobody(*options: str) -> list[str]:
    """Return a command's beginning that makes it an ordinary user's. options: of setpriv."""
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *options]


@requires_namespaces
@requires_program("setpriv")
@pytest.mark.parametrize(
    ("listen", "items", "wanted"),
    [
        (everywhere(WAY4, PORT), "", f"'transparent [0.0.0.0] port {PORT}' in listen-on"),
        (
            WAY4.listen(PORT),
            f"plug-to [{WAY4.server}] : 7; source-address client;",
            "'source-address client' in session-acl ALL",
        ),
        (
            f"non-transparent [0.0.0.0] port {PORT};",
            "session-type broadcast;",
            "'session-type broadcast' in session-acl ALL",
        ),
    ],
)
def test_who_lacks_the_capability_is_told_what_wants_it_and_how_to_give_it(
    public_path: Path, lab: Lab, listen: str, items: str, wanted: str
) -> None:
    path = public_path / "udp-proxy.cfg"
    path.write_text(configuration(listen, rule(items)).text)
    done = lab.proxy.run([*as_nobody(), UDP_PROXY, "-f", path], check=False)
    assert done.returncode == 69
    assert f"check capabilities: CAP_NET_RAW is needed for {wanted}; start it as root" in done.stderr
    assert "AmbientCapabilities=CAP_NET_RAW" in done.stderr


@requires_namespaces
@requires_program("setpriv")
def test_an_ordinary_user_with_the_capability_runs_the_whole_of_it(
    public_path: Path, lab: Lab, stack: ExitStack
) -> None:
    delivery.lead_through(lab)
    delivery.deliver(lab, "mark", [PORT])
    delivery.deliver_answers(lab)
    path = public_path / "udp-proxy.cfg"
    listen = on(WAY4.front, PORT) + on(WAY4.back, PORT)
    path.write_text(configuration(listen, rule(f"source-address client; source-port force {PORT};")).text)
    give = as_nobody("--inh-caps=+net_raw", "--ambient-caps=+net_raw")
    process = lab.proxy.popen([*give, UDP_PROXY, "-f", path])
    process.wait_for(STARTED)
    proxy = Proxy(process.pid, process)
    server = stack.enter_context(WAY4.server_socket(lab, PORT))
    assert talk(to_server(stack, lab, WAY4), server) == (WAY4.client, PORT)
    for pid in (proxy.pid, *proxy.workers):
        status = status_of(pid)
        assert (status["Uid"].split()[0], int(status["CapEff"], 16)) == ("65534", CAP_NET_RAW)
