"""Regular expressions against the reverse names of clients, with a real name server that the proxy asks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.kit import peers
from tests.kit.installed import assert_balanced, requires_installed, serve
from tests.kit.lab import BACK, FRONT, Lab
from tests.kit.proxy import unique_name
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAY4, WAYS, Way, port_of

PORT, DNS = 7000, 53
GOOD, EVIL = 2, 66
"""Numbers of hosts on the client's network."""
ZONE = "corp.example"
REVERSE4, REVERSE6 = "1.77.10.in-addr.arpa", "0.0.0.0.0.0.0.0.1.0.0.0.7.7.d.f.ip6.arpa"
ZONES = {
    ZONE: {"good": "A 10.77.1.2", "good6": "AAAA fd77:1::2", "evil": "A 10.77.1.99"},
    REVERSE4: {str(GOOD): f"PTR good.{ZONE}.", str(EVIL): f"PTR evil.{ZONE}."},
    REVERSE6: {"2" + ".0" * 15: f"PTR good6.{ZONE}."},
}
_TEXT = """version KERNUN-2_3-RELEASE;
resolver R {{ server [{server}] : {dns}; initial-timeout {timeout}; }}
udp-proxy {name} {{
  nodaemon; use-resolver R; {proxy}
  listen-on {{ {listen} }}
  udpserver {{ max-sessions 100; workers 2; }}
  session-acl NAMED {{ from {{ /^(good|evil)[0-9]*\\.corp\\.example$/ }}; accept; {plug} timeout both 60; }}
  session-acl REST {{ to *; {rest} }}
}}
"""

pytestmark = requires_installed


def text(way: Way, *, timeout: str = "5", proxy: str = "", rest: str = "deny;", server: str = WAY4.server) -> str:
    plug = f"plug-to [{way.server}] : {PORT};"
    return _TEXT.format(
        **{"server": server, "dns": DNS, "timeout": timeout, "name": unique_name(), "proxy": proxy},
        **{"listen": way.listen(PORT), "plug": plug, "rest": rest.replace("PLUG", plug)},
    )


@requires_namespaces
@requires_program("nsd")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("mode", ["", "fast-path off;", "singleproc;"], ids=["fast", "plain", "one-process"])
def test_a_client_is_served_by_its_name_and_the_records_carry_it(tmp_path: Path, lab: Lab, way: Way, mode: str) -> None:
    peers.nsd_zones(lab.server, tmp_path, WAY4.server, DNS, ZONES)
    proxy = serve(lab.proxy, tmp_path, text(way, proxy=mode))
    with way.server_socket(lab, PORT) as server, way.client_socket(lab, PORT) as client:
        client.send(b"hello")
        payload, source = server.recvfrom(100)
        server.sendto(payload, source)
        assert client.recv(100) == b"hello"
        proxy.log.signal(signal.SIGTERM)
        _, record = proxy.end_of(port_of(client))
    name = f"good.{ZONE}" if way is WAY4 else f"good6.{ZONE}"
    assert (record["CLIENT"], record["CLIENT-IP"], record["RULE"]) == (name, way.client, "NAMED")
    assert (record["SERVER"], record["SERVER-IP"]) == (way.server, way.server)


@requires_namespaces
@requires_program("nsd")
def test_a_record_in_json_has_names_users_and_counts_as_fields(tmp_path: Path, lab: Lab) -> None:
    peers.nsd_zones(lab.server, tmp_path, WAY4.server, DNS, ZONES)
    stats = tmp_path / "stats.log"
    proxy = serve(lab.proxy, tmp_path, text(WAY4, proxy=f'log-stats {{ file "{stats}"; format json; }}'))
    with WAY4.server_socket(lab, PORT) as server, WAY4.client_socket(lab, PORT) as client:
        client.send(b"hello")
        payload, source = server.recvfrom(100)
        server.sendto(payload * 2, source)
        assert client.recv(100) == b"hellohello"
        port = port_of(client)
    assert proxy.log.stop() == 0
    (line,) = stats.read_text().splitlines()
    record = json.loads(line)
    assert (record["id"], record["event"]) == ("UDPP-888-I", "session-end")
    found = record["fields"]
    assert (found["client_host"], found["client"]) == (f"good.{ZONE}", f"[{WAY4.client}]:{port}")
    assert (found["server_host"], found["user"], found["rule"]) == (WAY4.server, None, "NAMED")
    counts = {name: found[f"bytes_{name}"] for name in ("cin", "cout", "sin", "sout")}
    assert counts == {"cin": 10, "cout": 5, "sin": 10, "sout": 5}
    assert record["message"].startswith(f"PROXY-EVENT PROTOCOL=UDP CLIENT=good.{ZONE} CLIENT-IP={WAY4.client} ")


