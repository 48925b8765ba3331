"""Names of addresses, from a real name server: confirmed, bounded, asked for once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.kit.place import Place
from tests.kit.ports import free_port
from tests.kit.process import ProcessError
from tests.kit.requirement import find_program, requires_program
from tests.workers.resolver.name_server import LOOPBACK, NOWHERE
from workers.contract.messages import Lookup
from workers.contract.settings import Address, ResolverSettings
from workers.resolver.reverse import (
    LONGEST_S,
    MAX_NAMES,
    MAX_PARALLEL,
    NOTHING,
    SHORTEST_S,
    UNASKED,
    Found,
    Reverse,
    answer_now,
    find_name,
)
from workers.resolver.system import prepare

CONF = """\
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  zonesdir: "{place}"
  pidfile: "{place}/pid"
  zonelistfile: "{place}/zonelist"
  xfrdir: "{place}"
  xfrdfile: ""
  database: ""
remote-control:
  control-enable: no
zone:
  name: example.test
  zonefile: forward
zone:
  name: 2.0.192.in-addr.arpa
  zonefile: reverse4
zone:
  name: 8.b.d.0.1.0.0.2.ip6.arpa
  zonefile: reverse6
"""
HEAD = "$TTL 300\n@ SOA ns.example.test. hostmaster 1 3600 600 86400 60\n@ NS ns.example.test.\n"
FORWARD = """\
ns A 127.0.0.1
WWW 400 A 192.0.2.1
short A 192.0.2.2
long 90000 A 192.0.2.3
liar A 192.0.2.99
six AAAA 2001:db8::6
good A 192.0.2.6
eight A 192.0.2.8
"""
REVERSE4 = f"""\
1 500 PTR WWW.example.test.
2 5 PTR short.example.test.
3 90000 PTR long.example.test.
4 PTR liar.example.test.
5 PTR gone.example.test.
6 PTR liar.example.test.
6 PTR good.example.test.
7 PTR .
8 CNAME 18
18 PTR eight.example.test.
{"".join(f"9 PTR a{number}.example.test.{chr(10)}" for number in range(MAX_NAMES))}9 PTR z.example.test.
"""
REVERSE6 = "6.0.0.0" + ".0" * 20 + " PTR six.example.test.\n"

requires_nsd = requires_program("nsd")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ResolverSettings]:
    """A name server with names and reverse zones; the settings that ask it."""
    folder, port, here = tmp_path_factory.mktemp("nsd"), free_port(), Place()
    program = find_program("nsd")
    if program is None:
        raise ProcessError("there is no nsd")
    (folder / "forward").write_text(HEAD + FORWARD + "z A 192.0.2.9\n")
    (folder / "reverse4").write_text(HEAD + REVERSE4)
    (folder / "reverse6").write_text(HEAD + REVERSE6)
    conf = folder / "nsd.conf"
    conf.write_text(CONF.format(port=port, place=folder))
    here.popen([program, "-d", "-c", conf]).wait_for("nsd started")
    yield ResolverSettings(((LOOPBACK, port),), initial_timeout_ns=10**10)
    here.close()


def address(text: str) -> Address:
    return Address(ip_address(text).version, int(ip_address(text)))


def ask(settings: ResolverSettings, *texts: str, hosts: Path = NOWHERE) -> list[Found]:
    async def look_up() -> list[Found]:
        reverse = Reverse(prepare(settings, NOWHERE, hosts))
        return await asyncio.gather(*(reverse.look_up(address(text)) for text in texts))

    return asyncio.run(look_up())


@requires_nsd
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.1", Found("www.example.test", 400)),
        ("::ffff:192.0.2.1", Found("www.example.test", 400)),
        ("192.0.2.2", Found("short.example.test", SHORTEST_S)),
        ("192.0.2.3", Found("long.example.test", LONGEST_S)),
        ("192.0.2.6", Found("good.example.test", 300)),
        ("2001:db8::6", Found("six.example.test", 300)),
        ("192.0.2.8", Found("eight.example.test", 300)),
    ],
)
def test_a_confirmed_name_is_found_with_its_time(server: ResolverSettings, text: str, found: Found) -> None:
    assert ask(server, text) == [found]


@requires_nsd
@pytest.mark.parametrize(
    "text",
    ["192.0.2.4", "192.0.2.5", "192.0.2.7", "192.0.2.9", "192.0.2.77", "198.51.100.1", "2001:db8::7"],
    ids=["denied", "without-address", "root", "ninth-name", "no-record", "refused", "no-record-6"],
)
def test_what_is_not_confirmed_is_no_name(server: ResolverSettings, text: str) -> None:
    assert ask(server, text) == [NOTHING]


@requires_nsd
def test_the_hosts_table_comes_first(server: ResolverSettings, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 Table.Test other.test\n")
    assert ask(server, "192.0.2.1", hosts=hosts) == [Found("table.test", SHORTEST_S)]


def test_a_silent_server_means_no_name_within_the_time() -> None:
    settings = ResolverSettings(((LOOPBACK, free_port()),), initial_timeout_ns=50_000_000)
    assert ask(settings, "192.0.2.1", "2001:db8::6") == [NOTHING, NOTHING]


@requires_nsd
@pytest.mark.parametrize(
    ("first", "name"), [("192.0.2.1", "www.example.test"), ("192.0.2.200", None)], ids=["a name", "no name"]
)
def test_a_server_that_is_silent_leaves_time_for_the_next_and_is_asked_last_from_then_on(
    server: ResolverSettings, first: str, name: str | None
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        servers = ((LOOPBACK, silent.getsockname()[1]), *server.servers)
        reverse = Reverse(prepare(replace(server, servers=servers, initial_timeout_ns=4 * 10**9), NOWHERE, NOWHERE))

        async def look_up() -> list[str | None]:
            return [(await reverse.look_up(address(text))).name for text in (first, "192.0.2.2")]

        assert asyncio.run(look_up()) == [name, "short.example.test"]
        silent.setblocking(False)
        assert silent.recv(512)
        with pytest.raises(BlockingIOError):
            silent.recv(512)


def test_what_there_was_no_room_to_ask_for_is_told_apart_from_what_has_no_name() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        settings = ResolverSettings(((LOOPBACK, silent.getsockname()[1]),), initial_timeout_ns=3 * 10**9)
        found = ask(settings, *(f"192.0.2.{number}" for number in range(MAX_PARALLEL + 9)))
    assert found == [NOTHING] * MAX_PARALLEL + [UNASKED] * 9


def test_an_address_that_many_want_is_asked_for_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        settings = ResolverSettings(((LOOPBACK, silent.getsockname()[1]),), initial_timeout_ns=200_000_000)
        assert ask(settings, *["192.0.2.1"] * 50) == [NOTHING] * 50
        silent.setblocking(False)
        assert silent.recv(512)
        with pytest.raises(BlockingIOError):
            silent.recv(512)


@requires_nsd
def test_more_addresses_than_are_asked_for_at_a_time_all_get_their_names(server: ResolverSettings) -> None:
    texts = [f"192.0.2.{number % 3 + 1}" if number % 2 else f"192.0.2.{100 + number % 100}" for number in range(300)]
    names = {"192.0.2.1": "www.example.test", "192.0.2.2": "short.example.test", "192.0.2.3": "long.example.test"}
    assert [found.name for found in ask(server, *texts)] == [names.get(text) for text in texts]


@requires_nsd
@pytest.mark.parametrize(("text", "name"), [("192.0.2.1", "www.example.test"), ("192.0.2.4", None)])
def test_one_name_can_be_waited_for(server: ResolverSettings, text: str, name: str | None) -> None:
    assert find_name(address(text), server) == name
    version, value = address(text)
    answer = answer_now(Lookup(7, version, value.to_bytes(4)), prepare(server, NOWHERE, NOWHERE))
    assert (answer.worker, answer.value, answer.name) == (7, value.to_bytes(4), name)
