"""The monitor beside uftpproxyd: a transfer is seen while it is under way, and what was relayed is counted."""

from __future__ import annotations

import time
from pathlib import Path

from tests.interop.scene import CHAIN, OURS, WITHIN_S, Scene, start_chain
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.watch import Watch

pytestmark = requires_program("uftp", "uftpd")
SIZE = 2_000_000
RATE_KBPS = 8_000


@requires_namespaces
def test_a_transfer_is_seen_and_counted(tmp_path: Path) -> None:
    with Scene(CHAIN, tmp_path) as scene:
        places = {station: tmp_path / f"{station}.http" for station in ("sproxy", "cproxy")}
        start_chain(
            scene,
            (OURS, OURS),
            ("--monitor", str(places["sproxy"]), "--workers", "2"),
            ("--monitor", str(places["cproxy"])),
        )
        scene.start_client("client1", 3)
        path = scene.make_file(size=SIZE)
        watches = {station: Watch(place) for station, place in places.items()}
        sending = scene.send(path, 1, "-R", str(RATE_KBPS))
        for watch in watches.values():
            group = _first_group(watch)
            assert group["file"].endswith(path.name)
            assert group["file_size"] == SIZE
            assert 0 < group["file_bytes"] <= 2 * SIZE
        assert sending.wait(WITHIN_S) == 0
        assert scene.arrived(path, "client1")
        found = watches["cproxy"].when(lambda found: found["uftp_proxy_groups"] == 0)
        assert found["uftp_proxy_bytes_sent_total"] > SIZE
        assert found["uftp_proxy_datagrams_received_total"] > SIZE // 1500
        assert found["uftp_proxy_build_info/0.1.0/client"] == 1
        assert watches["sproxy"].api("status")["program"] == "uftpproxyd"
        assert watches["sproxy"].ask("/readyz")[0] == 200
        assert not [name for name in found if "session" in name]


def _first_group(watch: Watch) -> dict[str, object]:
    """Wait until a transfer has passed on something of a file; return it."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        for group in watch.api("groups")["groups"]:
            if group["file"] and group["file_bytes"]:
                return dict(group)
        time.sleep(0.05)
    raise AssertionError("no transfer was ever seen")
