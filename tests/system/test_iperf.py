"""A load: iperf3 sends datagrams through the proxy, to the server and from it; its control connection goes around.

What is lost is stated, and none of it may be the proxy's doing: on a busy machine a queue of iperf3 may overflow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit import peers, tcp_relay
from tests.kit.installed import Proxy, assert_balanced, requires_installed, serve
from tests.kit.lab import Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAY4, WAYS, Way

PORT = 5201
LOAD_BYTES = 500_000
DATAGRAM_BYTES = 1_000
GREETING_BYTES = 4
"""With its first datagram iperf3 tells the server its address, and gets one back. Observed: iperf3 3.12."""

pytestmark = requires_installed


def load(lab: Lab, folder: Path, way: Way, fast_path: str, *options: str) -> tuple[dict[str, Any], Proxy]:
    """Let iperf3 send through a proxy; return the sums of the client's report and the proxy.

    What was sent last may not have arrived when the client counts: only `sum_received` tells what has.
    """
    peers.iperf3_server(lab.server, way.server, PORT)
    around = [sys.executable, "-I", tcp_relay.__file__, way.front, str(PORT), way.server, str(PORT)]
    lab.proxy.popen(around).wait_for("^ready")
    rule = acl(f"[{way.server}] : {PORT}", "timeout both 60;")
    proxy = serve(lab.proxy, folder, Configuration(way.listen(PORT), rule, f"nodaemon; fast-path {fast_path};"))
    client = ["iperf3", "-u", "-c", way.front, "-p", str(PORT), "-b", "10M", "-n", str(LOAD_BYTES)]
    report = json.loads(lab.client.run([*client, "-l", str(DATAGRAM_BYTES), "--json", *options]).stdout)
    return report["end"], proxy


def record_at_the_end(proxy: Proxy) -> tuple[str, dict[str, str]]:
    """Stop the proxy, which ends the load's session; return the reason and the record."""
    proxy.signal(15)
    ended = proxy.end_of(int(proxy.wait_for("SESSION-START").partition("CLIENT=")[2].split()[0].rpartition(":")[2]))
    assert proxy.log.wait() == 0
    return ended


def assert_most_arrived(report: dict[str, Any], forwarded: int) -> None:
    """Check the load's fate: what arrived went through the proxy, which passed no more than was sent."""
    sent, received = report["sum_sent"]["packets"], report["sum_received"]
    arrived = received["packets"] - received["lost_packets"]
    print(f"sent {sent}, arrived {arrived}, passed by the proxy {forwarded - 1}")
    assert sent / 2 < arrived <= forwarded - 1 <= sent


@requires_namespaces
@requires_program("iperf3")
@pytest.mark.parametrize("fast_path", ["on", "off"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_what_the_client_sends_reaches_the_server(tmp_path: Path, lab: Lab, way: Way, fast_path: str) -> None:
    report, proxy = load(lab, tmp_path, way, fast_path)
    assert_balanced(totals := proxy.totals())
    reason, record = record_at_the_end(proxy)
    assert reason == "shutdown"
    assert report["sum_sent"]["packets"] == LOAD_BYTES // DATAGRAM_BYTES
    assert totals["out_received"] == totals["out_forwarded"]
    assert_most_arrived(report, totals["out_forwarded"])
    assert int(record["BYTES-SOUT"]) == (totals["out_forwarded"] - 1) * DATAGRAM_BYTES + GREETING_BYTES


@requires_namespaces
@requires_program("iperf3")
@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_what_the_server_sends_reaches_the_client(tmp_path: Path, lab: Lab, fast_path: str) -> None:
    report, proxy = load(lab, tmp_path, WAY4, fast_path, "--reverse")
    assert_balanced(totals := proxy.totals())
    _, record = record_at_the_end(proxy)
    assert report["sum_sent"]["bytes"] >= LOAD_BYTES
    assert totals["in_received"] == totals["in_forwarded"]
    assert_most_arrived(report, totals["in_forwarded"])
    assert int(record["BYTES-CIN"]) == (totals["in_forwarded"] - 1) * DATAGRAM_BYTES + GREETING_BYTES
    assert record["BYTES-SOUT"] == str(GREETING_BYTES)
