"""Queues and types of service: packet filters and schedulers see the marks, rates hold, and every drop is counted."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from tests.kit.installed import Proxy, assert_balanced, requires_installed, serve
from tests.kit.lab import Lab
from tests.kit.place import Place
from tests.kit.proxy import unique_name
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import WAY4, WAYS, Way, port_of

PORT = 7000
SIZE = 1000
BURST = 5
"""Datagrams that a bucket holds when it is full. Half of one more is in it: the workers read their clocks once a turn,
and the milliseconds by which these differ are bytes that the last datagram would lack."""
_TEXT = """version KERNUN-2_3-RELEASE;
queue up   {{ mark 17; priority 5; }}
queue down {{ mark 34; priority 6; }}
queue slow {{ rate 8 burst {burst}; }}
udp-proxy {name} {{
  nodaemon; fast-path {fast_path};
  listen-on {{ {listen} }}
  udpserver {{ max-sessions 100; workers {workers}; }}
  {rules}
}}
"""
IP_RECVTOS, IPV6_RECVTCLASS, IP_TOS, IPV6_TCLASS = 13, 66, 1, 67
_TABLE = """table inet seen {
  counter up { }
  counter down { }
  chain out {
    type filter hook output priority 0;
    meta mark 17 meta priority 0:5 udp dport 7000 counter name up
    meta mark 34 meta priority 0:6 udp sport 7000 counter name down
  }
}
"""
_CLASSIFIER = """table inet classes {
  chain out {
    type filter hook output priority 0;
    meta mark 17 meta priority set 1:17
  }
}
"""

pytestmark = requires_installed
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
each_path = pytest.mark.parametrize("fast_path", ["on", "off"])


def text(way: Way, items: str, fast_path: str = "on", workers: int = 2, more: str = "") -> str:
    """Return a configuration with one rule that accepts everybody; more: rules before it."""
    plug = f"plug-to [{way.server}] : {PORT};"
    rules = f"{more.replace('PLUG', plug)} session-acl ALL {{ accept; {plug} timeout both 60; {items} }}"
    return _TEXT.format(
        **{
            "burst": BURST * SIZE + SIZE // 2,
            "name": unique_name(),
            "fast_path": fast_path,
            "listen": way.listen(PORT),
        },
        **{"workers": workers, "rules": rules},
    )


@pytest.fixture
def counters(lab: Lab) -> Place:
    """The proxy's machine with a table that counts what it sends, by mark and priority together."""
    lab.proxy.run(["nft", "-f", "-"], text=_TABLE)
    return lab.proxy


def counted(place: Place) -> dict[str, int]:
    """Return how many datagrams each counter has seen."""
    found = json.loads(place.run(["nft", "-j", "list", "counters", "table", "inet", "seen"]).stdout)["nftables"]
    return {entry["counter"]["name"]: entry["counter"]["packets"] for entry in found if "counter" in entry}


@requires_namespaces
@requires_program("nft")
@each_way
@each_path
def test_a_packet_filter_sees_the_mark_and_the_priority_of_either_direction(
    tmp_path: Path, lab: Lab, counters: Place, way: Way, fast_path: str
) -> None:
    serve(lab.proxy, tmp_path, text(way, "queue-to-server up; queue-to-client down;", fast_path))
    with way.server_socket(lab, PORT) as server, way.client_socket(lab, PORT) as client:
        for number in range(3):
            client.send(b"question")
            _, source = server.recvfrom(100)
            for _ in range(2 if number else 1):
                server.sendto(b"answer", source)
                assert client.recv(100) == b"answer"
    assert counted(counters) == {"up": 3, "down": 5}


@requires_namespaces
@requires_program("nft", "ip")
def test_a_scheduler_sorts_by_the_mark_into_its_classes(tmp_path: Path, lab: Lab) -> None:
    for command in (
        "qdisc add dev back root handle 1: htb default 99",
        "class add dev back parent 1: classid 1:17 htb rate 100mbit",
        "class add dev back parent 1: classid 1:99 htb rate 100mbit",
    ):
        lab.proxy.run(["tc", *command.split()])
    lab.proxy.run(["nft", "-f", "-"], text=_CLASSIFIER)
    more = "session-acl OTHER { from { [10.77.1.77] }; accept; PLUG timeout both 60; }"
    serve(lab.proxy, tmp_path, text(WAY4, "queue-to-server up;", more=more))
    lab.client.configure(["addr add 10.77.1.77/24 dev front"])
    with WAY4.server_socket(lab, PORT) as server, WAY4.client_socket(lab, PORT) as client:
        for _ in range(4):
            client.send(b"marked")
            assert server.recv(100) == b"marked"
        with lab.client.socket() as other:
            other.bind(("10.77.1.77", 0))
            other.sendto(b"unmarked", (WAY4.front, PORT))
            assert server.recv(100) == b"unmarked"
    said = lab.proxy.run(["tc", "-s", "class", "show", "dev", "back"]).stdout
    seen = dict(re.findall(r"class htb 1:(\d+) root.*?Sent \d+ bytes (\d+) pkt", said, re.DOTALL))
    assert seen["17"] == "4"
    assert int(seen["99"]) >= 1


# --- types of service -----------------------------------------------------------------------------------------------


def watch_tos(sock: socket.socket, way: Way) -> None:
    """Let a socket tell the type-of-service byte of what it receives."""
    level, option = (socket.IPPROTO_IPV6, IPV6_RECVTCLASS) if way.version == 6 else (socket.IPPROTO_IP, IP_RECVTOS)
    sock.setsockopt(level, option, 1)


