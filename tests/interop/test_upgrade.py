"""Transfers between the original programs through proxies that are upgraded under them."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import msgspec
import pytest

from proxyd.daemon.fdstore import LIST_NAME
from proxyd.daemon.inventory import MAX_BYTES, EstateLeft, Manifest, seal, write
from tests.interop.scene import CHAIN, COMMANDS, OURS, PUBLIC, STARTED, UIDS, WITHIN_S, Scene, start_chain
from tests.kit.process import Process
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.service import Service

pytestmark = requires_program("uftp", "uftpd")
ALWAYS = ("plain", "gcm-ecdsa")
"""The others have their turn every night."""
SUITES = {
    "plain": ("", ()),
    "hmac-authenticated": ("-c -Y aes256-cbc -h sha256 -w hmac -e rsa -K 1024", ("-K", "rsa:1024")),
    "gcm-ecdsa": ("-Y aes256-gcm -h sha256 -e ecdh_ecdsa:prime256v1 -K prime256v1", ("-K", "ec:prime256v1")),
}
"""What the server is told, and what proxy and clients are: keys that a proxy has made itself go on with it."""
FIFTY_MB = 50_000_000
UFTP_PORT = 1044


def upgrade(scene: Scene, station: str) -> None:
    """Start a proxy's program anew, with --takeover; wait until it serves and the one before has ended."""
    old = scene.running[station]
    command = old.argv[old.argv.index("-d") :]
    start = len(old.lines)
    del scene.running[station]
    argv = [word for word in command if word not in ("-d", "--takeover")]
    user_id = argv.index("-U")
    del argv[user_id : user_id + 2], argv[argv.index("-x") : argv.index("-x") + 2]
    new = scene.start_proxy(station, OURS, *argv, "--takeover")
    new.wait_for("Taken over from process")
    old.wait_for("has taken over", start)
    assert old.wait() == 0


@pytest.mark.parametrize(
    "suite", [pytest.param(suite, marks=() if suite in ALWAYS else pytest.mark.night) for suite in SUITES]
)
@requires_namespaces
def test_a_file_arrives_though_both_proxies_are_upgraded_twice(tmp_path: Path, suite: str) -> None:
    options, keys = SUITES[suite]
    with Scene(CHAIN, tmp_path) as scene:
        start_chain(
            scene,
            (OURS, OURS),
            ("--workers", "2", "--control", str(tmp_path / "sproxy.ctl")),
            ("--workers", "2", "--control", str(tmp_path / "cproxy.ctl"), *keys),
        )
        for client in ("client1", "client2"):
            scene.start_client(client, 3, *keys)
        path = scene.make_file(size=FIFTY_MB)
        server = scene.send(path, 1, "-R", "80000", *options.split())
        for section in (1, 2):
            server.wait_for(f"Sending section {section}", within_s=WITHIN_S)
            for station in ("sproxy", "cproxy"):
                upgrade(scene, station)
        assert server.wait(WITHIN_S) == 0
        for client in ("client1", "client2"):
            assert scene.arrived(path, client)
        assert "aborted" not in server.output.lower()


def spoil_keys(service: Service) -> None:
    """Write something else in the place of the keys among what is kept."""
    ((place, descriptor),) = ((number, fd) for number, (name, fd) in enumerate(service.kept) if name == LIST_NAME)
    manifest = msgspec.msgpack.decode(os.pread(descriptor, MAX_BYTES, 0), type=Manifest)
    estate = msgspec.structs.replace(msgspec.msgpack.decode(manifest.estate, type=EstateLeft), private=b"nonsense")
    other = os.memfd_create("other")
    os.write(other, write(msgspec.structs.replace(manifest, estate=seal(estate))))
    service.kept[place] = (LIST_NAME, other)
    os.close(descriptor)


@requires_namespaces
@pytest.mark.night
@pytest.mark.parametrize("spoiled", [False, True], ids=["whole", "without its keys"])
def test_a_file_arrives_though_a_proxy_is_stopped_and_started_by_a_service_manager(
    tmp_path: Path, spoiled: bool
) -> None:
    options, keys = SUITES["hmac-authenticated"]
    with (
        Scene(CHAIN, tmp_path) as scene,
        Service(tmp_path, room=100) as service,
        scene.lans["cproxy"].socket(socket.AF_INET) as unit,
    ):
        # Its port is a socket unit's, and so is among what is passed and among what is laid up.
        unit.bind(("0.0.0.0", UFTP_PORT))
        service.units = [("uftpproxyd@x.socket", unit)]

        def start() -> Process:
            argv = [*COMMANDS[OURS], "-d", "-x", "2", "-U", UIDS["cproxy"], "-c", "-I", "lan3", "-O", "lan3", *keys]
            process = service.start(scene.lans["cproxy"], [*argv, "--workers", "2"])
            process.wait_for(f"The socket of .*:{UFTP_PORT} is the service manager's: uftpproxyd@x.socket")
            process.wait_for(STARTED[OURS])
            scene.running["cproxy"] = process
            return process

        proxy = start()
        address = scene.lans.address4("cproxy", 2)
        scene.start_proxy("sproxy", OURS, "-s", address, "-I", "lan1", "-M", PUBLIC)
        scene.start_client("client1", 3, *keys)
        path = scene.make_file(size=FIFTY_MB)
        # Clients and server wait for a proxy that is away as long as the server's idea of the round trip says; who is
        # named need not be waited for at the beginning.
        (tmp_path / "proxies").write_text(f"{UIDS['cproxy']}\n")
        named = ("-H", UIDS["client1"], "-j", str(tmp_path / "proxies"))
        server = scene.send(path, 1, "-R", "80000", "-r", "1:1:5", *named, *options.split())
        server.wait_for("Sending section 1", within_s=WITHIN_S)
        proxy.signal(signal.SIGTERM)
        proxy.wait_for("laid up with the service manager")
        proxy.wait()
        if spoiled:
            spoil_keys(service)
        started = start()
        started.wait_for("Taken over from the service manager's store")
        if spoiled:
            started.wait_for("Not taken over from the service manager's store: the keys that were left")
        assert server.wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
