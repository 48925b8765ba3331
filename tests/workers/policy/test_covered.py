from __future__ import annotations

import pytest

from tests.workers.policy.host_lists import ANY, address, hosts, mask, net
from workers.contract.settings import AddressRange, HostItem, HostList, HostMember, HostName, HostPattern, MaskedAddress
from workers.policy.covered import MAX_MASKS, covered_negations

HOLES = mask("10.0.1.0", "255.0.255.0")
"""10.*.1.*"""


@pytest.mark.parametrize(
    ("covering", "negated"),
    [
        (ANY, net("1.1.1.1")),
        (ANY, HostPattern("a")),
        (ANY, hosts(HostName("a"), ("!", HostName("b")))),
        (net("10.0.0.0/8"), net("10.1.0.0/16")),
        (net("10.0.0.0/8"), net("::ffff:10.1.0.0/112")),
        (net("10.0.0.0/8"), hosts(net("10.1.0.0/16"), ("!", ANY))),
        (net("10.0.0.0/8"), HOLES),
        (hosts(("!", net("11.0.0.0/8")), net("10.0.0.0/7")), net("10.1.0.0/16")),
        (hosts(HostName("b"), HostName("a")), HostName("a")),
        (hosts(HOLES, net("11.0.0.0/8")), net("10.3.1.0/24")),
        (HostName("a"), HostName("a")),
        (HOLES, HOLES),
        (HOLES, mask("10.0.1.1", "255.0.255.255")),
        (HOLES, net("10.9.1.0/24")),
        (HOLES, net("10.9.1.7")),
    ],
)
def test_a_negation_after_what_covers_it_is_found(covering: HostItem, negated: HostItem):
    listed = hosts(net("1.2.3.4"), covering, ("!", negated))
    assert covered_negations(listed) == ((HostMember(covering), HostMember(negated, negated=True)),)


@pytest.mark.parametrize(
    ("earlier", "negated"),
    [
        (net("10.0.0.0/8"), net("10.0.0.0/7")),
        (net("10.0.0.0/8"), ANY),
        (net("10.0.0.0/8"), net("2001:db8::/32")),
        (net("10.0.0.0/8"), HostName("a")),
        (net("10.1.0.0/16"), HOLES),
        (hosts(("!", net("10.1.0.0/16")), net("10.0.0.0/8")), net("10.1.1.0/24")),
        (hosts(("!", HostName("b")), HostName("a")), HostName("a")),
        (hosts(HostName("b")), HostName("a")),
        (HostName("a"), HostPattern("a")),
        (HostName("a"), hosts(HostName("a"), HostName("b"))),
        (HOLES, mask("10.0.2.0", "255.0.255.0")),
        (HOLES, mask("10.0.0.0", "255.0.0.0")),
        (HOLES, net("10.9.0.0/23")),
        (HOLES, net("10.9.2.0/24")),
        (HOLES, AddressRange(4, address("10.9.1.0").value, address("10.9.2.9").value)),
        (HOLES, net("2001:db8::/32")),
        (HOLES, HostName("a")),
    ],
)
def test_a_negation_that_has_an_effect_is_not_found(earlier: HostItem, negated: HostItem):
    assert covered_negations(hosts(earlier, ("!", negated))) == ()


def test_a_negation_before_what_covers_it_is_not_found():
    assert covered_negations(hosts(("!", net("1.1.1.1")), ANY)) == ()


def test_covered_negations_of_sublists_are_found():
    inner = hosts(ANY, ("!", net("1.1.1.1")))
    assert len(covered_negations(hosts(inner, ("!", inner)))) == 3


def test_ranges_that_meet_cover_together_only_within_one_member():
    halves = net("10.0.0.0/9"), net("10.128.0.0/9")
    whole = ("!", net("10.0.0.0/8"))
    assert len(covered_negations(hosts(hosts(*halves), whole))) == 1
    assert covered_negations(hosts(*halves, whole)) == ()


def test_a_wider_range_takes_the_place_of_those_in_it():
    networks = [net(f"10.{number}.0.0/16") for number in range(4)]
    negated = [("!", net(f"10.{number}.1.0/24")) for number in range(5)]
    assert len(covered_negations(hosts(*networks, net("10.0.0.0/14"), *negated))) == 4


def test_a_list_that_several_members_cover_is_found():
    listed = hosts(HostName("a"), net("10.0.0.0/8"), ("!", hosts(HostName("a"), net("10.1.1.1"))))
    assert [covering.item for covering, _ in covered_negations(listed)] == [HostName("a")]


def test_no_more_masks_than_some_are_tried():
    masks = [MaskedAddress(4, number << 8, 0xFF00FF00) for number in range(MAX_MASKS + 1)]
    members = [HostMember(item) for item in masks] + [HostMember(item, negated=True) for item in masks]
    assert len(covered_negations(HostList(tuple(members)))) == MAX_MASKS + 1
    narrower = [MaskedAddress(4, item.value, 0xFF00FFFF) for item in masks]
    members[len(masks) :] = [HostMember(item, negated=True) for item in narrower]
    assert len(covered_negations(HostList(tuple(members)))) == MAX_MASKS


@pytest.mark.parametrize("nested", [False, True])
def test_a_long_list_is_looked_through_in_a_moment(nested: bool):
    """Ten thousand members took more than six minutes once: comparing each with each exceeds the test's time."""
    networks = [AddressRange(4, number << 7, (number << 7) + 127) for number in range(20_000)]
    positive = [HostMember(item) for item in networks]
    negated = [HostMember(AddressRange(4, item.first + 1, item.last), negated=True) for item in networks]
    members = [HostMember(HostList(tuple(positive))), *negated] if nested else positive + negated
    assert len(covered_negations(HostList(tuple(members)))) == len(networks)
