from __future__ import annotations

import pytest

from tests.workers.policy.host_lists import ANY, address, hosts, mask, net
from workers.contract.settings import (
    AddressRange,
    HostList,
    HostName,
    HostPattern,
)
from workers.policy.hostset import Peer, compile_hosts, normal_address
from workers.policy.pattern import PatternError


def contains(listed: HostList, host: str | Peer, names=None) -> bool:
    peer = host if isinstance(host, Peer) else Peer(address(host))
    return compile_hosts(listed).contains(peer, names or {})


def test_the_empty_list_contains_nobody():
    assert not contains(hosts(), "10.0.0.1")


@pytest.mark.parametrize(("host", "inside"), [("192.168.3.2", True), ("192.168.3.3", False), ("192.168.3.8", False)])
def test_all_but_a_range(host: str, inside: bool):
    six = AddressRange(4, address("192.168.3.3").value, address("192.168.3.8").value)
    assert contains(hosts(("!", six), ANY), host) is inside


@pytest.mark.parametrize(("host", "inside"), [("10.1.1.1", False), ("10.1.1.2", True), ("11.0.0.0", False)])
def test_a_network_without_one_host(host: str, inside: bool):
    assert contains(hosts(("!", net("10.1.1.1")), net("10.0.0.0/8")), host) is inside


@pytest.mark.parametrize(
    ("host", "inside"), [("10.1.1.1", True), ("10.1.1.2", False), ("11.0.0.1", True), ("2001:db8::1", True)]
)
def test_a_negated_sublist_says_nothing_on_what_it_excludes(host: str, inside: bool):
    inner = hosts(("!", net("10.1.1.1")), net("10.0.0.0/8"))
    assert contains(hosts(("!", inner), ANY), host) is inside


def test_a_sublist_that_excludes_decides_for_the_list_around_it():
    inner = hosts(("!", net("10.1.1.1")), net("10.0.0.0/8"))
    assert not contains(hosts(inner, ANY), "10.1.1.1")
    assert contains(hosts(inner, ANY), "11.1.1.1")


def test_the_order_decides():
    assert contains(hosts(ANY, ("!", net("1.1.1.1"))), "1.1.1.1")
    assert not contains(hosts(("!", net("1.1.1.1")), ANY), "1.1.1.1")


def test_versions_never_match_each_other():
    assert not contains(hosts(net("0.0.0.0/0")), "::1")
    assert not contains(hosts(net("::/0")), "0.0.0.1")
    assert not contains(hosts(mask("10.0.1.0", "255.0.255.0")), "::a00:100")


@pytest.mark.parametrize("host", ["10.9.1.7", "::ffff:10.9.1.7"])
def test_a_mask_with_holes_looks_at_its_bits_only(host: str):
    assert contains(hosts(mask("10.0.1.0", "255.0.255.0")), host)
    assert not contains(hosts(mask("10.0.2.0", "255.0.255.0")), host)
    assert not contains(hosts(("!", mask("10.0.1.0", "255.0.255.0")), ANY), host)


def test_mapped_addresses_count_as_ipv4_in_peers_and_members():
    assert contains(hosts(net("10.0.0.0/8")), "::ffff:10.0.0.1")
    assert not contains(hosts(net("::/0")), "::ffff:10.0.0.1")
    assert contains(hosts(net("::ffff:10.0.0.0/104")), "10.0.0.1")
    beyond = AddressRange(6, address("::ffff:0.0.0.0").value, address("::1:0:0:9").value)
    assert contains(hosts(beyond), "::1:0:0:9")
    assert not contains(hosts(beyond), "10.0.0.1")
    every = "ffff:ffff:ffff:ffff:ffff:ffff"
    assert contains(hosts(mask("::ffff:10.0.1.0", f"{every}:ff00:ff00")), "10.7.1.7")
    assert not contains(hosts(mask("::fffe:10.0.1.0", f"{every}:ff00:ff00")), "10.7.1.7")
    assert contains(hosts(mask("::fffe:10.0.1.0", f"{every}:ff00:ff00")), "::fffe:10.7.1.7")
    assert normal_address(address("::ffff:1.2.3.4")) == address("1.2.3.4")
    assert normal_address(address("::fffe:1.2.3.4")) == address("::fffe:1.2.3.4")


def test_a_name_matches_itself_and_its_current_addresses():
    listed, book = hosts(HostName("www.tns.cz")), {"www.tns.cz": frozenset({address("10.0.0.1")})}
    assert contains(listed, "10.0.0.1", book)
    assert not contains(listed, "10.0.0.2", book)
    assert not contains(listed, "10.0.0.1")
    assert contains(listed, Peer(None, "WWW.tns.cz."))
    assert contains(listed, Peer(address("10.0.0.9"), "www.tns.cz"))
    assert not contains(listed, Peer(None, "tns.cz"))
    assert not contains(listed, Peer(None), book)


def test_a_pattern_matches_the_peers_name_only():
    listed = hosts(HostPattern(r"^www\..*\.cz$"))
    assert contains(listed, Peer(address("10.0.0.1"), "WWW.tns.cz."))
    assert not contains(listed, Peer(None, "ftp.tns.cz"))
    assert not contains(listed, "10.0.0.1")


def test_a_pattern_never_sees_a_name_longer_than_names_are():
    listed = hosts(HostPattern("a"))
    assert contains(listed, Peer(None, "a" * 253))
    assert not contains(listed, Peer(None, "a" * 254))


def test_a_host_without_an_address_is_decided_by_the_members_that_fit_all():
    nameless = Peer(None, "x")
    assert contains(hosts(net("0.0.0.0/0"), ANY), nameless)
    assert not contains(hosts(net("0.0.0.0/0")), nameless)
    assert not contains(hosts(("!", ANY), ANY), nameless)
    assert not contains(hosts(hosts(("!", ANY)), HostName("x")), nameless)
    assert contains(hosts(("!", hosts(("!", ANY))), HostName("x")), nameless)


def test_members_between_names_keep_their_place():
    listed = hosts(net("10.0.0.0/8"), ("!", HostName("bad")), net("11.0.0.0/8"), hosts(HostName("good")))
    assert contains(listed, Peer(address("10.0.0.1"), "bad"))
    assert not contains(listed, Peer(address("11.0.0.1"), "bad"))
    assert contains(listed, Peer(address("12.0.0.1"), "good"))
    assert not contains(listed, Peer(address("12.0.0.1"), "else"))


def test_a_compiled_list_tells_what_it_needs():
    plain = compile_hosts(hosts(("!", net("10.0.0.1")), hosts(ANY)))
    assert (plain.needs_names, plain.patterns, plain.names) == (False, False, frozenset())
    named = compile_hosts(hosts(hosts(HostName("a")), HostName("b")))
    assert (named.needs_names, named.patterns, named.names) == (True, False, {"a", "b"})
    pattern = compile_hosts(hosts(HostPattern("a")))
    assert (pattern.needs_names, pattern.patterns) == (True, True)
    assert not compile_hosts(hosts(mask("10.0.1.0", "255.0.255.0"))).needs_names


def test_a_broken_pattern_is_refused_when_compiled():
    with pytest.raises(PatternError):
        compile_hosts(hosts(HostPattern("(a")))
