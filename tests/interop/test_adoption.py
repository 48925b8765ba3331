"""Transfers between the original programs through proxies whose workers are killed, or renewed, under them."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.interop.scene import CHAIN, OURS, PUBLIC, RESPONSE, WITHIN_S, Scene, start_chain
from tests.kit.process import Process
from tests.kit.requirement import requires_namespaces, requires_program

pytestmark = requires_program("uftp", "uftpd")
BOTH = (OURS, OURS)
RSA = ("-K", "rsa:1024")
ALWAYS = ("plain", "gcm-ecdsa")
"""The others have their turn every night."""
SUITES = {
    "plain": ("", ()),
    "hmac-authenticated": ("-c -Y aes256-cbc -h sha256 -w hmac -e rsa -K 1024", RSA),
    "gcm-ecdsa": ("-Y aes256-gcm -h sha256 -e ecdh_ecdsa:prime256v1 -K prime256v1", ("-K", "ec:prime256v1")),
    "unconfigured": ("-Y aes128-cbc -h sha256 -w hmac -e rsa", ()),
}
"""What the server is told, and what proxy and clients are."""
FAST = ("-R", "80000")
"""10 MB a second: 50 MB take five."""
FIFTY_MB = 50_000_000
_STARTED = re.compile(r"Child worker (\d+) started, process (\d+)")


def workers_of(proxy: Process) -> dict[str, int]:
    """Return the newest process of each worker, by its number."""
    return {match[1]: int(match[2]) for line in proxy.lines if (match := _STARTED.search(line))}


def kill_workers(scene: Scene, *stations: str) -> None:
    """Kill all workers of these proxies, and wait until each proxy has new ones."""
    known = {station: len(scene.running[station].lines) for station in stations}
    for station in stations:
        for process in workers_of(scene.running[station]).values():
            os.kill(process, signal.SIGKILL)
    for station in stations:
        for worker in workers_of(scene.running[station]):
            scene.running[station].wait_for(f"Child worker {worker} started", start=known[station])


def reload(scene: Scene, *stations: str) -> None:
    """Reload these proxies, one after the other, and wait until each has done it."""
    for station in stations:
        process = scene.running[station]
        known = len(process.lines)
        process.signal(signal.SIGHUP)
        process.wait_for(r"Generation \d+ serves", start=known)


@pytest.mark.parametrize(
    "suite", [pytest.param(suite, marks=() if suite in ALWAYS else pytest.mark.night) for suite in SUITES]
)
@requires_namespaces
def test_a_file_arrives_though_all_workers_are_killed_twice(tmp_path: Path, suite: str) -> None:
    options, keys = SUITES[suite]
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, ("--workers", "2"), ("--workers", "2", *keys))
        for client in ("client1", "client2"):
            scene.start_client(client, 3, *keys)
        path = scene.make_file(size=FIFTY_MB)
        server = scene.send(path, 1, *FAST, *options.split())
        for section in (1, 2):
            server.wait_for(f"Sending section {section}", within_s=WITHIN_S)
            kill_workers(scene, "sproxy", "cproxy")
        assert server.wait(WITHIN_S) == 0
        for client in ("client1", "client2"):
            assert scene.arrived(path, client)
        for station in ("sproxy", "cproxy"):
            took_over = [line for line in scene.running[station].lines if "Groups taken over: 1," in line]
            assert len(took_over) == 2
        assert "aborted" not in server.output.lower()


@pytest.mark.parametrize("suite", ["plain", "hmac-authenticated"])
@requires_namespaces
def test_a_file_arrives_though_both_proxies_are_reloaded_under_it(tmp_path: Path, suite: str) -> None:
    options, keys = SUITES[suite]
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, ("--workers", "2"), ("--workers", "2", *keys))
        scene.start_client("client1", 3, *keys)
        path = scene.make_file(size=FIFTY_MB)
        server = scene.send(path, 1, *FAST, *options.split())
        for section in (1, 2, 3):
            server.wait_for(f"Sending section {section}", within_s=WITHIN_S)
            reload(scene, "sproxy", "cproxy")
        assert server.wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
        for station in ("sproxy", "cproxy"):
            assert sum("Groups taken over: 1," in line for line in scene.running[station].lines) == 3
        assert "aborted" not in server.output.lower()


@requires_namespaces
def test_a_client_that_a_reload_puts_on_the_list_gets_the_next_file(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.write_text("0x00002222\n")
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, (), ("-C", str(clients)))
        scene.start_client("client1", 3)
        path = scene.make_file()
        assert scene.send(path, 1, "-r", "0.2", "-s", "10").wait(WITHIN_S) != 0
        clients.write_text("0x00001111\n")
        reload(scene, "cproxy")
        assert scene.send(path, 1).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
        clients.write_text("nonsense\n")
        known = len(scene.running["cproxy"].lines)
        scene.running["cproxy"].signal(signal.SIGHUP)
        scene.running["cproxy"].wait_for(f"{clients}:1", start=known)
        other = scene.make_file("other")
        assert scene.send(other, 1).wait(WITHIN_S) == 0
        assert scene.arrived(other, "client1")


@requires_namespaces
def test_the_next_file_arrives_by_a_response_proxy_whose_workers_were_killed(tmp_path: Path) -> None:
    options, keys = SUITES["gcm-ecdsa"]
    with Scene(RESPONSE, tmp_path) as scene:
        scene.start_proxy("rproxy", OURS, "-r", "-I", "lan5", "-O", "lan5", "-M", PUBLIC, *keys, "-e", "prime256v1")
        scene.start_client("client1", 5, "-R", scene.lans.address4("rproxy", 5), *keys)
        scene.running["client1"].wait_for("PROXY_KEY")
        path = scene.make_file(size=10_000_000)
        server = scene.send(path, 5, *FAST, *options.split())
        server.wait_for("Sending section 0")
        kill_workers(scene, "rproxy")
        assert server.wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
        kill_workers(scene, "rproxy")
        other = scene.make_file("other")
        assert scene.send(other, 5, *options.split()).wait(WITHIN_S) == 0
        assert scene.arrived(other, "client1")
