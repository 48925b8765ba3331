"""The configuration read again: sessions stay, rules and listeners change, and a broken file changes nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.installed import Proxy, children_of, requires_installed, serve
from tests.kit.lab import Lab
from tests.kit.proxy import acl, unique_name
from tests.kit.requirement import requires_namespaces, requires_root
from tests.kit.way import WAIT_S, WAY4, connected

PORT, SECOND, LOW = 7000, 7001, 99
SERVER = f"[{WAY4.server}] : {PORT}"
PROXYCTL = (sys.executable, "-m", "proxyd.cli.proxyctl")
_TEXT = """version KERNUN-2_3-RELEASE;
{sections}
udp-proxy {name} {{
  nodaemon; control {{ socket "{folder}/x.ctl"; }} {items}
  listen-on {{ {listen} }}
  udpserver {{ max-sessions {sessions}; workers {workers}; respawn-limit 100 60; }}
  {rules}
}}
"""

pytestmark = requires_installed


class Office:
    """A proxy between a client and a server, and its configuration file, which may change."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.parts = {
            "sections": "",
            "name": unique_name(),
            "folder": str(folder),
            "items": "",
            "listen": WAY4.listen(PORT),
            "sessions": "100",
            "workers": "2",
            "rules": acl(SERVER),
        }
        self.server = WAY4.server_socket(lab, PORT)
        self.proxy: Proxy

    def write(self, **parts: str) -> str:
        """Write the configuration with other parts; return it."""
        self.parts |= parts
        text = _TEXT.format(**self.parts)
        (self.folder / "udp-proxy.cfg").write_text(text)
        return text

    def open(self, **parts: str) -> None:
        """Start the proxy."""
        self.proxy = serve(self.lab.proxy, self.folder, self.write(**parts))

    def reload(self, **parts: str) -> str:
        """Reload with other parts, and wait for the end of it; return the log's last line about it."""
        self.write(**parts)
        start = len(self.proxy.log.lines)
        self.proxy.signal(signal.SIGHUP)
        return self.proxy.wait_for("UDPS-77[12]", start)

    def client(self, port: int = PORT) -> socket.socket:
        return WAY4.client_socket(self.lab, port)

    def exchange(self, client: socket.socket, payload: bytes = b"x", server: socket.socket | None = None) -> int:
        """Let a client ask and the server answer; return the port at which the server saw the proxy."""
        server = server or self.server
        client.send(payload)
        asked, proxys = server.recvfrom(100)
        assert asked == payload
        server.sendto(payload + b" answered", proxys)
        assert client.recv(100) == payload + b" answered"
        return int(proxys[1])

    def refuses(self, client: socket.socket, reason: str) -> None:
        """Check that a client's datagram is dropped for a reason."""
        before = self.proxy.state().get(f"dropped-out-{reason}", 0)
        client.send(b"me")
        self.proxy.state_when(lambda state: state.get(f"dropped-out-{reason}", 0) == before + 1)

    def ctl(self, *words: str) -> tuple[int, Any]:
        """Run proxyctl; return its status and what it says, of JSON the value."""
        done = self.lab.proxy.run([*PROXYCTL, "-s", self.folder / "x.ctl", *words], check=False)
        return done.returncode, json.loads(done.stdout) if "--json" in words else done.stdout + done.stderr


@pytest.fixture
def office(tmp_path: Path, lab: Lab) -> Iterator[Office]:
    office = Office(lab, tmp_path)
    yield office
    office.server.close()


def settled() -> None:
    """Wait until a session has lived for a moment: nothing tells outsiders."""
    time.sleep(0.4)


@requires_namespaces
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_session_goes_on_through_reloads_under_the_rule_that_it_began_with(office: Office, workers: str) -> None:
    office.open(workers=workers, rules=acl(SERVER, "timeout both 30; max-dgrams-out 4;", "BEFORE"))
    with office.client() as client, office.client() as other:
        seen = office.exchange(client, b"1")
        office.reload(rules=f"session-acl NEW {{ deny; }} {acl(SERVER, name='AFTER')}")
        assert office.exchange(client, b"2") == seen
        office.reload()
        assert office.exchange(client, b"3") == seen
        office.refuses(other, "rejected")
        found = office.ctl("sessions", "--json")[1]
        assert [(session["acl"], session["generation"]) for session in found] == [("BEFORE", 1)]
        client.send(b"4")
        assert office.server.recvfrom(100)[0] == b"4"
        client.send(b"5")
        office.proxy.wait_for("UDPP-712-N Session terminated: dgrams-out")
    assert len([line for line in office.proxy.log.lines if "SESSION-START" in line]) == 1
    assert not [line for line in office.proxy.log.lines if "ended unexpectedly" in line]
    assert office.proxy.log.stop() == 0


