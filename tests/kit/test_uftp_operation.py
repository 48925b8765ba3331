"""The site itself: in fair weather everything arrives, and the same seed gives the same days."""

from __future__ import annotations

from tests.kit.uftp_operation import BELOW, Operation
from tests.kit.uftp_world import SECOND
from workers.contract.uftp import Fact


def transfers(seed: int) -> Operation:
    """Return a site after a few fair transfers."""
    operation = Operation(seed)
    operation.calm()
    operation.world.run(SECOND)
    for _ in range(6):
        operation.begin()
    operation.world.run(30 * SECOND)
    return operation


def test_in_fair_weather_every_transfer_is_done():
    operation = transfers(3)
    assert operation.ended == {"done": 6}
    assert operation.most[Fact.GROUPS] == 0, "looked at every ten seconds, and over by then"


def test_those_who_took_part_are_gone_afterwards():
    operation = transfers(4)
    assert len(operation.world.stations) == len(operation.proxies)
    assert operation.running == []


def test_the_same_seed_gives_the_same_hours():
    first, second = Operation(5), Operation(5)
    for operation in (first, second):
        operation.run(6)
    assert first.said == second.said
    assert first.ended == second.ended
    assert first.said.total() > 1000


def test_a_proxy_started_anew_knows_nothing():
    operation = Operation(6)
    operation.calm()
    operation.world.run(SECOND)
    operation.begin()
    operation.world.run(operation.world.now_ns + SECOND // 5)
    assert operation.proxies[BELOW].machine.facts[Fact.GROUPS] == 1
    operation.start_proxy(BELOW)
    assert operation.proxies[BELOW].machine.facts[Fact.GROUPS] == 0
