"""REGISTER, CLIENT_KEY and KEYINFO_ACK of clients."""

from __future__ import annotations

import pytest

from tests.kit.uftp_bench import CLIENT, CLIENT_UID, GROUP, GRTT_NS, SIZE, Bench, of
from tests.kit.uftp_scene import SERVER, SERVER_UID, Scene, chain, make_cipher, make_ring
from tests.kit.uftp_world import PRIVATE, SECOND
from workers.contract.uftp import ClientEntry, DropReason, Fact
from workers.uftp.abort import Abort
from workers.uftp.fingerprint import fingerprint
from workers.uftp.header import Function, Header
from workers.uftp.register import ClientKey, Register
from workers.uftp.station import CLIENTS_FACTOR

AUTH = (4, 3, 1, 3, True)


def bench(**changes: object) -> Bench:
    one = Bench(changes=changes)
    one.announce()
    return one


def aborted(one: Bench, sent: list) -> Abort:
    """Return the one ABORT that was sent to the clients, as their server would send it."""
    assert [message.to for message in sent] == [PRIVATE]
    assert sent[0].header.source_id == SERVER_UID
    assert sent[0].header.group_size == SIZE
    assert isinstance(sent[0].message, Abort)
    return sent[0].message


def encrypted(clients: int = 1, **changes: object) -> Scene:
    cipher = make_cipher(*AUTH)
    return chain(clients, cipher=cipher, ring=make_ring(cipher), **changes)


def test_registers_of_one_round_trip_go_up_as_one_with_the_proxys_uid() -> None:
    one = bench()
    for uid in (3, 1, 2):
        assert one.register(uid) == []
    assert one.wait(GRTT_NS - 1) == []
    (sent,) = one.wait(1)
    assert sent.to == SERVER
    assert (sent.header.source_id, sent.header.sequence, sent.header.grtt) == (one.uid, 0, 0)
    assert sent.message == Register(one.stamp(), uids=(3, 1, 2))


