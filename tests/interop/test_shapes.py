"""Other shapes of networks and groups: two server proxies, IPv6, closed groups, lists, single sources, sync."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.scene import (
    CHAIN,
    LONG_CHAIN,
    ORIGINAL,
    OURS,
    PRIVATE6,
    PUBLIC,
    PUBLIC6,
    WITHIN_S,
    Scene,
    start_chain,
)
from tests.kit.requirement import requires_namespaces, requires_program
from workers.uftp.fingerprint import format_fingerprint

pytestmark = requires_program("uftp", "uftpd", "uftp_keymgt")
BOTH = (OURS, OURS)
HMAC = ("-Y", "aes256-cbc", "-h", "sha256", "-w", "hmac", "-e", "rsa", "-K", "1024")
GCM6 = ("-Y", "aes256-gcm", "-h", "sha256", "-e", "ecdh_ecdsa:prime256v1", "-K", "prime256v1")
RSA = ("-K", "rsa:1024")
NOBODY = format_fingerprint(bytes(20))
REFUSED = 7
"""Exit status of a server that nobody answered."""


@pytest.mark.parametrize(
    "programs",
    [(OURS, OURS, OURS), (ORIGINAL, OURS, ORIGINAL), (OURS, ORIGINAL, OURS)],
    ids=["all", "middle", "ends"],
)
@requires_namespaces
def test_two_server_proxies_in_a_row(tmp_path: Path, programs: tuple[str, str, str]) -> None:
    with Scene(LONG_CHAIN, tmp_path) as scene:
        scene.start_proxy("cproxy", programs[2], "-c", "-I", "lan3", "-O", "lan3", *RSA)
        address = scene.lans.address4("cproxy", 2)
        scene.start_proxy("second", programs[1], "-s", address, "-I", "lan4", "-M", PUBLIC)
        address = scene.lans.address4("second", 4)
        scene.start_proxy("sproxy", programs[0], "-s", address, "-I", "lan1", "-M", PUBLIC)
        scene.start_client("client1", 3, *RSA)
        path = scene.make_file()
        assert scene.send(path, 1, *HMAC).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")


@pytest.mark.parametrize(
    "programs", [BOTH, (ORIGINAL, OURS), (OURS, ORIGINAL)], ids=["both", "client-proxy", "server-proxy"]
)
@pytest.mark.parametrize(("suite", "keys"), [((), ()), (GCM6, ("-K", "ec:prime256v1"))], ids=["plain", "gcm"])
@requires_namespaces
def test_ipv6(tmp_path: Path, programs: tuple[str, str], suite: tuple[str, ...], keys: tuple[str, ...]) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        scene.start_proxy("cproxy", programs[1], "-c", "-I", "lan3/6", "-O", "lan3/6", *keys)
        interfaces = ("-I", "lan1/6", "-O", "lan1/6")
        scene.start_proxy("sproxy", programs[0], "-s", scene.lans.address6("cproxy", 2), *interfaces, "-M", PUBLIC6)
        scene.start_client("client1", 3, "-M", PUBLIC6, *keys, version="/6")
        path = scene.make_file()
        assert scene.send(path, 1, *suite, groups=(PUBLIC6, PRIVATE6)).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")


@requires_namespaces
def test_a_closed_group_lists_client_and_proxy(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH)
        scene.start_client("client1", 3)
        scene.start_client("client2", 3)
        proxies = tmp_path / "proxies"
        proxies.write_text("0x0000C0C0\n")
        path = scene.make_file()
        assert scene.send(path, 1, "-H", "0x00001111", "-j", str(proxies)).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
        assert not (tmp_path / "client2" / path.name).exists()


@requires_namespaces
def test_a_proxy_that_a_closed_group_does_not_list_is_told(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH)
        scene.start_client("client1", 3)
        server = scene.send(scene.make_file(), 1, "-H", "0x00001111", "-r", "0.1", "-s", "10")
        scene.running["cproxy"].wait_for("ABORT|abort")
        assert server.wait(WITHIN_S) != 0


def fingerprint(scene: Scene, key: Path) -> str:
    """Make an RSA key with the original program and return its fingerprint."""
    scene.lans["client1"].run(["uftp_keymgt", "-g", "rsa:1024", key])
    key.chmod(0o644)
    shown = scene.lans["client1"].run(["uftp_keymgt", key])
    return (shown.stdout + shown.stderr).strip().rpartition(" ")[2]


@requires_namespaces
@pytest.mark.parametrize(
    ("line", "arrives"),
    [
        ("0x00001111|{print}", True),
        ("0x00001111", True),
        (f"0x00001111|{NOBODY}", False),
        ("0x00002222|{print}", False),
    ],
    ids=["listed", "any-key", "other-key", "other-uid"],
)
def test_a_client_list_lets_in_whom_it_lists(tmp_path: Path, line: str, arrives: bool) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        key, clients = tmp_path / "client.pem", tmp_path / "clients"
        clients.write_text(line.format(print=fingerprint(scene, key)) + "\n")
        start_chain(scene, BOTH, cproxy=(*RSA, "-C", str(clients)))
        scene.start_client("client1", 3, "-k", str(key))
        path = scene.make_file()
        status = scene.send(path, 1, "-c", *HMAC, "-r", "0.2", "-s", "10").wait(WITHIN_S)
        if arrives:
            assert status == 0
            assert scene.arrived(path, "client1")
        else:
            assert status != 0
            assert not (tmp_path / "client1" / path.name).exists()


@requires_namespaces
@pytest.mark.parametrize(
    "line",
    ["0x00005555|10.99.2.2", "0x00005555|10.99.2.9", "0x00006666|10.99.2.2"],
    ids=["listed", "other-address", "other-uid"],
)
@pytest.mark.parametrize("suite", [(), HMAC], ids=["plain", "hmac"])
def test_a_server_list_of_a_client_proxy_holds_for_every_group(
    tmp_path: Path, line: str, suite: tuple[str, ...]
) -> None:
    servers = tmp_path / "servers"
    servers.write_text(line + "\n")
    listed = line == "0x00005555|10.99.2.2"
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, cproxy=(*RSA, "-S", str(servers)))
        scene.start_client("client1", 3, *RSA)
        path = scene.make_file()
        status = scene.send(path, 1, *suite, "-r", "0.2", "-s", "10").wait(WITHIN_S)
        assert (status == 0) is listed
        if listed:
            assert scene.arrived(path, "client1")


@requires_namespaces
@pytest.mark.parametrize(("private", "arrives"), [("232.5.5.10", True), ("230.5.5.10", False)])
def test_single_sources_are_joined_and_nothing_else_is(tmp_path: Path, private: str, arrives: bool) -> None:
    servers = tmp_path / "servers"
    servers.write_text("0x00005555|10.99.1.1\n")
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, sproxy=("-M", "232.4.4.1", "-S", str(servers)))
        scene.start_client("client1", 3, "-M", "232.4.4.1")
        path = scene.make_file()
        filters = scene.lans["sproxy"].call(Path("/proc/thread-self/net/mcfilter").read_text)
        assert "0xe8040401 0x0a630101" in filters
        server = scene.send(path, 1, "-r", "0.2", "-s", "10", groups=("232.4.4.1", private))
        assert (server.wait(WITHIN_S) == 0) is arrives
        if arrives:
            assert scene.arrived(path, "client1")
        else:
            assert "source specific" in server.output


@requires_namespaces
def test_sync_mode_skips_what_is_there(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH)
        scene.start_client("client1", 3)
        path = scene.make_file()
        for said in ("normal", "skipped"):
            assert scene.send(path, 1, "-z").wait(WITHIN_S) == 0
            scene.running["cproxy"].wait_for(rf"Sent COMPLETE \({said}\)")
        assert scene.arrived(path, "client1")


@requires_namespaces
def test_several_servers_share_two_proxies(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, sproxy=("--workers", "2"), cproxy=("--workers", "2"))
        scene.start_client("client1", 3)
        paths = [scene.make_file(f"file{number}", 300_000) for number in range(4)]
        groups = [(PUBLIC, f"230.5.5.{20 + number}") for number in range(4)]
        servers = [scene.send(path, 1, groups=pair) for path, pair in zip(paths, groups, strict=True)]
        for server, path in zip(servers, paths, strict=True):
            assert server.wait(WITHIN_S) == 0
            assert (tmp_path / "client1" / path.name).read_bytes() == path.read_bytes()


@requires_namespaces
def test_one_process_does_everything(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, BOTH, sproxy=("--singleproc",), cproxy=("--singleproc", *RSA))
        scene.start_client("client1", 3, *RSA)
        path = scene.make_file()
        assert scene.send(path, 1, *HMAC).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
