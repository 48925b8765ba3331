"""The monitor beside a running proxy: its figures are those of the traffic, and it is as unprivileged as the others."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.kit.installed import Proxy, children_of, requires_installed, serve, status_of
from tests.kit.place import Place
from tests.kit.ports import free_port
from tests.kit.proxy import Configuration, acl
from tests.kit.traffic import udp

pytestmark = requires_installed


def fetch(port: int, path: str) -> bytes:
    response: HTTPResponse
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
        return response.read()


def figures(port: int) -> dict[str, float]:
    """Return the samples of /metrics: the name, and its labels' values behind it."""
    families = text_string_to_metric_families(fetch(port, "/metrics").decode())
    return {
        "/".join((sample.name, *sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def status(port: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(fetch(port, "/api/v1/status"))
    return found


def start(folder: Path, server: socket.socket, listen: int, http: int) -> Proxy:
    configuration = Configuration(
        f"non-transparent [127.0.0.1] port {listen};",
        acl(f"[127.0.0.1] : {server.getsockname()[1]}"),
        f"nodaemon; monitoring {{ http [127.0.0.1] port {http}; }}",
    )
    return serve(Place(), folder, configuration)


def test_metrics_and_status_agree_with_the_traffic(tmp_path: Path) -> None:
    listen, http = free_port(), free_port()
    with udp() as server, udp() as client:
        proxy = start(tmp_path, server, listen, http)
        for _ in range(3):
            client.sendto(b"12345", ("127.0.0.1", listen))
            payload, source = server.recvfrom(100)
            server.sendto(payload * 2, source)
            client.recv(100)
        proxy.state_when(lambda state: state.get("sessions") == 1)
        found, now = figures(http), status(http)
        assert found["udp_proxy_sessions"] == now["sessions"] == 1
        assert found["udp_proxy_datagrams_total/out"] == now["out"]["forwarded"] == 3
        assert found["udp_proxy_bytes_total/in"] == now["in"]["bytes"] == 30
        assert fetch(http, "/readyz") == b"ok\n"
        monitor = next(pid for pid in children_of(proxy.pid) if pid not in proxy.workers)
        assert status_of(monitor)["CapEff"] == "0" * 16
        assert status_of(monitor)["NoNewPrivs"] == "1"
        proxy.signal(signal.SIGTERM)
        assert proxy.log.wait() == 0
