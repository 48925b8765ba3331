"""The proxy under a service manager: it says how it is, and its sessions wait with the manager for its next start."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.kit.installed import UDP_PROXY, Proxy, requires_installed
from tests.kit.lab import Lab
from tests.kit.process import Process
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces
from tests.kit.service import Service
from tests.kit.way import WAY4, WAY6, Way

PORT = 7000
CLIENTS = 20

pytestmark = requires_installed


def write(folder: Path, way: Way, name: str) -> None:
    rule = acl(f"[{way.server}] : {PORT}", "timeout both 600;")
    text = Configuration(way.listen(PORT), rule, "", name=name).text
    (folder / "udp-proxy.cfg").write_text(text)


def start(service: Service, lab: Lab, folder: Path) -> Process:
    """Start the proxy as a service; return it when it has said that it is ready."""
    told = len(service.lines)
    process = service.start(lab.proxy, [UDP_PROXY, "--foreground", "-f", folder / "udp-proxy.cfg"])
    service.wait_for("READY=1", told)
    return process


def exchange(client: socket.socket, server: socket.socket, payload: bytes) -> tuple[str, int]:
    """Let a client ask and the server answer; return whom the server saw."""
    client.send(payload)
    asked, seen = server.recvfrom(100)
    assert asked == payload
    server.sendto(payload, seen)
    assert client.recv(100) == payload
    return seen[:2]


@requires_namespaces
def test_the_manager_hears_of_everything_in_its_order(tmp_path: Path, lab: Lab, name: str) -> None:
    write(tmp_path, WAY4, name)
    with Service(tmp_path) as service:
        process = start(service, lab, tmp_path)
        assert "started" in process.wait_for("UDPS-700-K")
        assert service.lines[:2] == [f"MAINPID={process.pid}", "READY=1"]
        at = service.wait_for("STATUS=0 of 1000 sessions")
        process.signal(signal.SIGHUP)
        at = service.wait_for("READY=1", service.wait_for("RELOADING=1", at))
        process.signal(signal.SIGTERM)
        service.wait_for("STATUS=SIGTERM", service.wait_for("STOPPING=1", at))
        assert process.wait() == 0


@requires_namespaces
def test_an_upgrade_moves_the_manager_to_the_new_program(tmp_path: Path, lab: Lab, name: str) -> None:
    write(tmp_path, WAY4, name)
    with Service(tmp_path) as service:
        old = start(service, lab, tmp_path)
        told = len(service.lines)
        ctl = lab.proxy.popen([UDP_PROXY.with_name("proxyctl"), "-n", name, "upgrade", "--json"])
        assert ctl.wait(40) == 0, ctl.output
        assert old.wait() == 0
        successor = Path(f"/run/udp-proxy-{name.lower()}.pid").read_text().strip()
        service.wait_for(f"MAINPID={successor}", told)
        service.wait_for("READY=1", told)
        os.kill(int(successor), signal.SIGTERM)
        service.wait_for("STATUS=SIGTERM", told)


@requires_namespaces
def test_an_upgrade_in_the_foreground_tells_every_mistake_to_who_asked(tmp_path: Path, lab: Lab, name: str) -> None:
    write(tmp_path, WAY4, name)
    with Service(tmp_path) as service:
        process = start(service, lab, tmp_path)
        path = tmp_path / "udp-proxy.cfg"
        path.write_text(path.read_text().replace("listen-on", "lsten-on").replace("accept;", "acept;"))
        ctl = lab.proxy.popen([UDP_PROXY.with_name("proxyctl"), "-n", name, "upgrade"])
        assert ctl.wait(40) == 1
        assert "lsten-on" in ctl.output
        assert "acept" in ctl.output
        assert f"{path}:" in ctl.output
        assert process.stop() == 0


@requires_namespaces
def test_signs_of_life_stop_while_a_worker_leaves_datagrams_waiting(tmp_path: Path, lab: Lab, name: str) -> None:
    write(tmp_path, WAY4, name)
    with (
        Service(tmp_path, watchdog_s=0.4) as service,
        WAY4.server_socket(lab, PORT) as server,
        WAY4.client_socket(lab, PORT) as client,
    ):
        process = start(service, lab, tmp_path)
        exchange(client, server, b"one")
        at = service.wait_for("WATCHDOG=1", service.wait_for("WATCHDOG=1"))
        worker = Proxy(process.pid, process).worker_of(client.getsockname()[1])
        os.kill(worker, signal.SIGSTOP)
        client.send(b"two")
        process.wait_for("UDPS-516-C")
        silent = len(service.lines)
        process.signal(signal.SIGUSR1)
        process.wait_for("UDPS-740-K")
        assert "WATCHDOG=1" not in service.lines[silent:]
        os.kill(worker, signal.SIGCONT)
        assert server.recv(100) == b"two"
        service.wait_for("WATCHDOG=1", max(at, silent))
        process.stop()


@requires_namespaces
@pytest.mark.parametrize("way", [WAY4, WAY6], ids=["4", "6"])
def test_sessions_wait_with_the_manager_for_the_next_start(tmp_path: Path, lab: Lab, name: str, way: Way) -> None:
    write(tmp_path, way, name)
    clients = [way.client_socket(lab, PORT) for _ in range(CLIENTS)]
    with Service(tmp_path, room=100) as service, way.server_socket(lab, PORT) as server:
        process = start(service, lab, tmp_path)
        before = [exchange(client, server, b"%d" % number) for number, client in enumerate(clients)]
        for _ in range(2):
            process.signal(signal.SIGTERM)
            process.wait_for(f"UDPS-765-K {CLIENTS} sessions laid up")
            assert process.wait() == 0
            assert len(service.kept) > CLIENTS
            clients[0].send(b"while nobody serves")
            process = start(service, lab, tmp_path)
            process.wait_for(
                f"UDPS-763-K Taken over from the service manager's store: listeners, and {CLIENTS} sessions"
            )
            service.wait_for("FDNAME=proxyd", len(service.lines) - 20 if len(service.lines) > 20 else 0)
            assert server.recvfrom(100)[0] == b"while nobody serves"
            after = [exchange(client, server, b"%d" % number) for number, client in enumerate(clients)]
            assert after == before
            assert "SESSION-START" not in process.output
        service.wait_for("FDSTOREREMOVE=1")
        assert process.stop() == 0
    for client in clients:
        client.close()


@requires_namespaces
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("workers 2", "workers 1", "UDPS-763-K .*and 1 sessions?"),
        ("nodaemon;", "singleproc;", "UDPS-769-W .*one process"),
        ("NAME", "NAME-other", "UDPS-769-W .*it is of udp-proxy"),
        ("nodaemon;", 'chroot-dir "/var/empty"; app-user nobody;', "UDPS-763-K .*and 1 sessions?"),
    ],
    ids=["workers", "singleproc", "name", "root and user"],
)
def test_a_start_never_fails_of_what_was_laid_up_whatever_the_file_says_now(
    tmp_path: Path, lab: Lab, name: str, old: str, new: str, told: str
) -> None:
    write(tmp_path, WAY4, name)
    path = tmp_path / "udp-proxy.cfg"
    Path("/var/empty").mkdir(exist_ok=True)
    text = path.read_text().replace(f"udp-proxy {name} {{", f"udp-proxy {name} {{ nodaemon;")
    path.write_text(text)
    with (
        Service(tmp_path, room=100) as service,
        WAY4.server_socket(lab, PORT) as server,
        WAY4.client_socket(lab, PORT) as client,
    ):
        process = start(service, lab, tmp_path)
        before = exchange(client, server, b"before")
        assert process.stop() == 0
        path.write_text(text.replace(old.replace("NAME", name), new.replace("NAME", name), 1))
        process = start(service, lab, tmp_path)
        process.wait_for(told)
        if "workers" in old:
            process.wait_for("UDPS-775-K Workers: 2 before, now 1; ")
        same = exchange(client, server, b"after") == before
        assert same is ("763" in told)
        service.wait_for("FDSTOREREMOVE=1")
        process.stop()


@requires_namespaces
@pytest.mark.parametrize(("lost", "told"), [("memory", "UDPS-764-W .*listeners only: 1 of"), ("list", "UDPS-769-W")])
def test_a_store_that_has_lost_something_is_used_as_far_as_it_can_be(
    tmp_path: Path, lab: Lab, name: str, lost: str, told: str
) -> None:
    write(tmp_path, WAY4, name)
    with Service(tmp_path, room=100) as service:
        process = start(service, lab, tmp_path)
        assert process.stop() == 0
        if lost == "memory":
            service.lose(lambda what: "memfd" in what and "inventory" not in what)
        else:
            service.spoil("proxyd-list")
        begun = len(service.lines)
        process = service.start(lab.proxy, [UDP_PROXY, "--foreground", "-f", tmp_path / "udp-proxy.cfg"])
        process.wait_for(told)
        if lost == "memory":
            process.wait_for("UDPS-700-K")
            process.stop()
        else:
            service.wait_for("FDNAME=proxyd", begun)
            process.wait_for("UDPS-(700|520)")
            process.stop()
            process = start(service, lab, tmp_path)
            process.stop()


def unit_socket(lab: Lab, way: Way, port: int = PORT) -> socket.socket:
    """Bind what a socket unit would: ListenDatagram= of the proxy's address, BindIPv6Only=ipv6-only."""

    def bind() -> socket.socket:
        sock = socket.socket(way.family, socket.SOCK_DGRAM)
        if way.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((way.front, port))
        return sock

    return lab.proxy.call(bind)


