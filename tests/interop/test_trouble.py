"""Loss, late clients, ends before the end, congestion control: what goes wrong in networks goes right again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.interop.scene import CHAIN, ORIGINAL, OURS, WITHIN_S, Scene, start_chain
from tests.kit.requirement import requires_namespaces, requires_program

pytestmark = requires_program("uftp", "uftpd", "nft")
BOTH = (OURS, OURS)
RSA = ("-K", "rsa:1024")
HMAC = ("-Y", "aes256-cbc", "-h", "sha256", "-w", "hmac", "-e", "rsa", "-K", "1024")
GCM = ("-Y", "aes256-gcm", "-h", "sha256", "-e", "rsa", "-K", "1024")
KEYEX = ("-Y", "aes128-cbc", "-h", "sha256", "-w", "keyex", "-e", "rsa", "-K", "1024")
SLOW = ("-R", "400")
SENDING = "Sending section 0"
"""The server's data phase: one that is stopped earlier, while it waits for FILEINFO_ACK, ends without an ABORT."""
LOSS = """
table ip loss {
  chain arriving {
    type filter hook input priority 0; policy accept
    udp dport 1044 numgen random mod 100 < 15 drop
  }
}
"""


def lose(scene: Scene, *stations: str) -> None:
    """Let stations lose 15 of 100 datagrams from now on."""
    for station in stations:
        scene.lans[station].run(["nft", "-f", "-"], text=LOSS)


@pytest.mark.parametrize("programs", [BOTH, (ORIGINAL, OURS)], ids=["both", "client-proxy"])
@pytest.mark.parametrize("suite", [(), HMAC, GCM, KEYEX], ids=["plain", "hmac", "gcm", "keyex"])
@requires_namespaces
def test_a_file_arrives_through_loss(tmp_path: Path, programs: tuple[str, str], suite: tuple[str, ...]) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, programs, cproxy=RSA)
        for client in ("client1", "client2"):
            scene.start_client(client, 3, *RSA)
        lose(scene, "client1", "client2")
        path = scene.make_file()
        assert scene.send(path, 1, *suite).wait(WITHIN_S) == 0
        for client in ("client1", "client2"):
            assert (tmp_path / client / path.name).read_bytes() == path.read_bytes()


@requires_namespaces
def test_a_file_arrives_though_everybody_loses(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, cproxy=RSA)
        scene.start_client("client1", 3, *RSA)
        lose(scene, "client1", "cproxy", "sproxy")
        path = scene.make_file()
        assert scene.send(path, 1, *HMAC).wait(WITHIN_S) == 0
        assert (tmp_path / "client1" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("suite", [(), HMAC, GCM, KEYEX], ids=["plain", "hmac", "gcm", "keyex"])
@pytest.mark.parametrize("lossy", [False, True], ids=["clean", "loss"])
@requires_namespaces
def test_congestion_control_works(tmp_path: Path, suite: tuple[str, ...], lossy: bool) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, cproxy=RSA)
        for client in ("client1", "client2"):
            scene.start_client(client, 3, *RSA)
        if lossy:
            lose(scene, "client1", "client2")
        path = scene.make_file(size=100_000)
        assert scene.send(path, 1, "-C", "tfmcc", *suite).wait(2 * WITHIN_S) == 0
        for client in ("client1", "client2"):
            assert (tmp_path / client / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("suite", [(), GCM], ids=["plain", "gcm"])
@requires_namespaces
def test_a_client_that_comes_late_gets_everything(tmp_path: Path, suite: tuple[str, ...]) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, cproxy=RSA)
        scene.start_client("client1", 3, *RSA)
        path = scene.make_file()
        server = scene.send(path, 1, "-r", "0.3:0.3:15", "-s", "10", *suite)
        scene.running["cproxy"].wait_for("KEYINFO_ACK from 0x00001111" if suite else "REGISTER sent")
        scene.start_client("client2", 3, *RSA)
        assert server.wait(WITHIN_S) == 0
        for client in ("client1", "client2"):
            assert scene.arrived(path, client)


@requires_namespaces
def test_a_client_that_dies_is_reported_and_the_other_gets_everything(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH)
        for client in ("client1", "client2"):
            scene.start_client(client, 3)
        path = scene.make_file()
        server = scene.send(path, 1, *SLOW)
        server.wait_for(SENDING)
        scene.running["client2"].signal(signal.SIGTERM)
        server.wait(WITHIN_S)
        assert "Transfer aborted by 0x00002222" in server.output or "ABORT" in server.output.upper()
        assert scene.arrived(path, "client1")


@pytest.mark.parametrize("suite", [(), HMAC], ids=["plain", "hmac"])
@requires_namespaces
def test_clients_hear_of_a_server_that_is_stopped(tmp_path: Path, suite: tuple[str, ...]) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, cproxy=RSA)
        client = scene.start_client("client1", 3, *RSA)
        server = scene.send(scene.make_file(), 1, *SLOW, *suite)
        server.wait_for(SENDING)
        server.signal(signal.SIGTERM)
        client.wait_for("Transfer aborted by server")
        server.wait()


@requires_namespaces
def test_a_proxy_that_loses_a_worker_goes_on(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, sproxy=("--workers", "1"))
        scene.start_client("client1", 3)
        first = scene.make_file("first")
        assert scene.send(first, 1).wait(WITHIN_S) == 0
        sproxy = scene.running["sproxy"]
        worker = int(sproxy.wait_for("Child worker 0 started").rpartition(" ")[2])
        known = len(sproxy.lines)
        scene.lans["sproxy"].run(["kill", "-KILL", str(worker)])
        sproxy.wait_for("Child worker 0 started", start=known)
        second = scene.make_file("second")
        assert scene.send(second, 1).wait(WITHIN_S) == 0
        assert (tmp_path / "client1" / "second").read_bytes() == second.read_bytes()