@requires_namespaces
def test_a_file_with_mistakes_changes_nothing_and_all_of_them_are_told(office: Office) -> None:
    office.open()
    children = children_of(office.proxy.pid)
    with office.client() as client:
        seen = office.exchange(client)
        assert office.reload(rules="session-acl A { nonsense; } session-acl B { more; }").endswith(
            "Not reloaded: 4 mistakes; generation 1 goes on"
        )
        assert len([line for line in office.proxy.log.lines if "CFGP-300-E" in line]) == 4
        status, said = office.ctl("reload")
        assert status == 1
        assert "udp-proxy.cfg:7:" in said
        assert said.endswith("proxyctl: nothing has changed\n")
        (office.folder / "udp-proxy.cfg").unlink()
        assert "the file cannot be read: No such file" in office.ctl("reload")[1]
        assert children_of(office.proxy.pid) == children
        assert office.exchange(client) == seen
        state = office.ctl("status", "--json")[1]["proxy"]
        assert state["generation"] == 1
        assert "No such file" in state["reload"]["mistakes"][0]


@requires_namespaces
def test_what_needs_a_restart_is_refused_with_its_place(office: Office) -> None:
    office.open()
    status, said = office.ctl("reload")
    assert (status, said) == (0, "reloaded\n")
    office.write(items="app-user nobody;")
    status, said = office.ctl("reload")
    assert status == 1
    place = f"{office.folder / 'udp-proxy.cfg'}:4:"
    assert place in said
    assert "'app-user' cannot change while the proxy runs; that takes a restart" in said


@requires_namespaces
def test_what_waits_for_the_next_start_holds_up_nothing_else(office: Office) -> None:
    office.open(listen=f"transparent [{WAY4.front}] port {SECOND}; {WAY4.listen(PORT)}")
    with office.client() as client:
        seen = office.exchange(client)
        settled()
        assert "UDPS-771-K" in office.reload(workers="3", sessions="50")
        office.proxy.wait_for("CASE-200-W .*:6:.* 'workers' counts from the next start on: which worker the kernel")
        assert office.exchange(client) == seen
        proxy = office.ctl("status", "--json")[1]["proxy"]
        assert proxy["max_sessions"] == 50
        assert len([child for child in proxy["children"] if child["name"].startswith("worker")]) == 2
        office.write(sessions="60")
        found = office.ctl("reload", "--dry-run", "--json")[1]["changes"]
        details = {change["name"]: change["detail"] for change in found if change["what"] == "setting"}
        assert details["max-sessions"] == "50 -> 60"
        assert details["workers"].startswith("2 -> 3; from the next start on: which worker")


@requires_namespaces
def test_listeners_come_and_go_and_a_vanished_one_serves_its_sessions_until_they_have_ended(office: Office) -> None:
    office.open()
    with office.client() as client, office.client() as late, office.client(SECOND) as other:
        seen = office.exchange(client)
        settled()
        office.reload(listen=WAY4.listen(SECOND))
        office.proxy.wait_for(rf"UDPS-773-K Listening on \[{WAY4.front}\]:{PORT} for existing sessions only")
        assert office.exchange(other) != seen
        assert office.exchange(client) == seen
        office.refuses(late, "draining")
        (listed,) = [item for item in office.ctl("sessions", "--json")[1] if item["listener"].endswith(f":{PORT}")]
        office.ctl("kill", listed["id"])
        office.proxy.wait_for(rf"UDPS-774-K No longer listening on \[{WAY4.front}\]:{PORT}")
        with office.lab.proxy.socket() as free:
            free.bind((WAY4.front, PORT))
        assert office.exchange(other)


