"""The world of UFTP stations itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.kit.uftp_world import MS, PUBLIC, SECOND, Weather, World, raw
from workers.uftp.actions import Arrival

HERE, THERE, ABROAD = raw("10.0.0.1"), raw("10.0.0.2"), raw("10.9.0.1")


@dataclass
class Ear:
    world: World
    address: bytes
    heard: list[tuple[int, bytes, bytes]] = field(default_factory=list)

    def receive(self, datagram: bytes, arrival: Arrival) -> None:
        self.heard.append((self.world.now_ns, datagram, arrival.source))


def two(weather: Weather, seed: int = 1) -> tuple[World, Ear, Ear]:
    world = World(seed, weather)
    here, there = Ear(world, HERE), Ear(world, THERE)
    world.add(here, "A", groups=(PUBLIC,))
    world.add(there, "A", groups=(PUBLIC,))
    return world, here, there


def test_a_datagram_arrives_after_the_networks_delay() -> None:
    world, _, there = two(Weather())
    world.send(HERE, b"x", THERE)
    world.run(SECOND)
    assert there.heard == [(MS, b"x", HERE)]
    assert world.now_ns == SECOND


def test_multicast_reaches_members_on_the_same_lan_and_not_the_sender() -> None:
    world, here, there = two(Weather())
    abroad = Ear(world, ABROAD)
    world.add(abroad, "B", groups=(PUBLIC,))
    world.send(HERE, b"x", PUBLIC)
    world.run(SECOND)
    assert [len(ear.heard) for ear in (here, there, abroad)] == [0, 1, 0]


def test_loss_duplicates_and_delays_are_those_of_the_seed() -> None:
    def history(seed: int) -> list[tuple[int, bytes, bytes]]:
        world, _, there = two(Weather(0.3, 0.2, (MS, 50 * MS)), seed)
        for number in range(200):
            world.send(HERE, bytes((number,)), THERE)
        world.run(SECOND)
        return there.heard

    first = history(1)
    assert first == history(1) != history(2)
    assert 100 < len({payload for _, payload, _ in first}) < 180
    assert len(first) > len({payload for _, payload, _ in first})
    assert [payload for _, payload, _ in first] != sorted(payload for _, payload, _ in first)


def test_a_run_ends_when_it_is_done() -> None:
    world, _, there = two(Weather())
    world.send(HERE, b"x", THERE)
    assert world.run(SECOND, lambda: bool(there.heard))
    assert world.now_ns == MS
    assert not world.run(SECOND, lambda: False)
