from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest

from tests.kit.ports import free_port
from tests.kit.requirement import requires_program
from tests.workers.resolver.name_server import prepared_for, settings_for
from workers.contract.messages import MAX_MESSAGE_BYTES, Names
from workers.contract.settings import Address, ResolverSettings
from workers.resolver.lookup import MAX_ADDRESSES, MAX_PARALLEL, Answer, Lookup, resolve_names
from workers.resolver.system import Prepared

requires_nsd = requires_program("nsd")


def addresses(*texts: str) -> frozenset[Address]:
    return frozenset(Address(ip_address(text).version, int(ip_address(text))) for text in texts)


def ask(prepared: Prepared, name: str) -> Answer:
    async def look_up() -> Answer:
        return await Lookup(prepared).look_up(name)

    return asyncio.run(look_up())


def ask_at(port: int, name: str, search: tuple[str, ...] = ()) -> Answer:
    return ask(prepared_for(settings_for(port, search=search)), name)


@requires_nsd
def test_a_name_has_its_addresses_of_both_versions_and_the_shorter_time(name_server):
    assert ask_at(name_server(), "www.example.test") == Answer(addresses("192.0.2.1", "2001:db8::1"), 20)


@requires_nsd
@pytest.mark.parametrize(
    ("name", "text", "ttl_s"),
    [("four.example.test", "192.0.2.4", 40), ("six.example.test", "2001:db8::6", 50)],
)
def test_one_version_is_enough(name_server, name: str, text: str, ttl_s: int):
    assert ask_at(name_server(), name) == Answer(addresses(text), ttl_s)


@requires_nsd
def test_an_alias_has_the_addresses_of_its_target_and_the_shortest_time_of_the_chain(name_server):
    assert ask_at(name_server(), "alias.example.test") == Answer(addresses("192.0.2.1", "2001:db8::1"), 10)


@requires_nsd
def test_a_mapped_address_counts_as_ipv4(name_server):
    assert ask_at(name_server(), "mapped.example.test").addresses == addresses("192.0.2.7")


@requires_nsd
@pytest.mark.parametrize(("count", "believed"), [(100, 100), (MAX_ADDRESSES + 50, MAX_ADDRESSES)])
def test_many_addresses_come_over_tcp_and_are_bounded(name_server, count: int, believed: int):
    port = name_server(*(f"many A 198.51.{number // 250}.{number % 250}" for number in range(count)))
    assert len(ask_at(port, "many.example.test").addresses) == believed


def test_as_many_addresses_as_are_taken_of_both_versions_fit_one_message():
    pairs = [(version, bytes(size)) for version, size in ((4, 4), (6, 16)) for _ in range(MAX_ADDRESSES)]
    assert len(msgspec.msgpack.encode(Names({"x" * 255: pairs}, True, True))) <= MAX_MESSAGE_BYTES


@requires_nsd
def test_a_missing_name_is_a_reason_and_no_exception(name_server):
    assert ask_at(name_server(), "none.example.test") == Answer(frozenset(), reason="there is no such name")


@requires_nsd
@pytest.mark.parametrize("name", ["text.example.test", "far.example.test"])
def test_a_name_without_addresses_is_a_reason(name_server, name: str):
    assert ask_at(name_server(), name) == Answer(frozenset(), reason="it has no addresses")


@requires_nsd
def test_a_server_that_refuses_is_a_reason(name_server):
    refused = ask_at(name_server(), "www.example.org")
    assert refused == Answer(frozenset(), reason="no server has a usable answer", unanswered=frozenset({4, 6}))


@pytest.mark.parametrize("name", ["a..b", "a" * 64 + ".test", "ä" * 70])
def test_what_is_no_name_is_a_reason(name: str):
    assert ask_at(free_port(), name).reason == "it cannot be asked for"


def test_a_server_that_is_down_is_a_reason_within_the_time():
    prepared = prepared_for(settings_for(free_port(), timeout_s=0.3))
    assert ask(prepared, "www.example.test") == Answer(
        frozenset(), reason="no answer in time", unanswered=frozenset({4, 6})
    )


@requires_nsd
def test_a_second_server_answers_for_the_first(name_server):
    settings = settings_for(name_server())
    both = ResolverSettings((*settings_for(free_port()).servers, *settings.servers), (), 10_000_000_000)
    assert ask(prepared_for(both), "four.example.test").addresses == addresses("192.0.2.4")


@requires_nsd
def test_a_short_name_is_looked_for_in_the_search_list(name_server):
    port = name_server()
    assert ask_at(port, "four", ("none.test..", "sub.example.test", "example.test")).addresses == addresses("192.0.2.4")
    assert ask_at(port, "deep", ("example.test", "sub.example.test")).addresses == addresses("192.0.2.9")
    assert not ask_at(port, "four").addresses


@requires_nsd
def test_a_name_with_fewer_dots_than_ndots_is_first_looked_for_in_the_search_list(name_server):
    prepared = prepared_for(settings_for(name_server("four.example.test A 192.0.2.99"), search=("example.test",)))
    assert ask(prepared, "four.example.test").addresses == addresses("192.0.2.4")
    assert ask(replace(prepared, ndots=3), "four.example.test").addresses == addresses("192.0.2.99")


@requires_nsd
def test_the_hosts_table_is_asked_before_the_servers(name_server, tmp_path: Path):
    hosts = tmp_path / "hosts"
    hosts.write_text("10.0.0.1 www.example.test\n")
    prepared = prepared_for(settings_for(name_server()), hosts)
    assert ask(prepared, "www.example.test") == Answer(addresses("10.0.0.1"))
    assert ask(prepared, "four.example.test").addresses == addresses("192.0.2.4")


def test_of_a_long_hosts_table_as_many_addresses_are_taken_as_fit_one_message(tmp_path: Path):
    hosts = tmp_path / "hosts"
    hosts.write_text("".join(f"2001:db8::{number:x} www.example.test\n" for number in range(1, MAX_ADDRESSES + 50)))
    found = ask(prepared_for(settings_for(9), hosts), "www.example.test").addresses
    assert len(found) == MAX_ADDRESSES
    table = Names({"x" * 255: [(version, value.to_bytes(16)) for version, value in found]}, True, True)
    assert len(msgspec.msgpack.encode(table)) <= MAX_MESSAGE_BYTES


@requires_nsd
def test_more_names_than_are_asked_for_at_a_time_are_all_resolved(name_server):
    count = MAX_PARALLEL * 2 + 1
    port = name_server(*(f"host{number} A 198.51.{number // 250}.{number % 250}" for number in range(count)))
    names = [f"host{number}.example.test" for number in range(count)]
    found = resolve_names((*names, "none.example.test"), settings_for(port))
    assert found == {name: addresses(f"198.51.{number // 250}.{number % 250}") for number, name in enumerate(names)}


def test_no_names_need_no_server():
    assert resolve_names((), ResolverSettings()) == {}