@requires_namespaces
def test_a_vanished_listener_can_come_back(office: Office) -> None:
    office.open()
    with office.client() as client, office.client() as late:
        seen = office.exchange(client)
        settled()
        office.reload(listen=WAY4.listen(SECOND))
        assert office.exchange(client) == seen
        office.reload(listen=WAY4.listen(PORT))
        assert office.exchange(client) == seen
        assert office.exchange(late) != seen


@requires_namespaces
def test_a_wildcard_can_take_an_addresss_place_and_give_it_back(office: Office) -> None:
    office.open()
    with office.client() as client, office.client() as late, office.client() as last:
        seen = office.exchange(client)
        settled()
        assert "UDPS-771-K" in office.reload(listen=f"non-transparent [0.0.0.0] port {PORT};")
        assert office.exchange(client) == seen
        assert office.exchange(late) != seen
        settled()
        assert "UDPS-771-K" in office.reload(listen=WAY4.listen(PORT))
        assert office.exchange(client) == seen
        assert office.exchange(late) != seen
        assert office.exchange(last) != seen


@requires_namespaces
def test_a_listener_that_cannot_be_bound_changes_nothing(office: Office) -> None:
    office.open()
    with office.lab.proxy.socket() as stranger, office.client() as client:
        stranger.bind((WAY4.front, SECOND))
        seen = office.exchange(client)
        said = office.reload(listen=WAY4.listen(PORT) + WAY4.listen(SECOND + 1) + WAY4.listen(SECOND))
        assert f"Not reloaded: bind [{WAY4.front}]:{SECOND}: Address already in use" in said
        assert office.exchange(client) == seen
        with office.lab.proxy.socket() as free:
            free.bind((WAY4.front, SECOND + 1))


@requires_root
@requires_namespaces
def test_a_low_port_can_be_bound_long_after_the_start(office: Office) -> None:
    office.open()
    assert "UDPS-771-K" in office.reload(listen=WAY4.listen(PORT) + WAY4.listen(LOW))
    with office.client(LOW) as client:
        assert office.exchange(client)


@requires_namespaces
@pytest.mark.parametrize("workers", [("1", "1"), pytest.param(("3", "2"), marks=pytest.mark.night)])
def test_there_can_be_more_sessions_and_fewer(office: Office, workers: tuple[str, str]) -> None:
    office.open(sessions="2", workers="1")
    clients = [office.client() for _ in range(5)]
    seen = [office.exchange(client) for client in clients[:2]]
    settled()
    office.refuses(clients[2], "table-full")
    office.reload(sessions="4", workers=workers[0])
    seen += [office.exchange(client) for client in clients[2:4]]
    office.refuses(clients[4], "table-full")
    settled()
    office.reload(sessions="2", workers=workers[1])
    assert [office.exchange(client) for client in clients[:4]] == seen
    office.refuses(clients[4], "table-full")
    ids = [item["id"] for item in office.ctl("sessions", "--json")[1]]
    for index, left in ((0, 3), (1, 2)):
        office.ctl("kill", ids[index])
        office.proxy.state_when(lambda state, left=left: state["sessions"] == left)
        office.refuses(clients[4], "table-full")
    office.ctl("kill", ids[2])
    assert office.exchange(clients[4])
    for client in clients:
        client.close()


@requires_namespaces
def test_names_that_a_new_configuration_asks_for_are_resolved_before_it_counts(office: Office) -> None:
    office.open()
    with office.client() as client:
        seen = office.exchange(client)
        settled()
        rule = f"session-acl NAME {{ accept; plug-to localhost.invalid : {PORT}; }} {acl(SERVER)}"
        assert "UDPS-771-K" in office.reload(
            rules=rule, sections="resolver R { conf-timeout 1; }", items="use-resolver R;"
        )
        assert "resolver" in office.ctl("status")[1]
        assert office.exchange(client) == seen
        with office.client() as late:
            office.refuses(late, "no-target")
        assert "UDPS-771-K" in office.reload(rules=acl(SERVER))
        assert "resolver" not in office.ctl("status")[1]
        assert office.exchange(client) == seen


