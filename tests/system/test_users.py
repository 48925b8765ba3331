"""Out-of-band users: who sits at an address decides which rule serves it, and nobody is thrown out who leaves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.installed import Proxy, assert_balanced, requires_installed, serve
from tests.kit.lab import FRONT, Lab
from tests.kit.proxy import unique_name
from tests.kit.requirement import requires_namespaces
from tests.kit.way import WAY4, WAY6, WAYS, Way, port_of

PORT = 7000
_TEXT = """version KERNUN-2_3-RELEASE;
oob-auth OOB {{ method external; file "{file}"; }}
udp-proxy {name} {{
  nodaemon; {proxy}
  listen-on {{ {listen} }}
  udpserver {{ max-sessions 100; workers {workers}; }}
  auth oob OOB {obligation};
  session-acl STAFF {{ user name {{ alice, "DOM\\\\bob" }} group {{ night }}; accept; {plug} timeout both 60; }}
  session-acl GUEST {{ user none; accept; {plug} timeout both 60; }}
  session-acl OTHERS {{ user *; deny; }}
}}
"""

pytestmark = requires_installed


class Office:
    """A proxy with its file of users."""

    def __init__(self, folder: Path, way: Way) -> None:
        self.path = folder / "oob.list"
        self._folder = folder
        self._way = way
        self.proxy: Proxy

    def users(self, text: str) -> None:
        """Put another file in the old one's place, as a program that keeps it would."""
        fresh = self._folder / "oob.new"
        fresh.write_text(text)
        fresh.rename(self.path)

    def change(self, text: str, line: str = r"UDPS-750-N Users read from") -> None:
        """Change the users, and wait until the proxy has said so: it has told its workers then."""
        start = len(self.proxy.log.lines)
        self.users(text)
        self.proxy.wait_for(line, start)

    def open(self, lab: Lab, *, obligation: str = "optional", proxy: str = "", workers: int = 2) -> Office:
        way = self._way
        plug = f"plug-to [{way.server}] : {PORT};"
        text = _TEXT.format(
            **{"file": self.path, "name": unique_name(), "proxy": proxy, "listen": way.listen(PORT)},
            **{"workers": workers, "obligation": obligation, "plug": plug},
        )
        self.proxy = serve(lab.proxy, self._folder, text)
        return self

    def searches(self, port: int, count: int) -> list[str]:
        """Return what the rules said of a client's port, once they have said so often enough."""
        start, found = 0, []
        while len(found) < count:
            line = self.proxy.wait_for(rf"UDPP-821-N .*FROM=\S+:{port} ", start)
            start = self.proxy.log.lines.index(line, start) + 1
            found.append(line.partition("TRANSP=")[2])
        return found


@pytest.fixture
def office() -> Iterator[Callable[[Way], Office]]:
    # Open to everybody: where one process does everything, it is nobody when it reads the file again.
    with tempfile.TemporaryDirectory(prefix="office") as folder:
        Path(folder).chmod(0o755)
        yield lambda way: Office(Path(folder), way)


each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@each_way
@pytest.mark.parametrize(
    ("entry", "rule", "user"),
    [
        ("{}\talice\n", "STAFF", "alice"),
        ("{}\tcarol\tday,night\n", "STAFF", "carol"),
        ("", "GUEST", "<NULL>"),
        ("192.0.2.1\talice\n# {}\talice\n", "GUEST", "<NULL>"),
    ],
    ids=["name", "group", "nobody", "another-address"],
)
@requires_namespaces
def test_the_user_of_an_address_chooses_the_rule_and_is_in_every_record(
    lab: Lab, office: Callable[[Way], Office], way: Way, entry: str, rule: str, user: str
) -> None:
    here = office(way)
    here.users(entry.format(way.client))
    here.open(lab, proxy="fast-path off;" if way is WAY6 else "")
    with way.server_socket(lab, PORT) as server, way.client_socket(lab, PORT) as client:
        client.send(b"hello")
        payload, source = server.recvfrom(100)
        server.sendto(payload, source)
        assert client.recv(100) == b"hello"
        (said,) = here.searches(port_of(client), 1)
        assert said == f"NO USER={user} NAME={rule} ACCEPTED"
        assert f" USER={user} TYPE=normal" in here.proxy.wait_for("SESSION-START")
        here.proxy.log.signal(15)
        _, record = here.proxy.end_of(port_of(client))
    assert (record["USER"], record["RULE"], record["STATUS"]) == (user, rule, "ACCEPTED")


