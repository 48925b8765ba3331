"""Days of UFTP in seconds: transfers over a bad network, with strangers in it, one after the other, by seeds.

By default a handful of seeds; UFTP_SEEDS=n runs n of them, UFTP_HOURS=h lets each run for h hours of its own clock.
"""

from __future__ import annotations

import contextlib
import os
import random

import pytest

from tests.kit.uftp_client import Client
from tests.kit.uftp_scene import CLIENT_PROXY, SERVER, SERVER_PROXY, Scene, chain, make_cipher, make_ring, response
from tests.kit.uftp_server import Server
from tests.kit.uftp_world import MS, SECOND, Weather, raw
from workers.contract.uftp import Fact
from workers.deadlines import NEVER
from workers.uftp.actions import Arrival

SEEDS = int(os.environ.get("UFTP_SEEDS", "4"))
HOURS = float(os.environ.get("UFTP_HOURS", "1"))
HOUR = 3_600 * SECOND
SUITES = [None, None, (4, 3, 1, 1), (6, 3, 3, 3, True), (4, 3, 2, 3, True), (3, 2, 1, 2), (8, 5, 3, 1, True)]
STRANGER = raw("10.99.1.66")


def build(chance: random.Random, loss: float) -> Scene:
    """Return a scene of a random kind under random weather."""
    spec = chance.choice(SUITES)
    cipher = None if spec is None else make_cipher(*spec)
    weather = Weather(loss, chance.choice([0, 0.05]), (MS // 2, chance.choice([1, 5, 30]) * MS))
    server = {
        "data": chance.randbytes(chance.randrange(1, 4_000)),
        "grtt_s": chance.choice([0.01, 0.05, 0.2]),
        "robust": 20,
        "block_bytes": chance.choice([104, 200, 400]),
    }
    make, ecdh = chance.choice([(chain, False), (chain, False), (response, True)])
    ring = None if cipher is None else make_ring(cipher, ecdh)
    return make(chance.randrange(1, 6), chance.randrange(1 << 30), weather, cipher=cipher, ring=ring, server=server)


def is_clean(scene: Scene) -> bool:
    """Tell whether no machine remembers anything of a group: no client, no membership, nothing that is due."""
    return all(
        not node.machine.facts[Fact.GROUPS]
        and not node.machine.facts[Fact.CLIENTS]
        and node.machine.next_deadline_ns() == NEVER
        and not any(node.joined.values())
        for node in scene.proxies
    )


def next_transfer(scene: Scene, chance: random.Random) -> None:
    """Let the same stations begin another transfer: a restart of the old group, or a new one."""
    old = scene.server
    restart = chance.random() < 0.3
    scene.server = Server(
        scene.world,
        SERVER,
        old.uid,
        old.wanted,
        chance.randbytes(chance.randrange(1, 4_000)),
        old.group_id if restart else chance.randrange(1, 1 << 32),
        (old.instance + 1) % 256,
        old.block_bytes,
        old.grtt_s,
        cipher=old.cipher,
    )
    scene.world.stations[SERVER] = scene.server
    scene.server.wanted = frozenset(one.uid for one in scene.clients)
    scene.clients = [
        Client(scene.world, one.address, one.uid, one.key, one.behind, one.proxy_key, one.proxy_ecdh)
        for one in scene.clients
    ]
    scene.world.stations |= {client.address: client for client in scene.clients}
    scene.world.sent.clear()


class Sturdy:
    """A scripted peer that shrugs at what strangers make it hear: it is not what is tested."""

    def __init__(self, peer: Server | Client) -> None:
        self._peer = peer
        self.address = peer.address

    def receive(self, datagram: bytes, arrival: Arrival) -> None:
        """Take in a datagram, whatever comes of it."""
        with contextlib.suppress(Exception):
            self._peer.receive(datagram, arrival)


class Strangers:
    """Somebody who has heard everything, and sends it again, changed, from any address, until it stops."""

    def __init__(self, scene: Scene, chance: random.Random) -> None:
        self.scene = scene
        self.chance = chance
        self.active = True
        self._act()

    def _act(self) -> None:
        world, chance = self.scene.world, self.chance
        if not self.active:
            return
        for _ in range(chance.randrange(4)):
            if world.sent:
                payload = bytearray(chance.choice(world.sent[-200:])[2])
                for _ in range(chance.randrange(3) if payload else 0):
                    payload[chance.randrange(len(payload))] = chance.randrange(256)
                cut = chance.choice([len(payload)] * 3 + [chance.randrange(len(payload) + 1)])
                source = chance.choice([STRANGER, SERVER, SERVER_PROXY, self.scene.clients[0].address])
                to = chance.choice([SERVER_PROXY, CLIENT_PROXY, self.scene.below.address])
                world.send(source, bytes(payload[:cut]), to)
        world.after(chance.randrange(1, 40) * MS, self._act)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_transfers_over_a_bad_network_end_whole_and_leave_nothing_behind(seed: int) -> None:
    """Only a client that could not get a word through before the set-up deadline may be missing, and is told so."""
    chance = random.Random(seed)
    scene = build(chance, chance.choice([0, 0.05, 0.15]))
    until_ns = int(HOURS * HOUR)
    while True:
        wanted = scene.server.wanted
        ended = scene.run(300)
        late = {note.fields[0] for note in scene.below.said("uftp-not-registered")}
        assert ended or late, f"seed {seed}: transfer at {scene.world.now_ns / SECOND:.1f} s"
        assert scene.server.left | late >= wanted
        assert all(client.data == scene.server.data for client in scene.clients if client.uid not in late)
        scene.below.notes.clear()
        scene.settle(chance.choice([1, 30, 1_000]))
        if scene.world.now_ns >= until_ns:
            break
        next_transfer(scene, chance)
    scene.settle(4_000)
    assert is_clean(scene)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_strangers_leave_nothing_behind_either(seed: int) -> None:
    chance = random.Random(1_000 + seed)
    scene = build(chance, 0.05)
    for _ in range(max(int(10 * HOURS), 1)):
        scene.world.stations |= {peer.address: Sturdy(peer) for peer in (scene.server, *scene.clients)}
        strangers = Strangers(scene, chance)
        scene.run(20)
        strangers.active = False
        scene.settle(chance.choice([1, 30]))
        for node in scene.proxies:
            assert node.machine.facts[Fact.GROUPS] <= node.settings.max_groups
        next_transfer(scene, chance)
    scene.settle(4_000)
    assert is_clean(scene)


def test_a_group_carries_on_while_its_members_come_and_go() -> None:
    scene = chain(4, weather=Weather(0.05))
    late = scene.clients[3]
    late.mute = True
    scene.world.after(40 * MS, lambda: setattr(late, "mute", False))
    assert scene.run(60)
    assert late.data == scene.server.data
