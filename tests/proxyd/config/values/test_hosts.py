from __future__ import annotations

import pytest

from proxyd.config.values import hosts
from proxyd.config.values.kind import UnfitError
from tests.proxyd.config.samples import element
from workers.contract.settings import (
    Address,
    AddressRange,
    AnyHost,
    HostItem,
    HostList,
    HostName,
    HostPattern,
    MaskedAddress,
    Sock,
)


def only(text: str) -> HostItem:
    (member,) = hosts.HOST_SET.parse(element(text)).members
    item: HostItem = member.item
    return item


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("*", AnyHost()),
        ("[192.0.2.1]", AddressRange(4, 0xC0000201, 0xC0000201)),
        ("[192.0.2.9/24]", AddressRange(4, 0xC0000200, 0xC00002FF)),
        ("[ 10.0.1.0/255.0.255.0 ]", MaskedAddress(4, 0x0A000100, 0xFF00FF00)),
        ("[10.0.1.0/0xFF00FF00]", MaskedAddress(4, 0x0A000100, 0xFF00FF00)),
        ("[10.0.0.0/255.0.0.0]", AddressRange(4, 0x0A000000, 0x0AFFFFFF)),
        ("[0.0.0.0/0]", AddressRange(4, 0, 2**32 - 1)),
        ("[192.0.2.1]-[192.0.2.7]", AddressRange(4, 0xC0000201, 0xC0000207)),
        ("[::1]", AddressRange(6, 1, 1)),
        ("[2001:db8::/32]", AddressRange(6, 0x20010DB8 << 96, (0x20010DB9 << 96) - 1)),
        ("[::ffff:192.0.2.1]", AddressRange(4, 0xC0000201, 0xC0000201)),
        ("[::ffff:192.0.2.0/120]", AddressRange(4, 0xC0000200, 0xC00002FF)),
        ("WWW.Example.com.", HostName("www.example.com")),
        (r"/^www\..*\/x$/", HostPattern(r"^www\..*/x$")),
    ],
)
def test_members_of_host_sets(text: str, item: HostItem) -> None:
    assert only(text) == item
    assert hosts.HOST_SET.parse(element(hosts.HOST_SET.show(HostList(hosts.HOST_SET.parse(element(text)).members))))


def test_lists_keep_their_order_their_signs_and_their_sublists() -> None:
    parsed = hosts.HOST_SET.parse(element("{ ! { ! [10.1.1.1], [10.0.0.0/8] }, host, * }"))
    assert [member.negated for member in parsed.members] == [True, False, False]
    assert hosts.show_hosts(parsed) == "{ ! { ! [10.1.1.1], [10.0.0.0/8] }, host, * }"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10.0.0.1", r"brackets around an address: \[10.0.0.1\]"),
        ("[10.0.0.256]", "wanted an address"),
        ("[10.0.0.0/33]", "prefix length from 0 to 32"),
        ("[::/129]", "prefix length from 0 to 128"),
        ("[10.0.0.0/::]", "prefix length"),
        ("[www.example.com]", "wanted an address"),
        ("[fe80::1%eth0]", "wanted an address"),
        ("[192.0.2.7]-[192.0.2.1]", "lower one first"),
        ("[192.0.2.7]-[::1]", "one IP version"),
        ("[192.0.2.0/24]-[192.0.3.0]", "two addresses"),
        ("/(/", "not closed"),
        ("//", "between the slashes"),
        ('"host"', "wanted addresses"),
        ("a..b", "a host name"),
        ("x" * 64, "a host name"),
    ],
)
def test_what_is_no_host_is_refused(text: str, wanted: str) -> None:
    with pytest.raises(UnfitError, match=wanted):
        hosts.HOST_SET.parse(element(text))


def test_every_bad_member_is_reported() -> None:
    with pytest.raises(UnfitError) as caught:
        hosts.HOST_SET.parse(element("{ 10.0.0.1, { [x], ok }, /(/ }"))
    assert len(caught.value.others) == 2


@pytest.mark.parametrize(
    ("text", "sock"),
    [
        ("[192.0.2.1] : 53", Sock(Address(4, 0xC0000201), 53)),
        ("ns.example.com:domain", Sock(HostName("ns.example.com"), 53)),
        ("[::1]", Sock(Address(6, 1), None)),
        ("[::1] : 0", Sock(Address(6, 1), None)),
    ],
)
def test_socks_have_a_host_and_perhaps_a_port(text: str, sock: Sock) -> None:
    assert hosts.SOCK.parse(element(text)) == sock
    assert hosts.SOCK.parse(element(hosts.show_sock(sock))) == sock


def test_addresses_of_the_other_version_are_refused() -> None:
    assert hosts.ADDRESS4.parse(element("[192.0.2.1]")) == 0xC0000201
    with pytest.raises(UnfitError, match="IPv4"):
        hosts.ADDRESS4.parse(element("[::1]"))
    with pytest.raises(UnfitError, match="IPv6"):
        hosts.ADDRESS6.parse(element("[192.0.2.1]"))


def test_interface_addresses_keep_their_host_part() -> None:
    prefix = hosts.PREFIX4.parse(element("[192.0.2.7/24]"))
    assert (prefix.address, prefix.length) == (Address(4, 0xC0000207), 24)
    assert hosts.PREFIX4.show(prefix) == "[192.0.2.7/24]"
    assert hosts.PREFIX4.parse(element("[192.0.2.7]")).length == 32


@pytest.mark.parametrize("text", ["[192.0.2.7/]", "[192.0.2.7/ ]", "[192.0.2.7/33]", "[2001:db8::1/24]", "host"])
def test_what_is_no_address_with_a_prefix_is_refused(text: str) -> None:
    with pytest.raises(UnfitError, match=r"wanted an IPv4 address"):
        hosts.PREFIX4.parse(element(text))


def test_a_sock_behind_a_bang_is_shown_with_it() -> None:
    with pytest.raises(UnfitError, match=r"found '!' before '\[192.0.2.1\]:53'"):
        hosts.SOCK.parse(element("! [192.0.2.1] : 53"))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[www.example.com]", "; a host name stands without brackets: www.example.com"),
        ("[192.0.2.1 - 192.0.2.7]", "; a range is [192.0.2.1]-[192.0.2.7]"),
        ("[192.0.2.1] : 53", "; in 'to' and 'server' a port stands behind them: port 53"),
        ("[192.0.2]", "wanted an address as [192.0.2.1] or [2001:db8::1]"),
    ],
)
def test_usual_slips_are_answered_with_what_was_meant(text: str, hint: str) -> None:
    with pytest.raises(UnfitError) as caught:
        hosts.HOST_SET.parse(element(text))
    assert caught.value.wanted.endswith(hint)