@each_way
@pytest.mark.parametrize("mode", ["", "singleproc;"], ids=["workers", "one-process"])
@requires_namespaces
def test_logging_in_and_out_counts_for_new_sessions_and_leaves_those_in_progress_k18_k111(
    lab: Lab, office: Callable[[Way], Office], way: Way, mode: str
) -> None:
    here = office(way)
    here.users("")
    here.open(lab, proxy=mode)
    with way.server_socket(lab, PORT) as server:
        clients = [way.client_socket(lab, PORT) for _ in range(3)]
        texts = ["", f"{way.client}\talice\n", f"{way.client}\teve\n"]
        for number, (client, text) in enumerate(zip(clients, texts, strict=True)):
            if number:
                here.change(text)
            client.send(b"first")
            if number < 2:
                assert server.recv(100) == b"first"
            for earlier in clients[: min(number, 2)]:
                earlier.send(b"again")
                assert server.recv(100) == b"again"
        rules = [here.searches(port_of(client), 1)[0] for client in clients]
        assert rules == [
            "NO USER=<NULL> NAME=GUEST ACCEPTED",
            "NO USER=alice NAME=STAFF ACCEPTED",
            "NO USER=eve NAME=OTHERS REJECTED",
        ]
        here.proxy.log.signal(15)
        assert here.proxy.end_of(port_of(clients[1]))[1]["USER"] == "alice"
        for client in clients:
            client.close()


@each_way
@requires_namespaces
def test_without_an_entry_nobody_is_served_where_users_are_mandatory(
    lab: Lab, office: Callable[[Way], Office], way: Way
) -> None:
    here = office(way)
    here.users("")
    here.open(lab, obligation="mandatory")
    with way.server_socket(lab, PORT) as server, way.client_socket(lab, PORT) as client:
        client.send(b"stranger")
        assert here.searches(port_of(client), 1) == ["NO USER=<NULL> NAME=<NULL> REJECTED"]
        record = here.proxy.wait_for(f"PROXY-EVENT .*CLIENT-PORT={port_of(client)} ")
        assert record.endswith("STATUS=REJECTED RESULT=OK RULE=<NULL>")
        here.change(f"{way.client}\talice\n")
        client.send(b"known")
        assert server.recv(100) == b"known"
    assert_balanced(totals := here.proxy.totals())
    assert (totals["out_received"], totals["out_dropped"]) == (2, 1)


@requires_namespaces
def test_a_broken_file_changes_nothing_and_a_mended_one_counts(lab: Lab, office: Callable[[Way], Office]) -> None:
    here = office(WAY4)
    here.users(f"{WAY4.client}\talice\n")
    here.open(lab)
    broken = rf"UDPS-751-E Users in {here.path} not taken: line 2: 1 fields; .*; 1 old entries kept"
    here.change(f"{WAY4.client}\tbob\n{WAY4.client} bob\n", broken)
    with WAY4.server_socket(lab, PORT) as server, WAY4.client_socket(lab, PORT) as client:
        client.send(b"still alice")
        assert server.recv(100) == b"still alice"
        assert here.searches(port_of(client), 1) == ["NO USER=alice NAME=STAFF ACCEPTED"]
    here.change(f"{WAY4.client}\teve\n")
    with WAY4.client_socket(lab, PORT) as client:
        client.send(b"eve")
        assert here.searches(port_of(client), 1) == ["NO USER=eve NAME=OTHERS REJECTED"]


@pytest.mark.parametrize(
    ("mode", "rule"), [("long", "OTHERS REJECTED"), ("short", "STAFF ACCEPTED")], ids=["long", "short"]
)
@requires_namespaces
def test_short_names_are_compared_without_domain_and_realm(
    lab: Lab, office: Callable[[Way], Office], mode: str, rule: str
) -> None:
    here = office(WAY4)
    here.users(f"{WAY4.client}\tDOM\\alice@realm\n")
    here.open(lab, proxy=f"user-match {mode};")
    with WAY4.client_socket(lab, PORT) as client:
        client.send(b"x")
        (said,) = here.searches(port_of(client), 1)
        assert said.endswith(f"NAME={rule}")


@requires_namespaces
def test_a_replaced_worker_knows_the_users_of_now(lab: Lab, office: Callable[[Way], Office]) -> None:
    here = office(WAY4)
    here.users("")
    here.open(lab, workers=1)
    here.change(f"{FRONT.address4(2)}\talice\n")
    start = len(here.proxy.log.lines)
    os.kill(here.proxy.workers[0], 9)
    here.proxy.wait_for("UDPS-710-K Child worker 0 started", start)
    with WAY4.server_socket(lab, PORT) as server, WAY4.client_socket(lab, PORT) as client:
        client.send(b"x")
        assert server.recv(100) == b"x"
        assert here.searches(port_of(client), 1) == ["NO USER=alice NAME=STAFF ACCEPTED"]
