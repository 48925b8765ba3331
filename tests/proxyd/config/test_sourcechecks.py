"""Source addresses, source ports, broadcasts: what does not go together is found, and what does is not."""

from __future__ import annotations

import pytest

from proxyd.config.sourcechecks import is_multicast
from tests.proxyd.config.samples import ACTIONS, acl, config, errors, warnings
from workers.contract.settings import Address

TRANSPARENT = "transparent [0.0.0.0] port 5300;"
FORCED = "source-address client; source-port force 5300;"
BROADCAST = "accept; timeout both 5; session-type broadcast;"


@pytest.mark.parametrize("address", ["", "source-address addr4 [127.0.0.1];", "source-address physical;"])
def test_a_source_port_without_the_clients_address_is_refused(address: str) -> None:
    (found,) = errors(acl(f"{ACTIONS} {address} source-port force 5300;", listen=TRANSPARENT))
    assert "found 'source-port'; wanted 'source-address client' with it" in found


@pytest.mark.parametrize(("proxy", "rule"), [("source-address client;", ""), ("", "source-address client;")])
def test_the_clients_address_may_be_wanted_by_the_proxy_or_the_rule(proxy: str, rule: str) -> None:
    assert errors(acl(f"{ACTIONS} {rule} source-port force 5300;", proxy=proxy, listen=TRANSPARENT)) == []


def test_a_rules_own_source_address_takes_the_clients_away() -> None:
    body = f"{ACTIONS} source-address physical; source-port force 5300;"
    assert len(errors(acl(body, proxy="source-address client;", listen=TRANSPARENT))) == 1


def test_a_forced_port_that_no_listener_covers_is_refused() -> None:
    body = f"{ACTIONS} source-address client; source-port force 5301;"
    (found,) = errors(acl(body, listen=TRANSPARENT))
    assert "found 'source-port force 5301'; wanted a 'listen-on' item that covers this port" in found
    assert errors(acl(body, listen="transparent [0.0.0.0] port 5299 to 5302;")) == []


def test_a_forced_port_that_only_an_ordinary_listener_covers_is_warned_of() -> None:
    (found,) = [text for text in warnings(acl(f"{ACTIONS} {FORCED}")) if "covers port" in text]
    assert found.startswith("no 'transparent' listener covers port 5300; replies are sent to clients' addresses")
    assert not [text for text in warnings(acl(f"{ACTIONS} {FORCED}", listen=TRANSPARENT)) if "covers" in text]


def test_the_clients_own_port_cannot_be_checked_and_says_so() -> None:
    found = warnings(acl(f"{ACTIONS} source-address client; source-port client;", listen=TRANSPARENT))
    assert [text for text in found if "every port that clients use; this cannot be checked" in text]


@pytest.mark.parametrize(
    ("listen", "heard"),
    [
        ("non-transparent [0.0.0.0] port 5;", True),
        ("transparent [127.0.0.1] port 5;", True),
        ("non-transparent [127.0.0.1] port 5;", False),
        ("non-transparent [::] port 5;", False),
        ("transparent [::] port 5;", False),
    ],
)
def test_broadcasts_need_a_listener_that_hears_them(listen: str, heard: bool) -> None:
    found = errors(acl(BROADCAST, listen=listen))
    assert (found == []) is heard
    assert heard or "wanted a listener on [0.0.0.0] or a transparent one" in found[0]


@pytest.mark.parametrize(
    ("listen", "twice"),
    [
        ("non-transparent [0.0.0.0] port 5; transparent [127.0.0.1] port 5;", True),
        ("non-transparent [0.0.0.0] port 5; transparent [127.0.0.1] port 6;", False),
        ("non-transparent [0.0.0.0] port 5; transparent [::1] port 5;", False),
        ("non-transparent [0.0.0.0] port 5; transparent [0.0.0.0] port 5; transparent [127.0.0.1] port 5;", False),
    ],
)
def test_broadcasts_that_two_sockets_would_hear_are_warned_of(listen: str, twice: bool) -> None:
    found = warnings(acl(BROADCAST, listen=listen))
    assert bool([text for text in found if "'transparent [0.0.0.0]' alone would hear them once" in text]) is twice


def test_broadcasts_cannot_go_to_an_ipv6_address() -> None:
    (found,) = errors(acl(f"{BROADCAST} plug-to [ff02::1] : 5;", listen=TRANSPARENT))
    assert "wanted an IPv4 address" in found
    assert errors(acl(f"{BROADCAST} plug-to [192.0.2.255] : 5;", listen=TRANSPARENT)) == []


@pytest.mark.parametrize("kind", ["one-way", "normal", "any-port", "any-sock"])
def test_a_broadcast_address_as_the_target_of_another_kind_is_warned_of(kind: str) -> None:
    found = warnings(acl(f"accept; plug-to [255.255.255.255] : 5; session-type {kind}; timeout out 5;"))
    (text,) = [text for text in found if "255.255.255.255" in text]
    assert "only 'session-type broadcast' may send to a broadcast address" in text


@pytest.mark.parametrize("target", ["[239.1.2.3]", "[ff02::1]"])
@pytest.mark.parametrize(("kind", "warned"), [("normal", True), ("any-port", True), ("any-sock", False)])
def test_a_group_as_the_target_of_a_kind_that_waits_for_its_answers_is_warned_of(
    target: str, kind: str, warned: bool
) -> None:
    found = warnings(acl(f"accept; plug-to {target} : 5; session-type {kind}; timeout both 5;"))
    assert bool([text for text in found if "no answer ever comes from a multicast address" in text]) is warned


def test_hosts_beside_the_groups_are_hosts() -> None:
    edges = {0xDFFF_FFFF: False, 0xE000_0000: True, 0xEFFF_FFFF: True, 0xF000_0000: False}
    assert {value: is_multicast(Address(4, value)) for value in edges} == edges
    assert [is_multicast(Address(6, first << 112)) for first in (0xFEFF, 0xFF00, 0xFFFF)] == [False, True, True]


@pytest.mark.parametrize("part", ["addr4 [192.0.2.1]", "addr6 [2001:db8::1]"])
@pytest.mark.parametrize("place", ["proxy", "rule"])
def test_a_source_address_that_this_machine_has_not_is_warned_of(part: str, place: str) -> None:
    item = f"source-address {part} physical;"
    text = config(proxy=item) if place == "proxy" else acl(f"{ACTIONS} {item}")
    (found,) = [entry for entry in warnings(text) if "this machine has no address" in entry]
    assert found.endswith("; sessions would fail here")


def test_a_source_address_of_this_machine_is_not_warned_of() -> None:
    text = config(proxy="source-address addr4 [127.0.0.1] addr6 [::1] physical;")
    assert not [entry for entry in warnings(text) if "this machine has no" in entry]


@pytest.mark.parametrize(
    ("item", "warned"),
    [
        ("source-address no-fallback;", True),
        ("source-address client no-fallback;", False),
        ("source-address addr4 [127.0.0.1] no-fallback;", False),
        ("source-address physical;", False),
    ],
)
def test_no_fallback_from_nothing_is_warned_of(item: str, warned: bool) -> None:
    for text in (config(proxy=item), acl(f"{ACTIONS} {item}")):
        assert bool([entry for entry in warnings(text) if "every session would be rejected" in entry]) is warned