@requires_namespaces
def test_logs_and_their_level_can_change(office: Office) -> None:
    office.open()
    path = office.folder / "new.log"
    office.write(items=f'log-debug {{ file "{path}"; level 8; }}')
    office.proxy.signal(signal.SIGHUP)
    log = office.lab.proxy.follow(path)
    log.wait_for("UDPS-771-K")
    assert office.ctl("loglevel")[1] == "8\n"
    with office.client() as client:
        office.exchange(client)
    log.wait_for("SESSION-START")
    assert not [line for line in office.proxy.log.lines if "SESSION-START" in line]


@requires_namespaces
def test_a_rehearsal_says_what_would_change_and_changes_nothing(office: Office) -> None:
    office.open()
    with office.client() as client:
        seen = office.exchange(client)
        settled()
        office.write(listen=WAY4.listen(SECOND), rules=acl(SERVER, "timeout both 7;"), sessions="50")
        status, found = office.ctl("reload", "--dry-run", "--json")
        assert status == 2
        assert [(item["what"], item["how"]) for item in found["changes"]] == [
            ("listener", "added"),
            ("listener", "removed"),
            ("session-acl", "changed"),
            ("setting", "changed"),
        ]
        assert found["changes"][2]["detail"] == "timeout both 30 -> 7"
        (session,) = found["sessions"]
        assert (session["accepted"], session["reason"]) == (
            False,
            "no listener takes datagrams to this address and port",
        )
        office.write(listen=WAY4.listen(PORT), sessions="100", rules="session-acl X { wrong; }")
        assert office.ctl("reload", "--dry-run")[0] == 1
        office.write(listen=WAY4.listen(PORT) + f"non-transparent [203.0.113.9] port {PORT};", rules=acl(SERVER))
        status, said = office.ctl("reload", "--dry-run")
        assert (status, "the address is not configured on this machine" in said) == (1, True)
        office.write(listen=WAY4.listen(PORT))
        office.write(rules=acl(SERVER))
        assert office.ctl("reload", "--dry-run") == (
            0,
            "nothing would change\n\n1 session would be kept; 0 of them would not be let in anew\n",
        )
        assert office.exchange(client) == seen
    assert office.ctl("status", "--json")[1]["proxy"]["generation"] == 1


@requires_namespaces
def test_reloads_that_are_asked_for_meanwhile_come_after_it_together(office: Office) -> None:
    office.open()
    start = len(office.proxy.log.lines)
    for _ in range(5):
        office.proxy.signal(signal.SIGHUP)
    with office.client() as client:
        office.exchange(client)
    assert office.ctl("reload") == (0, "reloaded\n")
    generations = [line for line in office.proxy.log.lines[start:] if "UDPS-771-K" in line]
    assert 2 <= len(generations) <= 6


@requires_namespaces
def test_a_worker_that_is_killed_while_children_are_renewed_loses_no_session(office: Office) -> None:
    office.open()
    with office.client() as client:
        seen = office.exchange(client)
        settled()
        for victim in office.proxy.workers:
            office.proxy.signal(signal.SIGHUP)
            office.lab.proxy.run(["kill", "-9", str(victim)], check=False)
            office.reload()
            assert office.exchange(client) == seen


@requires_namespaces
def test_who_is_connected_to_a_forgotten_address_waits_for_nobody(office: Office) -> None:
    office.open(listen=WAY4.listen(PORT) + WAY4.listen(SECOND))
    with connected(office.lab.client, WAY4.client, WAY4.front, SECOND) as client:
        client.settimeout(WAIT_S)
        assert "UDPS-771-K" in office.reload(listen=WAY4.listen(PORT))
        office.proxy.wait_for(rf"UDPS-774-K No longer listening on \[{WAY4.front}\]:{SECOND}")
        client.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            client.recv(10)