@requires_namespaces
@requires_program("nsd")
def test_a_name_that_the_address_only_claims_does_not_count(tmp_path: Path, lab: Lab) -> None:
    """Who holds a reverse zone can write any name into it; the name's own zone must agree."""
    peers.nsd_zones(lab.server, tmp_path, WAY4.server, DNS, ZONES)
    lab.attach("evil", FRONT, EVIL)
    proxy = serve(lab.proxy, tmp_path, text(WAY4))
    sock = lab.hosts["evil"].namespace.socket()
    with sock:
        sock.sendto(b"let me in", (WAY4.front, PORT))
        line = proxy.wait_for("UDPP-821-N")
        assert line.endswith("NAME=REST REJECTED")
        assert "PROXY-EVENT PROTOCOL=UDP CLIENT=10.77.1.66 " in proxy.wait_for("PROXY-EVENT")


@requires_namespaces
@pytest.mark.parametrize("mode", ["", "singleproc;"], ids=["workers", "one-process"])
def test_while_the_name_server_is_silent_one_datagram_waits_and_in_the_end_the_next_rule_counts(
    tmp_path: Path, lab: Lab, mode: str
) -> None:
    """The name server's port is bound and never answered; the client that waits is decided on after its time."""
    with lab.server.socket() as silent, WAY4.server_socket(lab, PORT) as server:
        silent.bind((WAY4.server, DNS))
        proxy = serve(lab.proxy, tmp_path, text(WAY4, timeout="0.5", proxy=mode, rest="accept; PLUG"))
        with WAY4.client_socket(lab, PORT) as client:
            for payload in (b"first", b"second", b"third"):
                client.send(payload)
            assert server.recv(100) == b"first"
            assert proxy.wait_for("UDPP-821-N").endswith("NAME=REST ACCEPTED")
            client.send(b"later")
            # Where one process waits for the name, the others may come after the answer.
            seen = [server.recv(100)]
            while seen[-1] != b"later":
                seen.append(server.recv(100))
        if not mode:
            assert_balanced(totals := proxy.totals())
            assert totals["out_dropped"] == 2
            assert seen == [b"later"]
            assert proxy.state_when(lambda state: "dropped-out-name-pending" in state)["dropped-out-name-pending"] == 2


@requires_namespaces
@requires_program("nsd")
def test_a_host_name_that_moves_takes_new_sessions_with_it_and_leaves_the_old_ones(tmp_path: Path, lab: Lab) -> None:
    """The shortest time a name is believed is a minute, however short its time to live: this test takes that long."""
    moved = BACK.address4(3)
    lab.server.configure([f"addr add {moved}/24 dev back"])
    nsd = peers.nsd_zones(lab.server, tmp_path, WAY4.server, DNS, {ZONE: {"app": f"1 A {WAY4.server}"}})
    rest = f"accept; plug-to app.{ZONE} : {PORT}; timeout both 600;"
    proxy = serve(lab.proxy, tmp_path, text(WAY4, timeout="1", rest=rest))
    with WAY4.server_socket(lab, PORT) as old, lab.server.socket() as new, WAY4.client_socket(lab, PORT) as client:
        new.bind((moved, PORT))
        client.send(b"early")
        assert old.recv(100) == b"early"
        peers.write_zone(tmp_path, ZONE, {"app": f"1 A {moved}"}, serial=2)
        nsd.signal(signal.SIGHUP)
        knock_until_heard(lab, new)
        client.send(b"still")
        while (payload := old.recv(100)) == b"knock":
            pass
        assert payload == b"still"
    assert proxy.log.stop() == 0


def knock_until_heard(lab: Lab, server: socket.socket) -> None:
    """Send from ever new clients until one of their sessions goes to a server. Raises TimeoutError after 100 s."""
    deadline = time.monotonic() + 100
    server.settimeout(1)
    while time.monotonic() < deadline:
        with WAY4.client_socket(lab, PORT) as client:
            client.send(b"knock")
            with contextlib.suppress(TimeoutError):
                assert server.recv(100) == b"knock"
                return
    raise TimeoutError("the name did not move")


@requires_namespaces
@requires_program("nsd")
def test_a_killed_resolver_leaves_questions_unanswered_and_its_replacement_answers(tmp_path: Path, lab: Lab) -> None:
    peers.nsd_zones(lab.server, tmp_path, WAY4.server, DNS, ZONES)
    proxy = serve(lab.proxy, tmp_path, text(WAY4))
    line = proxy.wait_for("Child resolver started, process")
    os.kill(int(line.rpartition(" ")[2]), signal.SIGKILL)
    proxy.wait_for("Child resolver started, process", proxy.log.lines.index(line) + 1)
    with WAY4.server_socket(lab, PORT) as server, WAY4.client_socket(lab, PORT) as client:
        client.send(b"hello")
        assert server.recv(100) == b"hello"
