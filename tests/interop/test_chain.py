"""Server, server proxy, client proxy, client: with our proxy in each place and in both, plain and encrypted."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.interop.scene import CHAIN, ORIGINAL, OURS, WITHIN_S, Scene, start_chain
from tests.kit.requirement import requires_namespaces, requires_program

pytestmark = requires_program("uftp", "uftpd")
PLACES = {"both": (OURS, OURS), "server-proxy": (OURS, ORIGINAL), "client-proxy": (ORIGINAL, OURS)}

PRIME = ("-K", "ec:prime256v1")
SUITES = {
    "hmac-rsa": ("-Y aes256-cbc -h sha256 -w hmac -e rsa -K 1024", ("-K", "rsa:1024")),
    "keyex-rsa": ("-Y aes128-cbc -h sha256 -w keyex -e rsa -K 1024", ("-K", "rsa:1024")),
    "gcm-rsa": ("-Y aes256-gcm -h sha256 -e rsa -K 1024", ("-K", "rsa:1024")),
    "hmac-ecdh-rsa": ("-Y aes256-cbc -h sha1 -w hmac -e ecdh_rsa:prime256v1 -K 1024", ("-K", "rsa:1024")),
    "hmac-ecdsa": ("-Y aes256-cbc -h sha256 -w hmac -e ecdh_ecdsa:prime256v1 -K prime256v1", PRIME),
    "keyex-ecdsa": ("-Y aes256-cbc -h sha256 -w keyex -e ecdh_ecdsa:prime256v1 -K prime256v1", PRIME),
    "gcm-p384": ("-Y aes256-gcm -h sha256 -e ecdh_ecdsa:secp384r1 -K prime256v1", PRIME),
    "ccm-p521": ("-Y aes128-ccm -h sha512 -e ecdh_ecdsa:secp521r1 -K secp521r1", ("-K", "ec:secp521r1")),
    "3des-sha1": ("-Y 3des -h sha1 -w hmac -e rsa -K 512", ("-K", "rsa:512")),
    "authenticated": ("-c -Y aes256-cbc -h sha256 -w hmac -e rsa -K 1024", ("-K", "rsa:1024")),
    "unconfigured": ("-Y aes256-cbc -h sha256 -w hmac -e rsa", ()),
}
"""What the server is told, and what proxy and clients are. Source: UFTP 4.10.2, observed: all work but DES."""


@requires_namespaces
@pytest.mark.parametrize("programs", PLACES.values(), ids=PLACES)
def test_a_plain_file_arrives(tmp_path: Path, programs: tuple[str, str]) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, programs)
        scene.start_client("client1", 3)
        scene.start_client("client2", 3)
        path = scene.make_file()
        assert scene.send(path, 1).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
        assert scene.arrived(path, "client2")
        assert "Received REGISTER from proxy 0x0000C0C0" in scene.running["server"].output


def each_suite_in_each_place() -> list[ParameterSet]:
    """Return (programs, suite) of every combination; by day each suite has one place, in turn."""
    return [
        pytest.param(programs, suite, id=f"{suite}-{place}", marks=() if number % 3 == turn else pytest.mark.night)
        for number, suite in enumerate(SUITES)
        for turn, (place, programs) in enumerate(PLACES.items())
    ]


@requires_namespaces
@pytest.mark.parametrize(("programs", "suite"), each_suite_in_each_place())
def test_an_encrypted_file_arrives(tmp_path: Path, programs: tuple[str, str], suite: str) -> None:
    server, keys = SUITES[suite]
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(scene, programs, cproxy=keys)
        scene.start_client("client1", 3, *keys)
        path = scene.make_file(size=60_000)
        assert scene.send(path, 1, *server.split()).wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
