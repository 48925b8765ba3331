"""The monitor beside a running proxy: its figures are those of clients and servers, whatever becomes of workers."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path

from tests.kit.installed import Proxy, children_of, requires_installed, serve, status_of
from tests.kit.place import Place
from tests.kit.ports import free_port
from tests.kit.proxy import Configuration, acl, unique_name
from tests.kit.traffic import udp
from tests.kit.watch import Watch

pytestmark = requires_installed
ROUNDS = 5
PAYLOAD = b"12345"


class Office:
    """A proxy with a monitor, a server, and clients that count what they send and get."""

    def __init__(self, folder: Path, server: socket.socket, *rules: str, workers: int = 2) -> None:
        self.folder = folder
        self.server = server
        self.port = free_port()
        self.path = folder / "http"
        self.watch = Watch(self.path)
        self.sent = self.received = 0
        self.name = unique_name()
        self.workers = workers
        self.proxy: Proxy = serve(Place(), folder, self.text(*rules))

    def text(self, *rules: str, sessions: int = 1000) -> str:
        target = f"[127.0.0.1] : {self.server.getsockname()[1]}"
        return Configuration(
            f"non-transparent [127.0.0.1] port {self.port};",
            "".join(rules) or acl(target, name="ALL"),
            f'nodaemon; monitoring {{ http socket "{self.path}"; }}',
            name=self.name,
            workers=self.workers,
            sessions=sessions,
        ).text

    def exchange(self, client: socket.socket, rounds: int = ROUNDS) -> None:
        """Have a client ask so often, and the server answer with twice as much."""
        for _ in range(rounds):
            client.sendto(PAYLOAD, ("127.0.0.1", self.port))
            payload, source = self.server.recvfrom(100)
            self.server.sendto(payload * 2, source)
            client.recv(100)
            self.sent += 1
            self.received += 1

    def agreed(self) -> dict[str, float]:
        """Wait until the metrics say what clients and server have counted; return them."""
        return self.watch.when(
            lambda found: (
                found["udp_proxy_datagrams_total/out"] == self.sent
                and found["udp_proxy_datagrams_total/in"] == self.received
                and found["udp_proxy_bytes_total/out"] == self.sent * len(PAYLOAD)
                and found["udp_proxy_bytes_total/in"] == self.received * 2 * len(PAYLOAD)
            )
        )

    def reload(self, text: str) -> None:
        (self.folder / "udp-proxy.cfg").write_text(text)
        self.proxy.signal(signal.SIGHUP)


def test_figures_agree_with_the_traffic_everywhere(tmp_path: Path) -> None:
    with udp() as server, udp() as first, udp() as second:
        office = Office(tmp_path, server)
        office.exchange(first)
        office.exchange(second, 2)
        found = office.watch.when(lambda found: found.get("udp_proxy_sessions_opened_total/ALL/normal") == 2)
        assert office.agreed()["udp_proxy_sessions"] == 2
        assert found["udp_proxy_acl_hits_total/ALL/accepted"] == 2
        listener = f"[127.0.0.1]:{office.port}"
        assert found[f"udp_proxy_listener_datagrams_received_total/{listener}"] == office.sent
        assert sum(value for name, value in found.items() if "lag_seconds_count" in name) > 0
        now = office.watch.api("status")
        assert (now["out"]["forwarded"], now["in"]["bytes"]) == (office.sent, 2 * len(PAYLOAD) * office.received)
        assert office.watch.ask("/readyz") == (200, b"ok\n")
        clients = {session["client"] for session in office.watch.api("sessions")["sessions"]}
        assert clients == {f"[127.0.0.1]:{sock.getsockname()[1]}" for sock in (first, second)}
        assert office.watch.api("acls")["acls"][0]["opened"] == 2
        # The server is up as long as the last that was heard of it is an answer.
        up = f"udp_proxy_upstream_up/[127.0.0.1]:{server.getsockname()[1]}"
        office.watch.when(lambda found: found.get(up) == 1)
        server.close()
        first.sendto(PAYLOAD, ("127.0.0.1", office.port))
        found = office.watch.when(lambda found: found[up] == 0)
        assert max(value for name, value in found.items() if "store_lag" in name) < 60


def test_the_monitor_has_no_rights_and_its_socket_goes_with_the_proxy(tmp_path: Path) -> None:
    with udp() as server:
        office = Office(tmp_path, server)
        monitor = next(pid for pid in children_of(office.proxy.pid) if pid not in office.proxy.workers)
        assert status_of(monitor)["CapEff"] == "0" * 16
        assert status_of(monitor)["NoNewPrivs"] == "1"
        assert stat.S_IMODE(office.path.stat().st_mode) == 0o660
        office.proxy.signal(signal.SIGTERM)
        assert office.proxy.log.wait() == 0
        assert not office.path.exists()


def test_counts_go_on_over_the_death_of_a_worker(tmp_path: Path) -> None:
    with udp() as server, udp() as client:
        office = Office(tmp_path, server, workers=1)
        office.exchange(client)
        office.agreed()
        office.watch.when(lambda found: found.get("udp_proxy_sessions_opened_total/ALL/normal") == 1)
        os.kill(office.proxy.workers[0], signal.SIGKILL)
        office.watch.when(lambda found: found["udp_proxy_process_starts_total/worker 0"] == 2)
        office.exchange(client)
        found = office.agreed()
        assert found["udp_proxy_sessions_opened_total/ALL/normal"] == 1
        assert found["udp_proxy_sessions"] == 1


def test_counts_go_on_over_a_reload_and_new_rules_begin_at_nothing(tmp_path: Path) -> None:
    with udp() as server, udp() as first, udp() as second:
        office = Office(tmp_path, server)
        office.exchange(first)
        office.watch.when(lambda found: found.get("udp_proxy_sessions_opened_total/ALL/normal") == 1)
        target = f"[127.0.0.1] : {server.getsockname()[1]}"
        office.reload(office.text(acl(target, name="NEW"), acl(target, name="ALL")))
        office.watch.when(lambda found: found["udp_proxy_config_generation"] == 2 and found["udp_proxy_ready"] == 1)
        office.exchange(first)
        office.exchange(second)
        found = office.watch.when(lambda found: found.get("udp_proxy_sessions_opened_total/NEW/normal") == 1)
        office.agreed()
        assert found["udp_proxy_sessions_opened_total/ALL/normal"] == 1
        assert found["udp_proxy_config_last_reload_successful"] == 1
        names = {session["acl"] for session in office.watch.api("sessions")["sessions"]}
        assert names == {"ALL", "NEW"}


def test_sessions_are_seen_in_a_table_that_has_grown(tmp_path: Path) -> None:
    with udp() as server, udp() as first, udp() as second:
        office = Office(tmp_path, server)
        office.exchange(first)
        office.agreed()
        office.reload(office.text(sessions=5000))
        office.watch.when(lambda found: found["udp_proxy_config_generation"] == 2 and found["udp_proxy_ready"] == 1)
        assert office.watch.metrics()["udp_proxy_max_sessions"] == 5000
        office.exchange(first)
        office.exchange(second)
        office.agreed()
        office.watch.when(lambda _: len(office.watch.api("sessions")["sessions"]) == 2)
        sessions = office.watch.api("sessions")["sessions"]
        assert sorted(session["datagrams_out"] for session in sessions)[0] >= 1
        assert {session["client"] for session in sessions} == {
            f"[127.0.0.1]:{sock.getsockname()[1]}" for sock in (first, second)
        }


def test_a_reload_that_fails_is_shown(tmp_path: Path) -> None:
    with udp() as server:
        office = Office(tmp_path, server)
        office.reload("udp-proxy {")
        found = office.watch.when(lambda found: found["udp_proxy_config_reloads_total/failed"] == 1)
        assert found["udp_proxy_config_last_reload_successful"] == 0
        assert found["udp_proxy_config_last_reload_timestamp_seconds"] > found["udp_proxy_start_time_seconds"]
        assert found["udp_proxy_config_generation"] == 1


def test_a_draining_proxy_is_not_ready_and_lives(tmp_path: Path) -> None:
    with udp() as server, udp() as client:
        office = Office(tmp_path, server)
        office.exchange(client)
        office.agreed()
        office.proxy.signal(signal.SIGQUIT)
        office.watch.when(lambda found: found["udp_proxy_draining"] == 1)
        assert office.watch.ask("/readyz") == (503, b"draining\n")
        assert office.watch.ask("/livez")[0] == 200


def test_a_port_is_as_good_as_a_socket(tmp_path: Path) -> None:
    with udp() as server:
        port, http = free_port(), free_port()
        listen = f"non-transparent [127.0.0.1] port {port};"
        target = acl(f"[127.0.0.1] : {server.getsockname()[1]}")
        serve(
            Place(),
            tmp_path,
            Configuration(listen, target, f"nodaemon; monitoring {{ http [127.0.0.1] port {http}; }}"),
        )
        assert Watch(http).when(lambda found: found["udp_proxy_ready"] == 1)["udp_proxy_max_sessions"] == 1000
