"""Scripted server and clients with nothing between them: they must get along before a proxy is blamed."""

from __future__ import annotations

import pytest

from tests.kit.uftp_client import Client
from tests.kit.uftp_scene import SERVER, SERVER_UID, chain, client_address, make_cipher, make_ring, response
from tests.kit.uftp_server import Server
from tests.kit.uftp_world import PRIVATE, PUBLIC, World
from workers.uftp.header import Function


@pytest.mark.parametrize("spec", [None, (4, 3, 1, 1), (6, 3, 3, 3, True), (4, 3, 2, 1, True)])
def test_a_client_understands_the_server_without_a_proxy_up_to_its_register(spec: tuple[int, ...] | None) -> None:
    world = World()
    cipher = None if spec is None else make_cipher(*spec)
    server = Server(world, SERVER, SERVER_UID, frozenset((1,)), cipher=cipher)
    key = make_ring(cipher).first() if cipher else None
    client = Client(world, client_address(0), 1, key)
    world.add(client, "A", groups=(PUBLIC, PRIVATE))
    world.lans["A"].add(SERVER)
    server.announce()
    world.run(5_000_000)
    sent = [payload[1] for _, source, payload, to in world.sent if source == client.address and to == SERVER]
    wanted = [Function.REGISTER] + ([Function.CLIENT_KEY] if cipher is not None and cipher.client_auth else [])
    assert sent == wanted


@pytest.mark.parametrize("build", [chain, response])
def test_a_scene_ends_with_the_whole_file_everywhere_and_is_the_same_every_time(build: type) -> None:
    first, second = build(2), build(2)
    assert first.run()
    assert second.run()
    assert first.world.sent == second.world.sent
    assert [client.data for client in first.clients] == 2 * [first.server.data]


def test_a_server_says_who_has_left() -> None:
    scene = chain(2)
    assert scene.run()
    assert scene.server.left == scene.server.complete == scene.server.wanted


def test_a_muted_client_does_not_hear() -> None:
    scene = chain(1)
    scene.clients[0].mute = True
    assert not scene.run(1)
    assert scene.clients[0].heard == []
