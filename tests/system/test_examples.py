"""The example configurations of etc/examples, each run as it stands, in the networks that it was written for.

What is changed in them: the section's name, so that tests do not meet in its pidfile; `nodaemon`, so that the log can
be read; and where a test says so, a file's path, days, or a number of seconds that nobody could wait for.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.kit import delivery
from tests.kit.installed import UDP_PROXY, Proxy, assert_balanced, requires_installed
from tests.kit.lab import Lab
from tests.kit.local_time import today_at, zone_where_it_is
from tests.kit.place import Namespace
from tests.kit.proxy import STARTED, unique_name
from tests.kit.requirement import requires_namespaces, requires_program
from tests.kit.way import port_of

EXAMPLES = Path(__file__).parents[2] / "etc" / "examples"
WAIT_S = 20

pytestmark = requires_installed


class Town:
    """The lab's machines with the addresses that an example speaks of, and the example running in their middle."""

    def __init__(self, lab: Lab, folder: Path, stack: ExitStack, **addresses: str) -> None:
        """Give the machines addresses: client, front, back, server, each a comma-separated list with prefix lengths."""
        self.lab = lab
        self._folder = folder
        self._stack = stack
        for name, place, device in (
            ("client", lab.client, "front"),
            ("front", lab.proxy, "front"),
            ("back", lab.proxy, "back"),
            ("server", lab.server, "back"),
        ):
            place.configure([f"addr add {address} brd + dev {device}" for address in addresses[name].split(",")])

    def run(
        self, example: str, *changes: tuple[str, str], env: dict[str, str] | None = None, hosts: str | None = None
    ) -> Proxy:
        """Run an example with changes made to its text. hosts: what /etc/hosts says there."""
        text = (EXAMPLES / f"{example}.cfg").read_text()
        for old, new in changes:
            assert text.count(old) == 1
            text = text.replace(old, new)
        extra = "" if "nodaemon;" in text else " nodaemon;"
        text = re.sub(r"^udp-proxy \w+ \{", f"udp-proxy {unique_name()} {{{extra}", text, flags=re.M)
        path = self._folder / "udp-proxy.cfg"
        path.write_text(text)
        command = [str(UDP_PROXY), "-f", str(path)]
        if hosts is not None:
            table = self._folder / "hosts"
            table.write_text(hosts)
            bind = 'mount --bind "$0" /etc/hosts && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", bind, str(table), *command]
        process = self.lab.proxy.popen(command, env)
        process.wait_for(STARTED)
        return Proxy(process.pid, process)

    def socket(self, place: Namespace, address: str, port: int = 0, *, broadcast: bool = False) -> socket.socket:
        """Return a socket of a place, bound to an address of it."""
        sock = self._stack.enter_context(place.socket())
        sock.settimeout(WAIT_S)
        if broadcast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind((address, port))
        return sock


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def assert_nothing_waits(sock: socket.socket) -> None:
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(2000)
    sock.settimeout(WAIT_S)


@requires_namespaces
def test_the_dns_relay_passes_one_question_and_one_answer(tmp_path: Path, lab: Lab, stack: ExitStack) -> None:
    town = Town(
        lab,
        tmp_path,
        stack,
        client="192.168.10.2/24,192.168.99.2/24",
        front="192.168.10.1/24,192.168.99.1/24",
        back="203.0.113.1/24",
        server="203.0.113.53/24",
    )
    proxy = town.run("dns-relay")
    relay = ("192.168.10.1", 53)
    server = town.socket(lab.server, "203.0.113.53", 53)
    client = town.socket(lab.client, "192.168.10.2")
    client.sendto(b"question", relay)
    payload, source = server.recvfrom(100)
    assert (payload, source[0]) == (b"question", "203.0.113.1")
    server.sendto(b"answer", source)
    assert client.recvfrom(100) == (b"answer", relay)
    assert proxy.end_of(port_of(client))[0] == "dgrams-reached"

    hasty = town.socket(lab.client, "192.168.10.2")
    for question in (b"one", b"two"):
        hasty.sendto(question, relay)
    reason, record = proxy.end_of(port_of(hasty))
    assert (reason, record["BYTES-SOUT"]) == ("dgrams-out", "3")
    assert server.recv(100) == b"one"

    stranger = town.socket(lab.client, "192.168.99.2")
    stranger.sendto(b"from elsewhere", relay)
    assert proxy.wait_for(rf"UDPP-821-N .*FROM=\S+:{port_of(stranger)} ").endswith("NAME=<NULL> REJECTED")
    assert_nothing_waits(server)
    assert_nothing_waits(stranger)
    assert_balanced(proxy.totals())


