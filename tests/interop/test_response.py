"""A response proxy beside the server: what made the original refuse or crash works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.scene import OURS, PUBLIC, RESPONSE, WITHIN_S, Scene
from tests.kit.requirement import requires_namespaces, requires_program

pytestmark = requires_program("uftp", "uftpd")
CASES = {
    "plain": ("", (), ()),
    "hmac-rsa": ("-Y aes256-cbc -h sha256 -w hmac -e rsa -K 1024", ("-K", "rsa:1024"), ()),
    "keyex-rsa": ("-Y aes128-cbc -h sha256 -w keyex -e rsa -K 1024", ("-K", "rsa:1024"), ()),
    "gcm-ecdsa": (
        "-Y aes256-gcm -h sha256 -e ecdh_ecdsa:prime256v1 -K prime256v1",
        ("-K", "ec:prime256v1"),
        ("-e", "prime256v1"),
    ),
    "ecdh-rsa": (
        "-Y aes256-gcm -h sha256 -e ecdh_rsa:prime256v1 -K 1024",
        ("-K", "rsa:1024"),
        ("-e", "prime256v1"),
    ),
    "other-curve": (
        "-Y aes256-gcm -h sha256 -e ecdh_ecdsa:secp384r1 -K prime256v1",
        ("-K", "ec:prime256v1"),
        ("-e", "secp384r1"),
    ),
}
"""Server, keys of proxy and clients, the proxy's curve."""


def start(
    scene: Scene, keys: tuple[str, ...], curve: tuple[str, ...], clients: tuple[str, ...] = ("client1", "client2")
) -> None:
    """Start the proxy, and clients that register with it."""
    scene.start_proxy("rproxy", OURS, "-r", "-I", "lan5", "-O", "lan5", "-M", PUBLIC, *keys, *curve)
    for client in clients:
        scene.start_client(client, 5, "-R", scene.lans.address4("rproxy", 5), *keys)
        if keys:
            scene.running[client].wait_for("PROXY_KEY")


@pytest.mark.parametrize("case", CASES)
@requires_namespaces
def test_two_files_one_after_the_other_arrive_through_a_response_proxy(tmp_path: Path, case: str) -> None:
    server, keys, curve = CASES[case]
    with Scene(RESPONSE, tmp_path) as scene:
        start(scene, keys, curve)
        for name in ("first", "second"):
            path = scene.make_file(name)
            sent = scene.send(path, 5, *server.split())
            assert sent.wait(WITHIN_S) == 0
            assert "Received REGISTER from proxy 0x0000D0D0" in sent.output
            for client in ("client1", "client2"):
                assert scene.arrived(path, client)


@requires_namespaces
def test_an_ecdh_group_is_refused_where_the_proxy_has_no_curve(tmp_path: Path) -> None:
    server, keys, _ = CASES["gcm-ecdsa"]
    with Scene(RESPONSE, tmp_path) as scene:
        start(scene, keys, (), clients=())
        refused = scene.send(scene.make_file(), 5, *server.split(), "-r", "0.2", "-s", "10")
        assert refused.wait(WITHIN_S) != 0
        assert "needs -e" in refused.output
        # The original client ends by itself when it hears such a group.
        scene.start_client("client1", 5, "-R", scene.lans.address4("rproxy", 5), *keys)
        plain = scene.make_file("plain")
        assert scene.send(plain, 5).wait(WITHIN_S) == 0
        assert scene.arrived(plain, "client1")
