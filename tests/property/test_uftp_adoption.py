"""Machines that die at any instant of a transfer, and go on as replacements with what they have written down.

No counter is ever used twice with one key, every file arrives, and nobody notices but by a delay.
"""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from tests.kit.uftp_scene import CLIENT_PROXY_UID, RESPONSE_PROXY_UID, Scene, chain, make_cipher, make_ring, response
from tests.kit.uftp_world import MS, Weather
from workers.contract.uftp import Fact
from workers.deadlines import NEVER
from workers.uftp import header
from workers.uftp.header import Function

SUITES = {
    "plain": None,
    "hmac-rsa": (4, 3, 1, 1),
    "hmac-rsa-authenticated": (4, 3, 1, 1, True),
    "gcm-ecdsa-authenticated": (6, 3, 3, 3, True),
    "keyex-ecdsa-authenticated": (4, 3, 2, 3, True),
    "keyex-rsa": (3, 2, 1, 2),
    "ccm-rsa-authenticated": (8, 5, 3, 1, True),
}
COUNTER = slice(16, 24)
KEYINFO_COUNTER = slice(20, 28)


def build(name: str, make: object, seed: int, weather: Weather, ring: bool = True) -> Scene:
    spec = SUITES[name]
    cipher = None if spec is None else make_cipher(*spec)
    own = None if cipher is None or not ring else make_ring(cipher, ecdh=make is response)
    data = random.Random(seed).randbytes(20_000)
    scene = make(3, seed, weather, cipher=cipher, ring=own, server={"data": data, "grtt_s": 0.05})
    for node in scene.proxies:
        node.outlive()
    return scene


def kill_often(scene: Scene, chance: random.Random, mean_ns: int, freeze: float = 0.0) -> None:
    """Let each proxy die again and again: after a while, with some of what it was about to do done."""

    def strike() -> None:
        if scene.server.done:
            return
        node = chance.choice(scene.proxies)
        if chance.random() < freeze:
            node.freeze()
        elif chance.random() < 0.5:
            node.die_at = chance.randrange(4)
        else:
            node.die()
        scene.world.after(int(chance.expovariate(1) * mean_ns), strike)

    scene.world.after(int(chance.expovariate(1) * mean_ns), strike)


def counters_of(scene: Scene, uids: tuple[int, ...]) -> dict[tuple[bytes, bytes], set[bytes]]:
    """Return what was sealed with each counter under each name, by the proxies themselves."""
    found: dict[tuple[bytes, bytes], set[bytes]] = defaultdict(set)
    for _, source, payload, _ in scene.world.sent:
        head = header.decode(payload)
        if head.function == Function.ENCRYPTED and head.source_id in uids:
            found[b"message" + source, payload[COUNTER]].add(payload)
        elif head.function == Function.KEYINFO and source == scene.below.address:
            found[b"keyinfo" + source, payload[KEYINFO_COUNTER]].add(payload)
    return found


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("make", [chain, response])
@pytest.mark.parametrize("seed", range(3))
def test_a_file_arrives_through_proxies_that_die_again_and_again(name: str, make: object, seed: int) -> None:
    scene = build(name, make, seed, Weather(delay_ns=(MS // 2, 3 * MS)))
    kill_often(scene, random.Random(seed), 40 * MS)
    assert scene.run(120)
    assert all(client.data == scene.server.data for client in scene.clients)
    assert not scene.server.aborted
    assert sum(node.deaths for node in scene.proxies) >= 2
    assert any(node.said("uftp-adopted") for node in scene.proxies)
    assert not any(node.said("uftp-not-adopted") for node in scene.proxies)


@pytest.mark.parametrize("name", [name for name in SUITES if name != "plain"])
@pytest.mark.parametrize("seed", range(4))
def test_no_counter_is_used_twice_with_one_key(name: str, seed: int) -> None:
    weather = Weather(loss=0.05, duplicates=0.05, delay_ns=(MS // 2, 20 * MS))
    scene = build(name, chain, seed, weather)
    kill_often(scene, random.Random(seed), 40 * MS, freeze=0.3)
    scene.run(60)
    found = counters_of(scene, (CLIENT_PROXY_UID, RESPONSE_PROXY_UID))
    assert len(found) > 10
    assert not [key for key, sealed in found.items() if len(sealed) > 1]


@pytest.mark.parametrize("name", ["plain", "hmac-rsa", "gcm-ecdsa-authenticated"])
def test_after_a_freeze_numbers_go_on_without_a_gap(name: str) -> None:
    scene = build(name, chain, 1, Weather())
    scene.world.after(200 * MS, scene.below.freeze)
    scene.world.after(200 * MS, scene.above.freeze)
    before = {}

    def look() -> None:
        group = next(iter(scene.below.machine.groups))
        # What waits is sent before the end.
        waiting = len(group.pending)
        before.update(sequence=group.sequence + waiting, counter=group.crypto and group.crypto.counter + waiting)

    def compare() -> None:
        group = next(iter(scene.below.machine.groups))
        assert group.sequence == before["sequence"]
        assert (group.crypto and group.crypto.counter) == before["counter"]

    scene.world.after(200 * MS - 1, look)
    scene.world.after(200 * MS, compare)
    assert scene.run(60)
    assert before["sequence"] > 0
    assert scene.above.deaths == scene.below.deaths == 1


@pytest.mark.parametrize("name", ["hmac-rsa", "gcm-ecdsa-authenticated"])
def test_throw_away_keys_outlive_who_made_them(name: str) -> None:
    scene = build(name, chain, 2, Weather(), ring=False)
    kill_often(scene, random.Random(2), 100 * MS)
    assert scene.run(120)
    assert all(client.data == scene.server.data for client in scene.clients)


@pytest.mark.parametrize("make", [chain, response])
def test_nothing_is_left_behind_when_everything_has_ended(make: object) -> None:
    scene = build("gcm-ecdsa-authenticated", make, 3, Weather())
    kill_often(scene, random.Random(3), 40 * MS)
    assert scene.run(120)
    assert sum(node.deaths for node in scene.proxies) >= 2
    scene.settle()
    for node in scene.proxies:
        assert not node.machine.facts[Fact.GROUPS]
        assert not node.machine.facts[Fact.CLIENTS]
        assert node.machine.next_deadline_ns() == NEVER
        node.die()
        assert not any(node.joined.values())
        assert not node.machine.facts[Fact.GROUPS]