@requires_namespaces
def test_the_syslog_relay_sends_one_way_until_somebody_answers_or_is_silent(
    tmp_path: Path, lab: Lab, stack: ExitStack
) -> None:
    town = Town(
        lab,
        tmp_path,
        stack,
        client="10.0.0.2/16,10.0.9.2/16,10.0.0.250/16",
        front="10.0.0.1/16",
        back="10.20.0.1/24",
        server="10.20.0.9/24",
    )
    # The example waits 120 seconds for silence.
    proxy = town.run("syslog", ("out 120;", "out 2;"), hosts="10.20.0.9 loghost.example.net\n127.0.0.1 localhost\n")
    relay = ("10.0.0.1", 514)
    host = town.socket(lab.server, "10.20.0.9", 514)
    client = town.socket(lab.client, "10.0.0.2")
    for message in (b"<13>one", b"<13>two"):
        client.sendto(message, relay)
        payload, source = host.recvfrom(100)
        assert (payload, source[0]) == (message, "10.20.0.1")
    host.sendto(b"who are you?", source)
    assert proxy.end_of(port_of(client))[0] == "one-way-reply"
    assert_nothing_waits(client)

    begun = len(proxy.log.lines)
    client.sendto(b"<13>three", relay)
    assert host.recv(100) == b"<13>three"
    reason, record = proxy.end_of(port_of(client), begun)
    assert reason == "timeout-out"
    assert 2 <= float(record["DURATION"]) < WAIT_S
    client.sendto(b"<13>four", relay)
    assert host.recv(100) == b"<13>four"

    for address, rule in (("10.0.9.2", "BAD"), ("10.0.0.250", "<NULL>")):
        other = town.socket(lab.client, address)
        other.sendto(b"<13>no", relay)
        said = proxy.wait_for(rf"UDPP-821-N .*FROM=\S+:{port_of(other)} ")
        assert said.endswith(f"NAME={rule} REJECTED")
    assert_nothing_waits(host)


@requires_namespaces
@requires_program("nft")
def test_tftp_goes_on_at_the_port_the_server_has_chosen_and_beyond_its_hours(
    tmp_path: Path, lab: Lab, stack: ExitStack
) -> None:
    town = Town(
        lab,
        tmp_path,
        stack,
        client="192.168.10.2/24",
        front="192.168.10.1/24",
        back="198.51.100.1/24",
        server="198.51.100.7/24,198.51.100.66/24",
    )
    delivery.lead_through(lab)
    delivery.deliver(lab, "rule", [69])
    lab.client.configure(["route add 198.51.100.0/24 via 192.168.10.1"])
    # It is ten seconds before the rule's hours end. The days are left out: this must pass on Sundays too.
    zone = zone_where_it_is(today_at(18, 59, 50), tmp_path / "zone")
    proxy = town.run("tftp", ("time { mon-fri }", "time *"), env=zone)
    server = town.socket(lab.server, "198.51.100.7", 69)
    chosen, wrong = (town.socket(lab.server, "198.51.100.7", port) for port in (40123, 40124))
    client = town.socket(lab.client, "192.168.10.2")
    asked = ("198.51.100.7", 69)
    client.sendto(b"read request", asked)
    payload, source = server.recvfrom(100)
    assert payload == b"read request"
    chosen.sendto(b"data 1", source)
    assert client.recvfrom(100) == (b"data 1", asked)
    client.sendto(b"ack 1", asked)
    assert chosen.recv(100) == b"ack 1"
    wrong.sendto(b"data of somebody else", source)
    chosen.sendto(b"data 2", source)
    assert client.recvfrom(100) == (b"data 2", asked)

    refused = ""
    while not refused:  # twice a second another client, until it is seven
        late = town.socket(lab.client, "192.168.10.2")
        late.sendto(b"read request", asked)
        said = proxy.wait_for(rf"UDPP-821-N .*FROM=\S+:{port_of(late)} ")
        refused = said if said.endswith("REJECTED") else ""
        late.settimeout(0.5)
        with suppress(TimeoutError):
            late.recv(100)
    assert " 19:00:" in refused
    client.sendto(b"ack 2", asked)
    assert chosen.recv(100) == b"ack 2"
    chosen.sendto(b"data 3", source)
    assert client.recvfrom(100) == (b"data 3", asked)

    forbidden = town.socket(lab.client, "192.168.10.2")
    forbidden.sendto(b"read request", ("198.51.100.66", 69))
    assert proxy.wait_for(rf"UDPP-821-N .*FROM=\S+:{port_of(forbidden)} ").endswith("REJECTED")