def test_the_timestamp_is_the_slowest_clients_and_that_client_is_listed_first() -> None:
    one = bench()
    one.wait(SECOND // 10)
    late = one.stamp(30_000_000)
    one.register(1)
    one.from_client(Register(late), 2)
    (sent,) = one.wait(GRTT_NS)
    assert sent.message.uids == (2, 1)
    assert sent.message.timestamp == one.stamp(30_000_000)


def test_a_timestamp_from_before_the_group_is_taken_for_the_groups_beginning() -> None:
    one = bench()
    one.from_client(Register(one.stamp(10**15)), 2)
    (sent,) = one.wait(GRTT_NS)
    assert sent.message.timestamp == one.stamp()


def test_a_message_goes_up_at_once_when_it_is_full() -> None:
    one = Bench()
    one.announce(block_bytes=16)
    assert [one.register(uid) for uid in (1, 2, 3)] == [[], [], []]
    (sent,) = one.register(4)
    assert sent.message.uids == (1, 2, 3, 4)
    assert one.wait(GRTT_NS) == []


def test_a_repeated_register_goes_up_again() -> None:
    one = bench()
    for _ in range(2):
        one.register(1)
        (sent,) = one.wait(GRTT_NS)
        assert sent.message.uids == (1,)
    assert [note.fields[0] for note in one.notes("uftp-register-in")] == ["", "+"]


@pytest.mark.parametrize("message", [Register, ClientKey])
def test_a_message_of_wrong_size_is_answered_with_an_abort_for_its_sender(message: type) -> None:
    one = bench()
    datagram = Header(message.FUNCTION, CLIENT_UID, GROUP).encode() + bytes((message.FUNCTION, 10)) + bytes(38)
    abort = aborted(one, one.feed(datagram, CLIENT))
    assert abort.host == CLIENT_UID
    assert b"bad size" in abort.text
    assert one.machine.drops[DropReason.CLIENT_REFUSED] == 1


def test_a_full_group_refuses_newcomers_and_nobody_else() -> None:
    one = bench(max_clients=2)
    one.register(1)
    one.register(2)
    assert aborted(one, one.register(3)).host == 3
    assert one.machine.drops[DropReason.TOO_MANY_CLIENTS] == 1
    assert one.register(1) == []


def test_all_groups_together_have_a_limit_too() -> None:
    one = Bench(changes={"max_clients": 1})
    for group in range(1, CLIENTS_FACTOR + 2):
        one.announce(group_id=group)
        one.from_client(Register(one.stamp()), 9, group_id=group)
    assert one.machine.facts[Fact.CLIENTS] == CLIENTS_FACTOR
    assert one.machine.drops[DropReason.TOO_MANY_CLIENTS] == 1


def test_clients_of_groups_that_end_make_room() -> None:
    one = bench(max_clients=3)
    one.register(1)
    one.wait(60 * SECOND)
    assert one.machine.facts[Fact.CLIENTS] == 0


def test_nobody_registers_under_the_uid_of_the_proxy() -> None:
    one = bench()
    assert aborted(one, one.register(one.uid)).host == one.uid
    assert one.wait(GRTT_NS) == []


def bad_register(uid: int) -> bytes:
    return Header(Function.REGISTER, uid, GROUP).encode() + bytes((Function.REGISTER, 10)) + bytes(38)


def test_who_has_no_uid_is_not_answered_since_all_clients_would_obey() -> None:
    one = bench()
    assert one.register(0) == []
    assert one.feed(bad_register(0), CLIENT) == []
    assert one.machine.drops[DropReason.CLIENT_REFUSED] == 2
    assert one.wait(GRTT_NS) == []


def test_a_client_that_has_registered_is_not_told_of_what_somebody_sends_under_its_name() -> None:
    one = bench()
    one.register(1)
    assert one.feed(bad_register(1), CLIENT) == []
    assert aborted(one, one.feed(bad_register(2), CLIENT)).host == 2
    assert one.machine.drops[DropReason.CLIENT_REFUSED] == 2


@pytest.mark.parametrize("spec", [None, (4, 3, 1, 1), (6, 3, 3, 1)], ids=["plain", "hmac", "gcm"])
def test_a_client_with_the_servers_uid_takes_part_where_that_is_safe(spec: tuple[int, ...] | None) -> None:
    cipher = None if spec is None else make_cipher(*spec)
    scene = chain(2, cipher=cipher, ring=make_ring(cipher) if cipher else None)
    scene.clients[0].uid = SERVER_UID
    scene.server.wanted = frozenset(client.uid for client in scene.clients)
    safe = spec is None or spec[0] != 6
    assert scene.run(20) is safe
    assert (scene.clients[0].data == scene.server.data) is safe
    assert [note.fields[0] for note in scene.below.said("uftp-client-refused")][:1] == ([] if safe else [SERVER_UID])
    if not safe:
        assert "uftpd -U" in scene.below.said("uftp-client-refused")[0].fields[1]


def test_a_client_that_is_not_listed_is_refused_and_the_list_is_said_to_prove_nothing() -> None:
    one = bench(clients=(ClientEntry(1, None), ClientEntry(3, None)))
    one.register(1)
    one.register(3)
    assert aborted(one, one.register(2)).host == 2
    (sent,) = one.wait(GRTT_NS)
    assert sent.message.uids == (1, 3)
    assert len(one.notes("uftp-bare-list")) == 1


def test_a_client_key_in_a_plain_group_is_of_no_use() -> None:
    one = bench()
    assert one.from_client(ClientKey(b"key!", b"sign")) == []
    assert one.machine.drops[DropReason.NOT_FOR_US] == 1


def test_a_client_that_authenticates_is_announced_to_the_server_with_the_proxys_own_key() -> None:
    scene = encrypted()
    assert scene.run()
    functions = [head.function for head, _ in scene.server.heard]
    at = functions.index(Function.REGISTER)
    assert functions[at + 1] == Function.CLIENT_KEY
    assert Function.CLIENT_KEY not in {head.function for head, _ in scene.server.heard if head.source_id == CLIENT_UID}
    assert scene.server.heard[at + 1][0].sequence == 0


def test_a_client_is_not_taken_before_its_signature_fits() -> None:
    scene = encrypted()
    client = scene.clients[0]
    client.key = make_ring(make_cipher(*AUTH)).first()
    original = client.say

    def spoil(message: object, clear: bool = False) -> None:
        if isinstance(message, ClientKey):
            message = ClientKey(message.key_blob, message.signature[:-40] + bytes(40))
        original(message, clear)

    client.say = spoil  # type: ignore[method-assign]
    assert not scene.run(2)
    assert scene.server.via == {}
    assert scene.below.machine.drops[DropReason.NOT_AUTHENTIC] > 0


@pytest.mark.parametrize(
    ("listed", "ends"), [("its own", True), ("another", False), ("none", True), ("other uid", False)]
)
def test_a_listed_client_must_have_the_listed_key(listed: str, ends: bool) -> None:
    key = make_ring(make_cipher(*AUTH)).first()
    entries = {
        "its own": ClientEntry(CLIENT_UID, fingerprint(key.public.blob)),
        "another": ClientEntry(CLIENT_UID, bytes(20)),
        "none": ClientEntry(CLIENT_UID, None),
        "other uid": ClientEntry(7, None),
    }
    scene = encrypted(below={"clients": (entries[listed],)})
    scene.clients[0].key = key
    assert scene.run(3) is ends
    assert scene.clients[0].aborted is not ends
    assert scene.below.machine.facts[Fact.CLIENTS] == (0 if listed == "other uid" else 1)


def test_a_client_keeps_the_key_it_has_proved() -> None:
    scene = encrypted(2)
    assert scene.run()
    first, second = scene.clients
    first.key = make_ring(make_cipher(*AUTH)).first()
    first.left = False
    before = scene.below.machine.drops[DropReason.CLIENT_REFUSED]
    first.register()
    scene.world.run(scene.world.now_ns + SECOND // 10)
    assert scene.below.machine.drops[DropReason.CLIENT_REFUSED] == before + 1
    assert not second.aborted


def test_a_key_of_the_wrong_type_is_refused() -> None:
    scene = encrypted()
    scene.clients[0].key = make_ring(make_cipher(4, 3, 1, 1)).first()
    assert not scene.run(2)
    assert scene.clients[0].aborted


def test_false_verify_data_is_counted_and_its_sender_is_not_ready() -> None:
    scene = encrypted(2)
    scene.clients[0].false_proof = True
    assert scene.run()
    assert scene.below.machine.drops[DropReason.NOT_ALLOWED] > 0
    assert {note.fields[0] for note in scene.below.said("uftp-keyinfo-ack-in")} == {scene.clients[1].uid}


def test_with_every_client_ready_set_up_is_over_and_nobody_is_aborted() -> None:
    scene = encrypted(3)
    assert scene.run()
    scene.settle(60)
    assert not of_abort(scene)


def of_abort(scene: Scene) -> list[object]:
    return [message for _, message in scene.server.heard if isinstance(message, Abort)]


def test_registration_is_noted_with_the_groups_name() -> None:
    one = bench()
    one.register(5)
    note = one.notes("uftp-register-in")[0]
    assert note.group == (GROUP, 0)
    assert note.fields == ("", 5)
    assert of(one.wait(GRTT_NS), Function.REGISTER)
