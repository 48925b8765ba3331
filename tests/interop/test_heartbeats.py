"""A client proxy behind address translation is found by its heartbeats, and again when its mapping changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.scene import CHAIN, ORIGINAL, OURS, PUBLIC, WITHIN_S, Scene
from tests.kit.requirement import requires_namespaces, requires_program

pytestmark = requires_program("uftp", "uftpd", "uftp_keymgt", "nft")
BEHIND = CHAIN | {"cproxy": {6: 3, 3: 3}, "nat": {2: 254, 6: 1}}
TABLE = """
flush ruleset
table ip nat {
  chain post {
    type nat hook postrouting priority 100
    oifname "lan2" ip protocol udp masquerade to :20000-29999
  }
}
table ip filter {
  chain forward {
    type filter hook forward priority 0; policy drop
    iifname "lan6" accept
    ct state established,related accept
  }
}
"""
SUITE = ("-Y", "aes128-cbc", "-h", "sha256", "-K", "1024")


def move(scene: Scene) -> None:
    """Give the address translator another address: what it had mapped is forgotten with the old one."""
    scene.lans["nat"].configure(["addr flush dev lan2", "addr add 10.99.2.253/24 dev lan2"])


def make_key(scene: Scene, name: str) -> tuple[Path, str]:
    """Make a key with the original program; return its file and its fingerprint."""
    key = scene.directory / name
    scene.lans["client1"].run(["uftp_keymgt", "-g", "rsa:1024", key])
    shown = scene.lans["client1"].run(["uftp_keymgt", key])
    return key, (shown.stdout + shown.stderr).strip().rpartition(" ")[2]


def build(scene: Scene) -> None:
    """Let the address translator route."""
    scene.lans["cproxy"].configure([f"route add default via {scene.lans.address4('nat', 6)}"])
    scene.lans["nat"].run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    scene.lans["nat"].run(["nft", "-f", "-"], text=TABLE)


@pytest.mark.parametrize(
    "programs",
    [(OURS, OURS), (OURS, ORIGINAL), (ORIGINAL, OURS)],
    ids=["both", "server-proxy", "client-proxy"],
)
@requires_namespaces
def test_a_mapping_that_changes_is_followed(tmp_path: Path, programs: tuple[str, str]) -> None:
    with Scene(BEHIND, tmp_path) as scene:
        build(scene)
        key, fingerprint = make_key(scene, "proxy.pem")
        sproxy = scene.start_proxy("sproxy", programs[0], "-s", f"fp={fingerprint}", "-I", "lan1", "-M", PUBLIC)
        beats = ("-H", scene.lans.address4("sproxy", 2), "-h", "1", "-k", str(key))
        scene.start_proxy("cproxy", programs[1], "-c", "-I", "lan3", "-O", "lan3", *beats)
        scene.start_client("client1", 3, "-K", "rsa:1024")
        for name, address in (("before", "10.99.2.254"), ("after", "10.99.2.253")):
            sproxy.wait_for(f"Using .*{address}.*downstream address")
            path = scene.make_file(name)
            assert scene.send(path, 1, *SUITE).wait(WITHIN_S) == 0
            assert scene.arrived(path, "client1")
            move(scene)


@requires_namespaces
def test_without_a_proof_nobody_becomes_the_downstream(tmp_path: Path) -> None:
    with Scene(BEHIND, tmp_path) as scene:
        build(scene)
        key, _ = make_key(scene, "proxy.pem")
        _, other = make_key(scene, "other.pem")
        scene.start_proxy("sproxy", OURS, "-s", f"fp={other}", "-I", "lan1", "-M", PUBLIC)
        beats = ("-H", scene.lans.address4("sproxy", 2), "-h", "1", "-k", str(key))
        cproxy = scene.start_proxy("cproxy", OURS, "-c", "-I", "lan3", "-O", "lan3", *beats)
        cproxy.wait_for("does not accept our heartbeat")
        path = scene.make_file()
        assert scene.send(path, 1, "-r", "0.1", "-s", "10").wait(WITHIN_S) != 0
        assert "Downstream address not established" in scene.running["sproxy"].output