@requires_namespaces
def test_a_discovery_is_answered_by_two_servers_with_their_own_addresses_k43_k44_k58_k60_k89(
    tmp_path: Path, lab: Lab, stack: ExitStack
) -> None:
    town = Town(
        lab,
        tmp_path,
        stack,
        client="10.1.1.2/24",
        front="10.1.1.1/24",
        back="192.168.1.1/24",
        server="192.168.1.20/24,192.168.1.21/24",
    )
    delivery.lead_through(lab)
    lab.client.configure(["route add 192.168.1.0/24 via 10.1.1.1"])
    proxy = town.run("discovery")
    hears = town.socket(lab.server, "192.168.1.255", 5353)
    servers = [town.socket(lab.server, f"192.168.1.{number}", 5353) for number in (20, 21)]
    client = town.socket(lab.client, "10.1.1.2", 4000, broadcast=True)
    client.sendto(b"who is there?", ("192.168.1.255", 5353))
    payload, source = hears.recvfrom(100)
    assert payload == b"who is there?"
    assert "TRANSP=YES" in proxy.wait_for(r"SESSION-START CLIENT=\[10.1.1.2\]:4000 ")
    for server in servers:
        server.sendto(b"here", source)
        assert client.recvfrom(100) == (b"here", server.getsockname())
    assert_nothing_waits(hears)
    totals = proxy.totals()
    assert_balanced(totals)
    assert (totals["opened"], totals["out_forwarded"], totals["in_forwarded"]) == (1, 1, 2)


@requires_namespaces
def test_a_transparent_broadcast_back_into_its_own_network_from_a_forced_port_is_refused_k59_k61(
    tmp_path: Path, lab: Lab, stack: ExitStack
) -> None:
    """What the proxy would send could not be told from what its client has sent."""
    town = Town(
        lab,
        tmp_path,
        stack,
        client="10.1.1.2/24",
        front="10.1.1.1/24",
        back="192.168.1.1/24",
        server="192.168.1.20/24",
    )
    delivery.lead_through(lab)
    lab.client.configure(["route add 192.168.1.0/24 via 10.1.1.1"])
    forced = "plug-to [10.1.1.255] : 5353; source-address client; source-port client; accept;"
    proxy = town.run("discovery", ("    accept;", f"    {forced}"))
    client = town.socket(lab.client, "10.1.1.2", 4000, broadcast=True)
    client.sendto(b"who is there?", ("192.168.1.255", 5353))
    line = proxy.wait_for("UDPP-740-W")
    assert "same interface with forced source port, session rejected" in line
    totals = proxy.totals()
    assert_balanced(totals)
    assert (totals["opened"], totals["out_forwarded"], totals["out_dropped"]) == (0, 0, 1)


_SEEN = """table inet seen {
  counter bulk { }
  chain out {
    type filter hook output priority 0;
    meta mark 7 udp dport 7003 counter name bulk
  }
}
"""


@requires_namespaces
@requires_program("nft")
def test_players_keep_their_address_and_port_if_the_list_of_users_has_them(
    tmp_path: Path, lab: Lab, stack: ExitStack
) -> None:
    town = Town(
        lab,
        tmp_path,
        stack,
        client="172.16.0.2/12,172.16.0.3/12,172.16.0.4/12",
        front="172.16.0.1/12",
        back="203.0.113.1/24",
        server="203.0.113.9/24",
    )
    delivery.lead_through(lab)
    delivery.deliver(lab, "mark", list(range(7000, 7011)))
    delivery.deliver_answers(lab)
    lab.client.configure(["route add 203.0.113.0/24 via 172.16.0.1"])
    lab.server.configure(["route add 172.16.0.0/12 via 203.0.113.1"])
    lab.proxy.run(["nft", "-f", "-"], text=_SEEN)
    users = tmp_path / "oob.list"
    users.write_text("172.16.0.2\talice\n172.16.0.3\tcarol\tguests,staff\n")
    proxy = town.run("game", ("/var/db/oob.list", str(users)))
    server = town.socket(lab.server, "203.0.113.9", 7003)
    game = ("203.0.113.9", 7003)
    for address, port, user in (("172.16.0.2", 7000, "alice"), ("172.16.0.3", 50_003, "carol")):
        client = town.socket(lab.client, address, port)
        client.sendto(b"move", game)
        assert server.recvfrom(100) == (b"move", (address, port))
        server.sendto(b"moved", (address, port))
        assert client.recvfrom(100) == (b"moved", game)
        assert f"USER={user} TYPE=normal" in proxy.wait_for(rf"SESSION-START CLIENT=\[{address}\]:{port} ")
    stranger = town.socket(lab.client, "172.16.0.4")
    stranger.sendto(b"move", game)
    said = proxy.wait_for(rf"UDPP-821-N .*FROM=\S+:{port_of(stranger)} ")
    assert said.endswith("USER=<NULL> NAME=<NULL> REJECTED")
    assert '"packets": 2' in lab.proxy.run(["nft", "-j", "list", "counters"]).stdout
    assert_balanced(proxy.totals())