@requires_namespaces
@pytest.mark.parametrize("way", [WAY4, pytest.param(WAY6, marks=pytest.mark.night)], ids=["4", "6"])
def test_a_socket_unit_has_what_came_before_the_start_served_and_outlives_every_stop(
    tmp_path: Path, lab: Lab, name: str, way: Way
) -> None:
    write(tmp_path, way, name)
    client = way.client_socket(lab, PORT)
    with Service(tmp_path, room=100) as service, way.server_socket(lab, PORT) as server, unit_socket(lab, way) as unit:
        service.units = [("udp-proxy@x.socket", unit)]
        client.send(b"before anybody serves")
        process = start(service, lab, tmp_path)
        process.wait_for("UDPS-724-K The socket of .*:7000 is the service manager's: udp-proxy@x.socket")
        asked, seen = server.recvfrom(100)
        assert asked == b"before anybody serves"
        server.sendto(b"answer", seen)
        assert client.recv(100) == b"answer"
        others = [way.client_socket(lab, PORT) for _ in range(CLIENTS)]
        before = [exchange(other, server, b"%d" % number) for number, other in enumerate(others)]
        # What was laid up has the unit's socket in it, too.
        assert process.stop() == 0
        others[0].send(b"between")
        process = start(service, lab, tmp_path)
        process.wait_for("UDPS-763-K Taken over from the service manager's store")
        assert server.recvfrom(100)[0] == b"between"
        assert [exchange(other, server, b"%d" % number) for number, other in enumerate(others)] == before
        service.wait_for("FDSTOREREMOVE=1")
        # The store is lost; the unit is not, and nobody else could have had its port meanwhile.
        assert process.stop() == 0
        service.forget()
        others[0].send(b"later")
        process = start(service, lab, tmp_path)
        assert server.recvfrom(100)[0] == b"later"
        assert process.stop() == 0
        for sock in (client, *others):
            sock.close()


