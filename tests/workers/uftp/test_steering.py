"""What a server says to the proxy itself: KEYINFO, REG_CONF, ABORT."""

from __future__ import annotations

import pytest

from tests.kit.uftp_bench import GROUP, GRTT, GRTT_NS, SIZE, Bench
from tests.kit.uftp_scene import (
    CLIENT_PROXY,
    CLIENT_PROXY_UID,
    FIRST_CLIENT,
    SERVER_UID,
    Scene,
    chain,
    make_cipher,
    make_ring,
)
from tests.kit.uftp_world import PRIVATE, SECOND, Weather
from workers.contract.uftp import DropReason, Fact, Mode
from workers.uftp import header, messages
from workers.uftp.abort import CURRENT_FILE, Abort
from workers.uftp.actions import Arrival, Leave
from workers.uftp.header import Function
from workers.uftp.keying import KeyEntry, KeyInfo
from workers.uftp.quantise import encode_grtt
from workers.uftp.register import RegConf

RSA = (4, 3, 1, 1)


def keyinfos(scene: Scene) -> list[KeyInfo]:
    """Return the KEYINFO that the client proxy has sent."""
    found = []
    for _, source, payload, to in scene.world.sent:
        if source == CLIENT_PROXY and to == PRIVATE and payload[1] == Function.KEYINFO:
            head = header.decode(payload)
            assert (head.source_id, head.sequence, head.grtt) == (SERVER_UID, 0, encode_grtt(scene.server.grtt_ns))
            found.append(messages.decode(head, payload[16:]))
    return found


def encrypted(clients: int = 1, **changes: object) -> Scene:
    cipher = make_cipher(*RSA)
    return chain(clients, cipher=cipher, ring=make_ring(cipher), **changes)


def bench(mode: Mode = Mode.CLIENT) -> Bench:
    one = Bench(mode)
    one.announce()
    one.register(1)
    one.wait(GRTT_NS)
    return one


def test_confirmed_clients_are_sent_the_groups_key_under_the_servers_uid() -> None:
    scene = encrypted(3)
    assert scene.run()
    sent = keyinfos(scene)
    assert {entry.uid for message in sent for entry in message.entries} == set(scene.server.wanted)
    counters = [message.iv_counter for message in sent]
    assert len(set(counters)) == len(counters)


def test_a_keyinfo_holds_as_many_clients_as_fit_its_block() -> None:
    scene = encrypted(9, server={"block_bytes": 200})
    assert scene.run()
    assert max(len(message.entries) for message in keyinfos(scene)) == 200 // 52


def test_confirmation_and_keys_of_an_encrypted_group_end_at_the_proxy() -> None:
    scene = encrypted(2)
    assert scene.run()
    heard = [message for _, message in scene.clients[0].heard]
    assert not any(isinstance(message, RegConf) for message in heard)
    uids = {entry.uid for message in heard if isinstance(message, KeyInfo) for entry in message.entries}
    assert CLIENT_PROXY_UID not in uids


def test_clients_confirmed_before_the_key_is_known_are_sent_it_when_it_comes() -> None:
    scene = encrypted(2)
    held: list[tuple[bytes, Arrival]] = []
    original = scene.below.receive

    def hold_back(datagram: bytes, arrival: Arrival) -> None:
        if datagram[1] == Function.KEYINFO and not scene.below.said("uftp-reg-conf-in"):
            held.append((datagram, arrival))
            return
        original(datagram, arrival)

    scene.below.receive = hold_back  # type: ignore[method-assign]
    scene.server.start()
    assert scene.world.run(SECOND, lambda: bool(held and scene.below.said("uftp-reg-conf-in")))
    assert keyinfos(scene) == []
    original(*held[0])
    assert [entry.uid for message in keyinfos(scene) for entry in message.entries] == sorted(scene.server.wanted)


def test_a_lost_keyinfo_is_repeated_after_two_round_trips() -> None:
    scene = encrypted(1)
    client = scene.clients[0]
    lost = []
    original = client.receive

    def lose_first(datagram: bytes, arrival: object) -> None:
        if datagram[1] == Function.KEYINFO and not lost:
            lost.append(scene.world.now_ns)
            return
        original(datagram, arrival)

    client.receive = lose_first  # type: ignore[method-assign]
    assert scene.run()
    times = [at for at, source, payload, _ in scene.world.sent if source == CLIENT_PROXY and payload[1] == 5]
    assert len(times) == 2
    grtt_ns = scene.clients[0].head.grtt_ns
    assert times[1] - times[0] == 2 * grtt_ns