def receive_tos(sock: socket.socket) -> tuple[bytes, int, object]:
    """Return payload, type-of-service byte and sender of the next datagram."""
    payload, items, _, sender = sock.recvmsg(2000, 100)
    ((_, _, tos),) = items
    return payload, tos[0], sender


def set_tos(sock: socket.socket, way: Way, tos: int) -> None:
    level, option = (socket.IPPROTO_IPV6, IPV6_TCLASS) if way.version == 6 else (socket.IPPROTO_IP, IP_TOS)
    sock.setsockopt(level, option, tos)


@requires_namespaces
@each_way
@each_path
def test_both_sides_see_the_type_of_service_that_the_rule_sets(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str
) -> None:
    items = "ip-tos-to-server { set 0x48; } ip-tos-to-client { set 0x60; }"
    serve(lab.proxy, tmp_path, text(way, items, fast_path))
    with way.server_socket(lab, PORT) as server, way.client_socket(lab, PORT) as client:
        watch_tos(server, way)
        watch_tos(client, way)
        for _ in range(2):
            client.send(b"question")
            payload, tos, source = receive_tos(server)
            assert (payload, tos) == (b"question", 0x48)
            server.sendto(b"answer", source)
            assert receive_tos(client)[:2] == (b"answer", 0x60)


@requires_namespaces
@each_way
@each_path
def test_the_type_of_service_of_the_first_datagram_chooses_the_rule(
    tmp_path: Path, lab: Lab, way: Way, fast_path: str
) -> None:
    more = "session-acl GOLD { ip-tos-from { 0x28, 0x48 }; accept; PLUG timeout both 60; }"
    proxy = serve(lab.proxy, tmp_path, text(way, "", fast_path, more=more))
    rules = {}
    with way.server_socket(lab, PORT) as server:
        for tos in (0x48, 0x08, 0):
            with way.client_socket(lab, PORT) as client:
                set_tos(client, way, tos)
                client.send(b"first")
                assert server.recv(100) == b"first"
                # What comes later decides nothing any more.
                set_tos(client, way, 0x48 ^ tos)
                client.send(b"second")
                assert server.recv(100) == b"second"
                said = proxy.wait_for(rf"UDPP-821-N .*:{port_of(client)} ")
                rules[tos] = said.partition("NAME=")[2]
    assert rules == {0x48: "GOLD ACCEPTED", 0x08: "ALL ACCEPTED", 0: "ALL ACCEPTED"}


# --- rates ------------------------------------------------------------------------------------------------------------


def drain(sock: socket.socket, proxy: Proxy, **treated: int) -> int:
    """Return how many datagrams come until none has for a second, from when the workers have treated so many."""
    proxy.totals_when(lambda totals: treated.items() <= totals.items())
    sock.settimeout(1)
    count = 0
    while True:
        try:
            sock.recv(2000)
        except TimeoutError:
            return count
        count += 1


@requires_namespaces
@each_path
def test_a_burst_passes_as_far_as_the_bucket_goes_and_the_rest_is_counted_as_shaped(
    tmp_path: Path, lab: Lab, fast_path: str
) -> None:
    """At 8 bits a second nothing more passes during the test: what passes is the bucket's content, exactly."""
    proxy = serve(lab.proxy, tmp_path, text(WAY4, "queue-to-server slow; queue-to-client slow;", fast_path))
    with WAY4.server_socket(lab, PORT) as server, WAY4.client_socket(lab, PORT) as client:
        client.send(bytes(SIZE))
        _, source = server.recvfrom(2000)
        for _ in range(3 * BURST):
            client.send(bytes(SIZE))
        assert drain(server, proxy, out_received=1 + 3 * BURST) == BURST - 1
        for _ in range(3 * BURST):
            server.sendto(bytes(SIZE), source)
        assert drain(client, proxy, in_received=3 * BURST) == BURST
        # Empty datagrams cost nothing, and the session is as alive as before.
        client.send(b"")
        assert drain(server, proxy, out_received=2 + 3 * BURST) == 1
    assert_balanced(totals := proxy.totals())
    assert (totals["sessions"], totals["out_dropped"], totals["in_dropped"]) == (1, 2 * BURST + 1, 2 * BURST)
    state = proxy.state_when(lambda state: "dropped-in-shaped" in state)
    assert (state["dropped-out-shaped"], state["dropped-in-shaped"]) == (2 * BURST + 1, 2 * BURST)


@requires_namespaces
def test_all_workers_share_a_queues_rate(tmp_path: Path, lab: Lab) -> None:
    proxy = serve(lab.proxy, tmp_path, text(WAY4, "queue-to-server slow;", workers=4))
    clients = [WAY4.client_socket(lab, PORT) for _ in range(12)]
    with WAY4.server_socket(lab, PORT) as server:
        for client in clients:
            client.send(bytes(SIZE))
        assert drain(server, proxy, out_received=len(clients)) == BURST
    ports = [port_of(client) for client in clients]
    assert len({proxy.worker_of(port) for port in ports}) > 1
    for client in clients:
        client.close()


@requires_namespaces
def test_shaped_datagrams_do_not_count_against_limits(tmp_path: Path, lab: Lab) -> None:
    proxy = serve(lab.proxy, tmp_path, text(WAY4, f"queue-to-server slow; max-dgrams-out {BURST};", workers=1))
    with WAY4.server_socket(lab, PORT) as server, WAY4.client_socket(lab, PORT) as client:
        for _ in range(3 * BURST):
            client.send(bytes(SIZE))
        assert drain(server, proxy, out_received=3 * BURST) == BURST
        client.send(b"")
        reason, record = proxy.end_of(port_of(client))
    assert reason == "dgrams-out"
    assert record["BYTES-SOUT"] == str(BURST * SIZE)
    assert record["BYTES-COUT"] == str(3 * BURST * SIZE)