@requires_namespaces
def test_a_socket_unit_goes_with_every_reload_and_is_refused_where_no_listener_is(
    tmp_path: Path, lab: Lab, name: str
) -> None:
    write(tmp_path, WAY4, name)
    path = tmp_path / "udp-proxy.cfg"
    text = path.read_text()
    with (
        Service(tmp_path) as service,
        WAY4.server_socket(lab, PORT) as server,
        WAY4.client_socket(lab, PORT) as client,
        unit_socket(lab, WAY4) as unit,
    ):
        service.units = [("udp-proxy@x.socket", unit)]
        process = start(service, lab, tmp_path)
        for port, workers in ((PORT + 1, 2), (PORT, 2), (PORT, 3), (PORT, 1)):
            told = len(service.lines)
            changed = text.replace(f"port {PORT};", f"port {port};").replace("workers 2;", f"workers {workers};")
            path.write_text(changed)
            process.signal(signal.SIGHUP)
            service.wait_for("READY=1", service.wait_for("RELOADING=1", told))
            if port == PORT:
                exchange(client, server, b"through the unit's socket again")
            else:
                process.wait_for(f":{PORT} of udp-proxy@x.socket is no listener any more")
                path.write_text(text)
                lab.proxy.run([UDP_PROXY.with_name("proxyctl"), "-n", name, "reload", "--dry-run"])
        assert process.stop() == 0
        path.write_text(text.replace(f"port {PORT};", f"port {PORT + 1};"))
        process = service.start(lab.proxy, [UDP_PROXY, "--foreground", "-f", path])
        process.wait_for("UDPS-520-E .*of udp-proxy@x.socket is no listener of the configuration")
        assert process.wait() == 69