def test_a_client_that_never_answers_is_not_sent_the_key_forever() -> None:
    scene = encrypted(2, server={"robust": 10})
    silent = scene.clients[1]

    def only_register(datagram: bytes, arrival: object) -> None:
        if datagram[1] == Function.ANNOUNCE and silent.head is None:
            type(silent).receive(silent, datagram, arrival)
            silent.mute = True

    silent.receive = only_register  # type: ignore[method-assign]
    scene.run(3)
    sent = [message for message in keyinfos(scene) if silent.uid in {entry.uid for entry in message.entries}]
    assert 2 <= len(sent) <= 12


def test_a_late_client_is_sent_the_key() -> None:
    scene = encrypted(2)
    late = scene.clients[1]
    late.mute = True
    scene.server.wanted = frozenset({FIRST_CLIENT})
    assert scene.run()
    late.mute = False
    scene.server.announce()
    scene.world.run(scene.world.now_ns + SECOND)
    assert late.sealer is not None
    assert late.registered


def test_a_repeated_keyinfo_is_acknowledged_again() -> None:
    scene = encrypted(1)
    assert scene.run()
    again = next(
        payload
        for _, source, payload, _ in scene.world.sent
        if payload[1] == Function.KEYINFO and source != CLIENT_PROXY
    )
    before = len(scene.below.said("uftp-keyinfo-ack-out"))
    scene.world.send(scene.above.address, again, CLIENT_PROXY)
    scene.settle(0.1)
    assert len(scene.below.said("uftp-keyinfo-ack-out")) == before + 1


def test_a_keyinfo_without_our_uid_or_in_a_plain_group_is_counted() -> None:
    one = bench()
    assert one.from_server(KeyInfo(1, (KeyEntry(one.uid, bytes(48)),))) == []
    assert one.machine.drops[DropReason.NOT_ALLOWED] == 1
    scene = encrypted(1)
    assert scene.run()
    before = scene.below.machine.drops[DropReason.NOT_FOR_US]
    scene.server.send(KeyInfo(9, (KeyEntry(1, bytes(48)),)), clear=True)
    scene.settle(0.1)
    assert scene.below.machine.drops[DropReason.NOT_FOR_US] == before + 1


def test_a_keyinfo_that_cannot_be_read_does_not_end_the_group() -> None:
    scene = encrypted(1)
    scene.server.send(KeyInfo(9, (KeyEntry(CLIENT_PROXY_UID, bytes(48)),)), clear=True)
    assert scene.run()


def test_a_group_survives_loss_of_a_third_of_everything() -> None:
    scene = encrypted(5, weather=Weather(loss=0.3, duplicates=0.1), seed=3)
    assert scene.run(120)


@pytest.mark.parametrize("host", [0, CLIENT_PROXY_UID])
def test_a_server_that_gives_up_ends_the_group_for_all_clients(host: int) -> None:
    one = bench()
    (sent,) = one.from_server(Abort(host, b"stopped"))
    assert sent.to == PRIVATE
    assert (sent.header.source_id, sent.header.grtt, sent.header.group_size) == (SERVER_UID, GRTT, SIZE)
    assert sent.message == Abort(0, b"stopped")
    assert one.machine.facts[Fact.GROUPS] == 0


def test_a_server_that_gives_up_a_file_or_a_client_goes_on() -> None:
    one = bench()
    (sent,) = one.from_server(Abort(0, b"next", CURRENT_FILE))
    assert sent.message == Abort(0, b"next", CURRENT_FILE)
    (sent,) = one.from_server(Abort(77, b"not you"))
    assert sent.message == Abort(77, b"not you")
    assert one.machine.facts[Fact.GROUPS] == 1


def test_a_response_proxy_leaves_the_private_address_when_the_server_gives_up() -> None:
    one = bench(Mode.RESPONSE)
    assert one.from_server(Abort(0, b"stopped")) == []
    assert one.taken(Leave) == [Leave(PRIVATE, ())]
    assert one.machine.facts[Fact.GROUPS] == 0


def test_an_abort_that_is_too_short_is_not_obeyed() -> None:
    one = bench()
    datagram = header.Header(Function.ABORT, SERVER_UID, GROUP, grtt=GRTT).encode() + bytes((19, 77)) + bytes(20)
    assert one.feed(datagram) == []
    assert one.machine.drops[DropReason.MALFORMED] == 1
    assert one.machine.facts[Fact.GROUPS] == 1


def test_a_stranger_cannot_end_a_group() -> None:
    one = bench()
    assert one.from_client(Abort(0, b"x"), SERVER_UID) == []
    assert one.machine.facts[Fact.GROUPS] == 1
