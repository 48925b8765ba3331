"""What becomes due in a group, and its end."""

from __future__ import annotations

import pytest

from tests.kit.uftp_bench import CLIENT_UID, GROUP, GRTT_NS, Bench, of
from tests.kit.uftp_client import Client
from tests.kit.uftp_scene import SERVER, SERVER_UID, Scene, chain, make_cipher, make_ring
from tests.kit.uftp_server import Server
from tests.kit.uftp_world import MS, PRIVATE, SECOND, World
from workers.contract.uftp import DropReason, Fact, Mode
from workers.deadlines import NEVER
from workers.uftp.abort import Abort
from workers.uftp.actions import Leave
from workers.uftp.finish import Complete, Done
from workers.uftp.groups import Group
from workers.uftp.header import Function
from workers.uftp.quantise import encode_grtt
from workers.uftp.register import ClientKey


def groups(bench: Bench) -> int:
    return bench.machine.facts[Fact.GROUPS]


def test_a_silent_group_ends_after_robust_round_trips() -> None:
    bench = Bench(Mode.RESPONSE)
    bench.announce()
    bench.wait(20 * GRTT_NS - 1)
    assert groups(bench) == 1
    bench.wait(1)
    assert groups(bench) == 0
    assert bench.taken(Leave) == [Leave(PRIVATE, ())]
    assert len(bench.notes("uftp-group-timeout")) == 1


def test_it_lives_a_second_at_least() -> None:
    bench = Bench()
    bench.from_server(Done(1, 0))
    bench.announce(robust=15)
    for _ in range(5):
        bench.from_server(Done(1, 0), grtt=encode_grtt(10 * MS))
        bench.wait(SECOND - 1)
    assert groups(bench) == 1
    bench.wait(1)
    assert groups(bench) == 0


def test_whatever_passes_in_either_direction_keeps_it_alive() -> None:
    bench = Bench()
    bench.announce()
    bench.register(1)
    for turn in range(6):
        bench.wait(19 * GRTT_NS)
        if turn % 2:
            bench.from_server(Done(1, 0))
        else:
            bench.from_client(Complete(1, 0), 1)
    assert groups(bench) == 1


def test_groups_that_claim_an_hours_patience_do_not_keep_others_out() -> None:
    bench = Bench(Mode.RESPONSE, changes={"max_groups": 8})
    for number in range(1, 6):
        bench.announce(group_id=number, robust=255)
        bench.from_server(Done(1, 0), group_id=number, grtt=255)
    bench.wait(11 * SECOND)
    # One that lives is left alone, and so is everybody while there is room.
    bench.from_server(Done(1, 0), group_id=1, grtt=255)
    assert groups(bench) == 5
    for number in (6, 7):
        bench.announce(group_id=number)
    bench.wait(0)
    assert {group.key.group_id for group in bench.machine.groups} == {1, 6, 7}
    assert len(bench.notes("uftp-group-timeout")) == 4


def test_strangers_do_not_keep_it_alive() -> None:
    bench = Bench()
    bench.announce()
    for _ in range(30):
        bench.wait(GRTT_NS)
        bench.from_client(Complete(1, 0), 99)
    assert groups(bench) == 0


def test_a_new_round_trip_time_changes_how_long_it_may_be_silent() -> None:
    bench = Bench()
    bench.announce()
    bench.from_server(Done(1, 0), grtt=encode_grtt(500 * MS))
    bench.wait(10 * SECOND)
    assert groups(bench) == 1
    bench.from_server(Done(1, 0), grtt=encode_grtt(10 * MS))
    bench.wait(SECOND)
    assert groups(bench) == 0


def test_clients_that_are_not_ready_in_time_and_their_server_are_told() -> None:
    cipher = make_cipher(4, 3, 1, 1)
    scene = chain(2, cipher=cipher, ring=make_ring(cipher), server={"robust": 10})
    scene.clients[1].false_proof = True
    scene.server.wanted |= {99}
    assert not scene.run(4)
    assert {message.host for message in scene.server.aborted} == {scene.clients[1].uid}
    assert all(b"not fully registered" in message.text for message in scene.server.aborted)
    down = {message.host for _, message in scene.clients[0].heard if isinstance(message, Abort)}
    assert down == {scene.clients[1].uid}
    assert not scene.clients[0].aborted


