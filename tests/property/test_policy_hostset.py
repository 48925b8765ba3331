"""A compiled host list against the reading that the manual gives: go through the members in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.examples import examples
from workers.contract.settings import (
    Address,
    AddressRange,
    AnyHost,
    HostItem,
    HostList,
    HostMember,
    HostName,
    MaskedAddress,
)
from workers.policy.covered import covered_negations
from workers.policy.hostset import Peer, compile_hosts

LAST = {4: 2**32 - 1, 6: 2**128 - 1}
NAMES = ("a", "b.example")
SMALL = st.integers(0, 20)
"""Few numbers, so that ranges meet, touch and contain each other."""
VERSIONS = st.sampled_from((4, 6))
values = st.one_of(SMALL, SMALL.map(lambda number: LAST[4] - number))
addresses = st.builds(Address, VERSIONS, values)
peers = st.builds(Peer, st.none() | addresses, st.none() | st.sampled_from((*NAMES, "B.Example.", "c")))
books = st.dictionaries(st.sampled_from(NAMES), st.frozensets(addresses, max_size=4))
ranges = st.builds(
    lambda version, ends: AddressRange(version, min(ends), max(ends)), VERSIONS, st.tuples(values, values)
)
masks = st.builds(lambda version, value, mask: MaskedAddress(version, value & mask, mask), VERSIONS, values, SMALL)
plain = st.one_of(st.just(AnyHost()), ranges)
every = st.one_of(plain, masks, st.sampled_from(NAMES).map(HostName))


def lists(leaves: st.SearchStrategy[HostItem]) -> st.SearchStrategy[HostList]:
    def around(items: st.SearchStrategy[HostItem]) -> st.SearchStrategy[HostList]:
        members = st.lists(st.builds(HostMember, items, st.booleans()), max_size=5)
        return members.map(lambda found: HostList(tuple(found)))

    return around(st.recursive(leaves, around, max_leaves=8))


def fits(item: HostItem, peer: Peer, names) -> bool:
    match item:
        case AnyHost():
            return True
        case AddressRange(version, first, last):
            return peer.address is not None and peer.address[0] == version and first <= peer.address[1] <= last
        case MaskedAddress(version, value, mask):
            return peer.address is not None and peer.address[0] == version and peer.address[1] & mask == value
        case HostName(name):
            return (peer.name or "").lower().rstrip(".") == name or peer.address in names.get(name, ())
    raise AssertionError(item)


def said(hosts: HostList, peer: Peer, names) -> str:
    for member in hosts.members:
        if isinstance(member.item, HostList):
            verdict = said(member.item, peer, names)
        else:
            verdict = "in" if fits(member.item, peer, names) else "undecided"
        if not member.negated and verdict != "undecided":
            return verdict
        if member.negated and verdict == "in":
            return "out"
    return "undecided"


@examples(100)
@given(lists(every), st.lists(peers, min_size=1, max_size=6), books)
def test_a_compiled_list_agrees_with_the_ordered_reading(hosts: HostList, asked: list[Peer], names):
    compiled = compile_hosts(hosts)
    for peer in asked:
        assert compiled.contains(peer, names) is (said(hosts, peer, names) == "in")


def edges(hosts: HostList, version: int) -> Iterator[int]:
    """Yield the first and the last address of each range in a list, and in the lists in it."""
    for member in hosts.members:
        item = member.item
        if isinstance(item, HostList):
            yield from edges(item, version)
        elif isinstance(item, AddressRange) and item.version == version:
            yield from (item.first, item.last)


@examples(50)
@given(lists(plain))
def test_a_plain_list_agrees_with_the_ordered_reading_at_every_edge(hosts: HostList):
    compiled = compile_hosts(hosts)
    for version, last in LAST.items():
        near = {0, last} | {edge + off for edge in edges(hosts, version) for off in (-1, 0, 1)}
        for value in near:
            if 0 <= value <= last:
                peer = Peer(Address(version, value))
                assert compiled.contains(peer, {}) is (said(hosts, peer, {}) == "in")


@examples(50)
@given(lists(every), st.lists(peers, min_size=1, max_size=6), books)
def test_a_mapped_peer_counts_as_its_ipv4_address(hosts: HostList, asked: list[Peer], names):
    compiled = compile_hosts(hosts)
    for peer in asked:
        if peer.address is not None and peer.address.version == 4:
            mapped = Peer(Address(6, 0xFFFF << 32 | peer.address.value), peer.name)
            assert compiled.contains(mapped, names) is compiled.contains(peer, names)


@examples(100)
@given(lists(every), st.lists(peers, min_size=1, max_size=6), books)
def test_a_covered_negation_never_changes_the_list(hosts: HostList, asked: list[Peer], names):
    useless = {id(negated) for _, negated in covered_negations(hosts)}
    kept = HostList(tuple(member for member in hosts.members if id(member) not in useless))
    for peer in asked:
        assert compile_hosts(kept).contains(peer, names) is compile_hosts(hosts).contains(peer, names)


@pytest.mark.parametrize("count", [20_000])
def test_a_long_list_is_compiled_and_searched(count: int):
    """Twenty thousand neighbours in one list: quadratic work in compiling would exceed the test's time."""
    members = tuple(HostMember(AddressRange(4, n * 4, n * 4 + 1), negated=n % 3 == 0) for n in range(count))
    compiled = compile_hosts(HostList((*members, HostMember(AddressRange(4, 0, LAST[4])))))
    for n in range(0, count, 997):
        assert compiled.contains(Peer(Address(4, n * 4)), {}) is (n % 3 != 0)
        assert compiled.contains(Peer(Address(4, n * 4 + 2)), {})
