"""The stranger plays every trick, and what it sends is drawn from chance alone."""

from __future__ import annotations

import pytest

from tests.kit.uftp_hostile import FLOOD, Sight, Stranger
from tests.kit.uftp_world import World, raw
from workers.uftp import header, messages
from workers.uftp.announce import Announce
from workers.uftp.header import Function, Header
from workers.uftp.register import Register
from workers.uftp.timestamp import Timestamp

VICTIM = raw("10.99.1.2")
HEARD = Header(Function.REGISTER, 1, 0x77, 0).encode() + Register(Timestamp()).encode()
SIGHT = Sight([HEARD], [raw("10.99.1.1")], [0x77], 0x5555)


def sent(seed: int) -> list[tuple[bytes, bytes]]:
    world = World(seed)
    stranger = Stranger(world, world.chance)
    for _ in range(20):
        stranger.attack(SIGHT, [VICTIM])
    assert {to for _, _, _, to in world.sent} == {VICTIM}
    return [(source, payload) for _, source, payload, _ in world.sent]


def test_the_same_seed_gives_the_same_datagrams_from_many_addresses():
    assert sent(1) == sent(1) != sent(2)
    assert len({source for source, _ in sent(1)}) > 20


@pytest.mark.parametrize(("trick", "kind"), [("announcements", Announce), ("registrations", Register)])
def test_floods_are_of_real_messages(trick: str, kind: type):
    world = World(3)
    datagrams = getattr(Stranger(world, world.chance), trick)(SIGHT)
    found = [messages.decode(header.decode(datagram), datagram[16:]) for datagram in datagrams]
    assert sum(isinstance(message, kind) for message in found) == FLOOD


def test_a_stranger_who_has_seen_nothing_still_makes_noise():
    world = World(4)
    stranger = Stranger(world, world.chance)
    nothing = Sight([], [VICTIM], [], 0x5555)
    assert stranger.replays(nothing) == stranger.spoiled(nothing) == []
    assert len({datagram[8:12] for datagram in stranger.noise(nothing)}) > 20