@requires_namespaces
@pytest.mark.parametrize("workers", ["1", "3"])
def test_sessions_of_a_wildcard_go_on_where_an_address_is_bound_beside_it(office: Office, workers: str) -> None:
    wildcard = f"non-transparent [0.0.0.0] port {PORT};"
    office.open(listen=wildcard, workers=workers)
    clients = [office.client() for _ in range(9)]
    late = clients.pop()
    seen = [office.exchange(client) for client in clients]
    settled()
    assert "UDPS-771-K" in office.reload(listen=wildcard + WAY4.listen(PORT))
    assert [office.exchange(client) for client in clients] == seen
    assert office.exchange(late) not in seen
    assert "UDPS-771-K" in office.reload(listen=WAY4.listen(PORT))
    assert [office.exchange(client) for client in clients] == seen
    office.proxy.wait_for(rf"UDPS-774-K No longer listening on \[0.0.0.0\]:{PORT}")
    assert [office.exchange(client) for client in clients] == seen
    for client in (*clients, late):
        client.close()


@requires_root
@requires_namespaces
def test_a_rule_may_come_for_which_one_worker_has_to_hear_everybody(office: Office) -> None:
    office.open(workers="3")
    clients = [office.client() for _ in range(6)]
    seen = [office.exchange(client) for client in clients]
    settled()
    forced = f"session-acl F {{ from {{ [203.0.113.9] }}; accept; plug-to {SERVER}; source-address client; "
    assert "UDPS-771-K" in office.reload(rules=forced + f"source-port client; }} {acl(SERVER)}")
    assert [office.exchange(client) for client in clients] == seen
    assert {item["worker"] for item in office.ctl("sessions", "--json")[1]} == {0}
    for client in clients:
        client.close()


@requires_namespaces
def test_a_monitor_comes_and_goes(office: Office) -> None:
    path = office.folder / "monitor"
    office.open()
    with office.client() as client:
        seen = office.exchange(client)
        settled()
        assert "UDPS-771-K" in office.reload(items=f'monitoring {{ http socket "{path}"; }}')
        assert office.exchange(client) == seen
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
            asker.settimeout(WAIT_S)
            asker.connect(str(path))
            asker.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: asker.recv(65536), b"")).decode()
        assert "udp_proxy_config_generation 2" in answer.replace("{}", "")
        assert "udp_proxy_sessions 1" in answer.replace("{}", "")
        assert "UDPS-771-K" in office.reload(items="")
        assert not path.exists()
        assert [child["name"] for child in office.ctl("status", "--json")[1]["proxy"]["children"]] == [
            "worker 0",
            "worker 1",
        ]
        assert office.exchange(client) == seen


@requires_namespaces
def test_users_come_by_a_reload_and_sessions_that_began_without_them_go_on(office: Office) -> None:
    users = office.folder / "users"
    users.write_text("10.9.9.9\tjane\n")
    office.open()
    with office.client() as client, office.client() as late:
        seen = office.exchange(client)
        settled()
        sections = f'oob-auth OOB {{ method external; file "{users}"; }}'
        rule = f"session-acl USERS {{ user *; accept; plug-to {SERVER}; timeout both 30; }}"
        office.reload(sections=sections, items="auth oob OOB mandatory;", rules=rule)
        office.refuses(late, "rejected")
        assert office.exchange(client) == seen
        start = len(office.proxy.log.lines)
        users.write_text(f"{WAY4.client}\tjohn\n")
        office.proxy.wait_for("UDPS-750-N", start)
        assert office.exchange(late) != seen


@requires_namespaces
def test_queues_can_change_their_rates(office: Office) -> None:
    queue = "queue Q {{ rate {rate} burst {burst}; }}"
    rule = acl(SERVER, "timeout both 30; queue-to-server Q;")
    office.open(sections=queue.format(rate=8, burst=1), rules=rule)
    with office.client() as client:
        office.refuses(client, "shaped")
        office.reload(sections=queue.format(rate=800000, burst=10000))
        assert office.exchange(client)
        office.reload(sections="queue Q { mark 0; }")
        assert office.exchange(client)


@requires_namespaces
def test_a_worker_that_does_not_leave_is_killed_and_its_sessions_go_on(office: Office) -> None:
    office.open(workers="1")
    with office.client() as client:
        seen = office.exchange(client)
        settled()
        (stuck,) = office.proxy.workers
        os.kill(stuck, signal.SIGSTOP)
        assert "UDPS-771-K" in office.reload()
        office.proxy.wait_for(rf"UDPS-711-W Child worker 0 \(process {stuck}\) ended unexpectedly: killed by SIGKILL")
        assert office.exchange(client) == seen
