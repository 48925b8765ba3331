"""What the original dies of when it starts, or misunderstands: ours starts, and what it writes is not everybody's."""

from __future__ import annotations

import signal
import stat
from pathlib import Path

import pytest

from tests.interop.scene import CHAIN, OURS, PRIVATE, PUBLIC, RESPONSE, WITHIN_S, Scene, start_chain
from tests.kit.requirement import requires_namespaces, requires_program

pytestmark = requires_program("uftp", "uftpd")
EXIT_BY_SIGNAL = 6


def ends_in_order(scene: Scene, station: str) -> bool:
    process = scene.running[station]
    process.signal(signal.SIGTERM)
    return process.wait(WITHIN_S) == EXIT_BY_SIGNAL


@requires_namespaces
def test_lists_of_thousands_of_entries(tmp_path: Path) -> None:
    """The original writes behind its tables from the 100th server and the 1,000th client on."""
    servers, clients = tmp_path / "servers", tmp_path / "clients"
    servers.write_text("".join(f"{uid:#010x}|10.99.2.2\n" for uid in range(0x5000, 0x5000 + 3_000)))
    clients.write_text("".join(f"{uid:#010x}\n" for uid in range(0x1000, 0x1000 + 4_000)))
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, (OURS, OURS), (), ("-S", str(servers), "-C", str(clients)))
        scene.start_client("client1", 3)
        path = scene.make_file()
        assert scene.send(path, 1).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
        assert ends_in_order(scene, "cproxy")


@requires_namespaces
def test_a_hundred_and_thirty_keys_and_targets(tmp_path: Path) -> None:
    """The original dies of more than a hundred."""
    keys = ",".join(["ec:prime256v1"] * 130)
    targets = ",".join(f"10.99.2.{host}" for host in range(100, 240))
    with Scene(CHAIN, tmp_path) as scene:
        scene.start_proxy("cproxy", OURS, "-c", "-I", "lan3", "-O", "lan3", "-K", keys, "-H", targets)
        assert sum(": ECDSA" in line for line in scene.running["cproxy"].lines) == 130
        assert ends_in_order(scene, "cproxy")


@requires_namespaces
def test_rsa_keys_of_more_than_2048_bits(tmp_path: Path) -> None:
    """The original's heap is corrupted by them."""
    with Scene(CHAIN, tmp_path) as scene:
        scene.start_proxy("cproxy", OURS, "-c", "-I", "lan3", "-O", "lan3", "-K", "rsa:3072,rsa:4096")
        assert ends_in_order(scene, "cproxy")


@pytest.mark.parametrize("ttl", ["128", "255"])
@requires_namespaces
def test_a_time_to_live_above_127(tmp_path: Path, ttl: str) -> None:
    """The original ends with status 2, or sends with another one."""
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, (OURS, OURS), (), ("-t", ttl))
        scene.start_client("client1", 3)
        path = scene.make_file()
        assert scene.send(path, 1).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")


@requires_namespaces
def test_an_interface_with_several_addresses(tmp_path: Path) -> None:
    """The original joins its group twice, and ends with status 2."""
    with Scene(RESPONSE, tmp_path) as scene:
        scene.lans["rproxy"].configure(["addr add 10.99.5.77/24 dev lan5", "addr add 10.98.0.1/16 dev lan5"])
        scene.start_proxy("rproxy", OURS, "-r", "-M", PUBLIC)
        address = scene.lans.address4("rproxy", 5)
        scene.start_client("client1", 5, "-R", address)
        path = scene.make_file()
        assert scene.send(path, 5, groups=(PUBLIC, PRIVATE)).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")


@requires_namespaces
def test_what_it_writes_is_not_everybodys(tmp_path: Path) -> None:
    """The original's pidfile can be written, and its keys read, by anybody."""
    key, pidfile = tmp_path / "key.pem", tmp_path / "pid"
    with Scene(CHAIN, tmp_path) as scene:
        options = ("-K", "rsa:1024", "-k", str(key), "-P", str(pidfile))
        scene.start_proxy("cproxy", OURS, "-c", "-I", "lan3", "-O", "lan3", *options)
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(pidfile.stat().st_mode) == 0o644
