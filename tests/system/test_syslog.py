"""Syslog: logger sends to rsyslog one way, from a forced source address; what the server answers ends the session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import peers
from tests.kit.installed import assert_balanced, requires_installed, serve
from tests.kit.lab import BACK, Lab
from tests.kit.proxy import Configuration, acl
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAY4, WAY6, WAYS, Way, port_of

SYSLOG = 514
FORCED = {4: f"addr4 [{BACK.address4(77)}]", 6: f"addr6 [{BACK.address6(77)}]"}

pytestmark = requires_installed


def one_way(lab: Lab, way: Way, fast_path: str = "on") -> Configuration:
    """Return a proxy with a second address on the server's network, which its sessions must come from."""
    lab.proxy.configure(
        [f"addr add {BACK.address4(77)}/24 dev back", f"addr add {BACK.address6(77)}/64 dev back nodad"]
    )
    rule = acl(f"[{way.server}] : {SYSLOG}", "session-type one-way; timeout session 60 out 60;", name="HOSTS")
    items = f"nodaemon; fast-path {fast_path}; source-address {FORCED[way.version]} physical;"
    return Configuration(way.listen(SYSLOG), rule, items)


@requires_namespaces
@requires_program("rsyslogd", "logger")
@pytest.mark.parametrize("fast_path", ["on", "off"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_messages_arrive_from_the_forced_address(tmp_path: Path, lab: Lab, way: Way, fast_path: str) -> None:
    server = peers.rsyslogd(lab.server, tmp_path, way.server, SYSLOG)
    proxy = serve(lab.proxy, tmp_path, one_way(lab, way, fast_path))
    for number in range(3):
        message = f"message {number}"
        lab.client.run(["logger", "-n", way.front, "-P", str(SYSLOG), "-d", "--rfc3164", "-t", "lab", message])
    forced = {4: BACK.address4(77), 6: BACK.address6(77)}[way.version]
    for number in range(3):
        assert server.received.wait_for(f"message {number}").split()[:2] == [forced, "lab:"]
    assert_balanced(totals := proxy.totals())
    assert (totals["opened"], totals["out_forwarded"], totals["in_received"]) == (3, 3, 0)


@requires_namespaces
@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_an_answer_ends_the_session_and_never_reaches_the_client(tmp_path: Path, lab: Lab, fast_path: str) -> None:
    proxy = serve(lab.proxy, tmp_path, one_way(lab, WAY4, fast_path))
    with WAY4.server_socket(lab, SYSLOG) as server, WAY4.client_socket(lab, SYSLOG) as client:
        client.send(b"<13>first")
        _, source = server.recvfrom(100)
        assert source[0] == BACK.address4(77)
        server.sendto(b"thank you", source)
        reason, record = proxy.end_of(port_of(client))
        assert (reason, record["RESULT"]) == ("one-way-reply", "ABORTED")
        counts = [record[f"BYTES-{name}"] for name in ("COUT", "SOUT", "SIN", "CIN")]
        assert counts == ["9", "9", "9", "0"]
        # The next message begins a new session, and whatever the proxy sent to the client would be there before it.
        client.send(b"<13>second")
        assert server.recv(100) == b"<13>second"
        assert_balanced(totals := proxy.totals())
        assert (totals["opened"], totals["in_received"], totals["in_dropped"]) == (2, 1, 1)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(100)


@requires_namespaces
def test_other_hosts_and_ports_are_told_from_the_servers(tmp_path: Path, lab: Lab) -> None:
    stranger = lab.attach("stranger", BACK, 3)
    proxy = serve(lab.proxy, tmp_path, one_way(lab, WAY6))
    with WAY6.server_socket(lab, SYSLOG) as server, WAY6.client_socket(lab, SYSLOG) as client:
        client.send(b"<13>first")
        _, source = server.recvfrom(100)
        with stranger.namespace.socket(WAY6.family) as other:
            other.sendto(b"not asked", source[:2])
        proxy.state_when(lambda state: state.get("dropped-in-wrong-source") == 1 and state["sessions"] == 1)
        with WAY6.server_socket(lab, 1514) as same_host:
            same_host.sendto(b"another port of the server", source[:2])
        assert proxy.end_of(port_of(client))[0] == "one-way-reply"
