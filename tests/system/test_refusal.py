"""Clients that no rule accepts: the log says so, and nothing leaves the proxy, neither for the server nor for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import peers
from tests.kit.installed import assert_balanced, pairs, requires_installed, serve
from tests.kit.lab import FRONT, Lab
from tests.kit.proxy import Configuration
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAYS, Way, connected, port_of

PORT = 7000

pytestmark = requires_installed


@requires_namespaces
@requires_program("tcpdump")
@pytest.mark.parametrize("fast_path", ["on", "off"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_refused_client_is_logged_and_nothing_leaves_the_proxy(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str
) -> None:
    welcome = lab.attach("welcome", FRONT, 3)
    address = {4: welcome.address4, 6: welcome.address6}[way.version]
    server = peers.udp_peer(lab.server, "echo", way.server, PORT)
    rules = f"""
        session-acl BAD  {{ from {{ [{way.client}] }}; to {{ * }} port 7001; deny; }}
        session-acl GOOD {{ from {{ [{address}] }}; accept; plug-to [{way.server}] : {PORT}; timeout both 60; }}"""
    listen = f"non-transparent [{way.front}] port {PORT} to 7001;"
    proxy = serve(lab.proxy, tmp_path, Configuration(listen, rules, f"nodaemon; fast-path {fast_path};"))
    watch = ["tcpdump", "-i", "any", "-Q", "out", "-l", "--immediate-mode", "-nn", "-q", "udp or icmp"]
    capture = lab.proxy.popen(watch)
    capture.wait_for("listening on any")
    with way.client_socket(lab, PORT) as unknown, way.client_socket(lab, PORT + 1) as denied:
        unknown.send(b"let me in")
        denied.send(b"let me in too")
        for sock, port, name in ((unknown, PORT, "<NULL>"), (denied, PORT + 1, "BAD")):
            source = rf"FROM=\[{way.client}\]:{port_of(sock)} TO=\[{way.front}\]:{port}"
            proxy.wait_for(rf"UDPP-821-N ACL PHASE=1 {source} TRANSP=NO USER=<NULL> NAME={name} REJECTED$")
            record = pairs(proxy.wait_for(rf"PROXY-EVENT .*CLIENT-PORT={port_of(sock)} "))
            assert [record[key] for key in ("STATUS", "RESULT", "RULE")] == ["REJECTED", "OK", name]
            assert [record[f"BYTES-{key}"] for key in ("SOUT", "SIN", "CIN")] == ["0", "0", "0"]
        with connected(welcome.namespace, address, way.front, PORT) as accepted:
            accepted.send(b"me")
            assert accepted.recv(100) == b"me"
        # Both of the welcome client's datagrams are seen; anything that left before them would be, too.
        capture.wait_for(rf" > {address}\.\d+: UDP, length 2")
        for sock in (unknown, denied):
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(100)
    packets = [line for line in capture.lines if " > " in line]
    assert len(packets) == 2, packets
    assert server.counts() == {"received": 1, "bytes": 2, "sent": 1, "sources": 1}
    assert_balanced(totals := proxy.totals())
    assert (totals["out_received"], totals["out_dropped"], totals["opened"]) == (3, 2, 1)
    assert proxy.state_when(lambda state: state.get("received-out") == 3)["dropped-out-rejected"] == 2


@requires_namespaces
def test_a_client_refused_again_and_again_has_a_record_a_second_at_most(tmp_path: Path, lab: Lab) -> None:
    way, rounds = WAYS[4], 20
    proxy = serve(lab.proxy, tmp_path, Configuration(way.listen(PORT), "", workers=1))
    with way.client_socket(lab, PORT) as client:
        for _ in range(rounds):
            begun = len(proxy.log.lines)
            client.send(b"let me in")
            proxy.wait_for("UDPP-821-N .* REJECTED", begun)
    assert proxy.log.stop() == 0
    searches = [line for line in proxy.log.lines if "UDPP-821-N" in line]
    records = [line for line in proxy.log.lines if "PROXY-EVENT" in line]
    seconds = {line.split()[2] for line in searches}
    assert len(searches) == rounds
    assert 1 <= len(records) <= len(seconds) + 1 < rounds
