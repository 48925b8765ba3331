"""Two days of a site with three proxies: transfers, loss, duplicates, reordering, restarts, deaths and strangers.

Whatever happens, nothing but counted drops comes of it; and when everybody is silent no proxy has anything left: no
group, no client, no message that waits, no membership, and no table that has grown. Then it serves as on the first day.
A seed takes some seconds: two by default, 300 with HYPOTHESIS_PROFILE=night; UFTP_SEEDS=FIRST:COUNT for others.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.kit.retained import retained
from tests.kit.uftp_operation import (
    BELOW,
    CLIENTS_FACTOR,
    HOUR,
    MAX_CLIENTS,
    MAX_GROUPS,
    RESPONSE,
    Operation,
)
from tests.kit.uftp_world import PUBLIC, SECOND
from workers.contract.uftp import Fact
from workers.deadlines import NEVER
from workers.uftp import records
from workers.uftp.addresses import host_of
from workers.uftp.header import Function
from workers.uftp.machine import Machine

HOURS = 48
PATIENCE_HOURS = 3
"""A group waits for an hour at most once it is silent, and for a round trip of 1,000 s with what it has gathered."""
MOST_RETAINED = 20_000
"""Objects of an idle machine: 4,096 refusals of four objects are allowed for."""
OF_A_GROUP = ("Group", "GroupCrypto", "Client", "ClientLeg", "Clients", "Pending", "Slot", "Sealer")
HEARTBEATS = {Function.HB_REQ, Function.HB_RESP}


def seeds() -> range:
    usual = "0:300" if os.environ.get("HYPOTHESIS_PROFILE") == "night" else "0:1"
    first, _, count = os.environ.get("UFTP_SEEDS", usual).partition(":")
    return range(int(first), int(first) + int(count or 1))


def holds_nothing(machine: Machine) -> None:
    kinds = retained(machine)
    assert not {kind: kinds[kind] for kind in OF_A_GROUP if kinds[kind]}
    assert kinds.total() < MOST_RETAINED
    assert machine.facts[Fact.GROUPS] == machine.facts[Fact.CLIENTS] == 0


@pytest.mark.parametrize("seed", seeds())
def test_two_days_of_everything_leave_nothing_behind(seed: int) -> None:
    operation = Operation(seed)
    operation.run(HOURS)
    operation.calm()
    operation.rest(PATIENCE_HOURS)
    assert operation.world.now_ns > (HOURS + PATIENCE_HOURS) * HOUR
    assert operation.ended["done"] > operation.ended["given up"] > 0
    assert operation.most[Fact.GROUPS] <= MAX_GROUPS
    assert operation.most[Fact.CLIENTS] <= MAX_CLIENTS * CLIENTS_FACTOR

    before = Counter(operation.said)
    operation.rest(1)
    assert set(operation.said - before) == HEARTBEATS, "somebody still speaks of a group"
    assert sum(node.deaths for node in operation.proxies.values()) > 5
    for address, node in operation.proxies.items():
        holds_nothing(node.machine)
        assert not [family for family in node.keep.open().read() if records.group_of(family)]
        assert not +node.joined
        memberships = {group for group, members in operation.world.members.items() if address in members}
        assert memberships == (set() if address == BELOW else {host_of(PUBLIC)})
    assert operation.proxies[RESPONSE].machine.next_deadline_ns() == NEVER

    operation.ended.clear()
    for _ in range(3):
        operation.begin()
    operation.world.run(operation.world.now_ns + 30 * SECOND)
    assert operation.ended == {"done": 3}
