"""proxyctl beside uftpproxyd: a transfer is seen on its way, and the machine is examined."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.interop.scene import CHAIN, OURS, WITHIN_S, Scene, start_chain
from tests.kit.requirement import requires_namespaces, requires_program

pytestmark = requires_program("uftp", "uftpd")
SIZE = 3_000_000
RATE_KBPS = 2_500


class Desk:
    """proxyctl before one of a scene's proxies."""

    def __init__(self, scene: Scene, station: str, socket: Path) -> None:
        self._place = scene.lans[station]
        self._socket = socket

    def ask(self, *words: str) -> Any:
        """Return what a command says in JSON, whatever its status."""
        command = [sys.executable, "-m", "proxyd.cli.proxyctl", "-s", self._socket, *words, "--json"]
        return json.loads(self._place.run(command, check=False).stdout)

    def transfer(self) -> dict[str, Any]:
        """Wait until a transfer has passed something on; return it."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            for group in self.ask("groups"):
                if group["file_bytes"]:
                    return dict(group)
        raise AssertionError("no transfer was ever seen")


@requires_namespaces
def test_a_transfer_is_listed_by_every_proxy_on_its_way(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        sockets = {station: tmp_path / f"{station}.ctl" for station in ("sproxy", "cproxy")}
        start_chain(
            scene,
            (OURS, OURS),
            ("--control", str(sockets["sproxy"])),
            ("--control", str(sockets["cproxy"])),
        )
        scene.start_client("client1", 3)
        path = scene.make_file(size=SIZE)
        upper, lower = (Desk(scene, station, socket) for station, socket in sockets.items())
        sending = scene.send(path, 1, "-R", str(RATE_KBPS))
        seen = {"upper": upper.transfer(), "lower": lower.transfer()}
        (row,) = lower.ask("top", "-i", "0.5")["groups"]
        assert row["group"]["id"] == seen["lower"]["id"] == seen["upper"]["id"]
        for group in seen.values():
            assert (group["file_size"], group["phase"], group["encrypted"]) == (SIZE, "receiving", False)
            assert group["file"].endswith(path.name)
            assert 0 < group["progress"] <= 1
        assert (seen["upper"]["clients"], seen["lower"]["clients"]) == (None, 1)
        found = {finding["subject"]: finding["verdict"] for finding in lower.ask("doctor")}
        assert found["interfaces"] == "ok"
        joined = {finding["subject"]: finding["text"] for finding in upper.ask("doctor")}["multicast membership"]
        assert "230.4." in joined
        assert sending.wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
