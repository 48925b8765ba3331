"""What else servers and clients do: announce to one address, use two tunnels, resume, send trees, give up, vanish."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.interop.scene import CHAIN, OURS, PRIVATE, PUBLIC, UIDS, WITHIN_S, Scene, start_chain
from tests.kit.requirement import requires_namespaces, requires_program

pytestmark = requires_program("uftp", "uftpd", "nft")
BOTH = (OURS, OURS)
RSA = ("-K", "rsa:1024")
KEYEX = ("-Y", "aes128-cbc", "-h", "sha256", "-w", "keyex", "-e", "rsa", "-K", "1024")
DIRECT = {"server": {1: 1}, "sproxy": {1: 2, 2: 2}, "client1": {2: 11}}
BRANCHES = {"server": {1: 1}, "sproxy": {1: 2, 2: 2}, "second": {1: 3, 4: 2}}
BRANCHES |= {"cproxy": {2: 3, 3: 3}, "rproxy": {4: 3, 6: 3}, "client1": {3: 11}, "client2": {6: 12}}
"""Two tunnels: sproxy and cproxy to client1, second and rproxy, a client proxy here, to client2."""
HEAVY_LOSS = """
table ip loss {
  chain arriving {
    type filter hook input priority 0; policy accept
    udp dport 1044 numgen random mod 100 < 60 drop
  }
}
"""


@requires_namespaces
def test_a_server_may_announce_to_one_address(tmp_path: Path) -> None:
    with Scene(DIRECT, tmp_path) as scene:
        proxy = scene.start_proxy("sproxy", OURS, "-s", scene.lans.address4("client1", 2), "-I", "lan1", "-M", PUBLIC)
        scene.start_client("client1", 2)
        path = scene.make_file()
        assert scene.send(path, 1, groups=(scene.lans.address4("sproxy", 1), PRIVATE)).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
        assert "Public address" in proxy.output


@pytest.mark.night
@requires_namespaces
def test_two_tunnels_carry_one_group(tmp_path: Path) -> None:
    with Scene(BRANCHES, tmp_path) as scene:
        for above, below, tunnel, lan in (("sproxy", "cproxy", 2, 3), ("second", "rproxy", 4, 6)):
            scene.start_proxy(below, OURS, "-c", "-I", f"lan{lan}", "-O", f"lan{lan}", *RSA)
            scene.start_proxy(above, OURS, "-s", scene.lans.address4(below, tunnel), "-I", "lan1", "-M", PUBLIC)
        scene.start_client("client1", 3, *RSA)
        scene.start_client("client2", 6, *RSA)
        path = scene.make_file()
        assert scene.send(path, 1, *KEYEX).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
        assert scene.arrived(path, "client2")


@pytest.mark.night
@requires_namespaces
def test_a_transfer_that_failed_for_one_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where the server writes down what is left to do
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH)
        for client in ("client1", "client2"):
            scene.start_client(client, 3)
        proxies = tmp_path / "proxies"
        proxies.write_text(f"{UIDS['cproxy']}\n")
        path = scene.make_file(size=600_000)
        closed = ("-H", f"{UIDS['client1']},{UIDS['client2']}", "-j", str(proxies))
        server = scene.send(path, 1, "-f", "-R", "1500", *closed)
        server.wait_for("Sending section 0")
        scene.running["client2"].signal(signal.SIGKILL)
        server.wait(WITHIN_S)
        scene.start_client("client2", 3)
        (left,) = tmp_path.glob("_group_*_restart")
        assert scene.send(path, 1, "-F", str(left)).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client2")


@pytest.mark.night
@requires_namespaces
def test_every_link_may_have_a_port_of_its_own(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, ("-p", "2000", "-q", "3000"), ("-p", "3000", "-q", "4000"))
        scene.start_client("client1", 3, "-p", "4000")
        path = scene.make_file()
        assert scene.send(path, 1, "-p", "2000", "-u", "5555").wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")


@pytest.mark.night
@requires_namespaces
def test_trees_arrive_as_they_are_and_files_are_deleted(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH)
        scene.start_client("client1", 3)
        tree, copy = tmp_path / "tree", tmp_path / "client1" / "tree"
        (tree / "deep" / "deeper").mkdir(parents=True)
        (tree / "empty").touch()
        (tree / "deep" / "a name").write_bytes(os.urandom(70_000))
        (tree / "link").symlink_to("deep/a name")
        assert scene.send(tree, 1).wait(WITHIN_S) == 0
        assert sorted(path.relative_to(tree) for path in tree.rglob("*")) == sorted(
            path.relative_to(copy) for path in copy.rglob("*")
        )
        assert (copy / "link").readlink() == Path("deep/a name")
        assert (copy / "deep" / "a name").read_bytes() == (tree / "deep" / "a name").read_bytes()
        assert scene.send(Path("@DELETE:tree"), 1).wait(WITHIN_S) == 0
        assert not copy.exists()


@pytest.mark.night
@requires_namespaces
def test_a_client_that_misses_too_much_is_left_behind(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH)
        for client in ("client1", "client2"):
            scene.start_client(client, 3)
        scene.lans["client2"].run(["nft", "-f", "-"], text=HEAVY_LOSS)
        path = scene.make_file(size=300_000)
        scene.send(path, 1, "-a", "2").wait(WITHIN_S)
        # The server gives up the proxy, in whose name it was asked again; this client had everything by then.
        assert (tmp_path / "client1" / path.name).read_bytes() == path.read_bytes()
        # What is half there has the file's name, too.
        copy = tmp_path / "client2" / path.name
        assert not copy.exists() or copy.read_bytes() != path.read_bytes()


@pytest.mark.night
@requires_namespaces
def test_a_server_that_vanishes_leaves_room_for_the_next(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH)
        scene.start_client("client1", 3)
        lost, path = scene.make_file("lost", 400_000), scene.make_file()
        server = scene.send(lost, 1, "-R", "400")
        server.wait_for("Sending section 0")
        server.signal(signal.SIGKILL)
        server.wait(WITHIN_S)
        assert scene.send(path, 1).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