@pytest.mark.parametrize("tenths", [9, 40])
def test_a_client_that_comes_late_has_its_own_time_and_is_told_once(tenths: int) -> None:
    """Before set-up is over, or when nobody else is waited for any more."""
    cipher = make_cipher(4, 3, 1, 1, client_auth=True)
    bench, world = Bench(ring=make_ring(cipher)), World()
    Server(world, SERVER, SERVER_UID, frozenset(), group_id=GROUP, cipher=cipher).announce()
    bench.feed(world.sent[0][2])

    def aborts(tenths: int) -> list[object]:
        told = []
        for _ in range(tenths):
            bench.from_server(Done(1, 0))
            told += of(bench.wait(SECOND // 10), Function.ABORT)
        return [one.message.host for one in told]

    assert aborts(tenths) == []
    # Half of its registration: the other half may be on its way when set-up has to be over, after a second.
    bench.from_client(ClientKey(cipher.key.public.blob, b""))
    (group,) = bench.machine.groups
    patience = -(-group.patience_ns * 10 // SECOND)
    assert aborts(patience - 1) == []
    assert aborts(3) == [CLIENT_UID, CLIENT_UID]
    assert aborts(3 * patience) == []


def ready(client_auth: bool) -> tuple[Scene, Client, Group]:
    """Return a scene whose one client is ready, and whose server waits for another one."""
    cipher = make_cipher(4, 3, 1, 1, client_auth=client_auth)
    scene = chain(1, cipher=cipher, ring=make_ring(cipher), server={"robust": 10})
    scene.server.wanted |= {99}
    assert not scene.run(4)
    (group,), client = scene.below.machine.groups, scene.clients[0]
    assert (group.clients.all_finished, group.setup_ns, scene.server.aborted) == (True, NEVER, [])
    return scene, client, group


@pytest.mark.parametrize("client_auth", [False, True])
def test_a_client_that_was_ready_and_begins_anew_is_given_up_only_if_nobody_else_can_be_meant(
    client_auth: bool,
) -> None:
    scene, client, group = ready(client_auth)
    client.false_proof, client.leg = True, client.leg._replace(client_random=bytes(range(32)))
    client.register()
    scene.world.run(scene.world.now_ns + 3 * group.patience_ns)
    assert not group.clients.all_finished
    assert {message.host for message in scene.server.aborted} == ({client.uid} if client_auth else set())


@pytest.mark.parametrize("client_auth", [False, True])
def test_a_client_that_is_ready_stays_so_when_its_register_comes_again(client_auth: bool) -> None:
    scene, client, group = ready(client_auth)
    client.false_proof = True
    client.register()
    scene.world.run(scene.world.now_ns + 3 * group.patience_ns)
    assert group.clients.all_finished
    assert not scene.server.aborted


def test_an_open_abort_under_the_name_of_a_client_that_was_ready_goes_no_further() -> None:
    scene, client, _ = ready(client_auth=False)
    client.false_proof, client.leg = True, client.leg._replace(client_random=bytes(range(32)))
    client.register()
    scene.world.run(scene.world.now_ns + SECOND // 10)
    client.say(Abort(client.uid, b"bye"), clear=True)
    scene.world.run(scene.world.now_ns + SECOND // 10)
    assert not scene.server.aborted
    assert scene.below.machine.drops[DropReason.IN_THE_CLEAR] == 1


def test_clients_of_a_plain_group_have_no_deadline() -> None:
    bench = Bench()
    bench.announce()
    bench.register(1)
    for _ in range(5):
        assert not of(bench.wait(10 * GRTT_NS), Function.ABORT)
        bench.announce()
    assert groups(bench) == 1


def test_a_group_whose_private_address_cannot_be_joined_is_given_up() -> None:
    bench = Bench(Mode.SERVER, changes={"downstream": PRIVATE})
    bench.announce()
    bench.machine.join_failed(PRIVATE, 0)
    (sent,) = bench.wait(0)
    assert isinstance(sent.message, Abort)
    assert sent.message.host == 0
    assert groups(bench) == 0
