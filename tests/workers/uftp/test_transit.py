"""What goes through a group untouched, and what does not."""

from __future__ import annotations

import pytest

from tests.kit.uftp_bench import CLIENT, CLIENT_UID, GROUP, GRTT, GRTT_NS, Bench
from tests.kit.uftp_scene import CLIENT_PROXY, SERVER, SERVER_UID, chain, make_cipher, make_ring, response
from tests.kit.uftp_world import PRIVATE, raw
from workers.contract.uftp import DropReason, Mode
from workers.uftp.abort import Abort
from workers.uftp.downstream import ALIASES
from workers.uftp.finish import Complete, Done, DoneConf, Status
from workers.uftp.header import Function, Header
from workers.uftp.keying import Encrypted, KeyInfoAck
from workers.uftp.messages import Unknown
from workers.uftp.register import ClientKey, RegConf, Register
from workers.uftp.timestamp import Timestamp
from workers.uftp.transfer import FileInfo, FileInfoAck, FileSeg

FROM_SERVER = [
    RegConf((1, 2)),
    FileInfo(1, 0, 5, 0, Timestamp(), b"name"),
    Done(1, 2, (3,)),
    FileSeg(1, 2, 3, b"data"),
    DoneConf((1,)),
    Encrypted(1, b"sign", b"pay"),
    Unknown(200, bytes((200, 1, 0, 0))),
]


def bench(mode: Mode = Mode.CLIENT, **changes: object) -> Bench:
    one = Bench(mode, changes={"downstream": CLIENT_PROXY if mode is Mode.SERVER else None} | changes)
    one.announce()
    return one


def datagram(message: object, uid: int = SERVER_UID, sequence: int = 77) -> bytes:
    function = message.function if isinstance(message, Unknown) else message.FUNCTION
    return Header(function, uid, GROUP, 0, sequence, GRTT, 9).encode() + message.encode()


@pytest.mark.parametrize("message", FROM_SERVER, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize(("mode", "to"), [(Mode.SERVER, CLIENT_PROXY), (Mode.CLIENT, PRIVATE)])
def test_a_servers_datagram_goes_on_byte_for_byte(message: object, mode: Mode, to: bytes) -> None:
    one = bench(mode)
    sent = one.feed(datagram(message))
    assert [(item.to, item.payload) for item in sent] == [(to, datagram(message))]


@pytest.mark.parametrize("message", FROM_SERVER, ids=lambda message: type(message).__name__)
def test_a_response_proxy_passes_nothing_on(message: object) -> None:
    one = bench(Mode.RESPONSE)
    assert one.feed(datagram(message)) == []
    assert not one.machine.drops


@pytest.mark.parametrize("mode", [Mode.CLIENT, Mode.RESPONSE])
def test_a_datagram_from_the_servers_address_must_have_its_uid(mode: Mode) -> None:
    one = bench(mode)
    assert one.feed(datagram(Done(1, 0), 7)) == []
    assert one.machine.drops[DropReason.WRONG_SOURCE_ID] == 1


def test_a_server_proxy_does_not_look_at_uids() -> None:
    assert len(bench(Mode.SERVER).feed(datagram(Done(1, 0), 7))) == 1


@pytest.mark.parametrize(
    "message",
    [Register(Timestamp()), Complete(1, 0), Abort(0, b"x"), Unknown(200, bytes((200, 1, 0, 0)))],
    ids=lambda message: type(message).__name__,
)
def test_a_server_proxy_passes_up_what_its_downstream_sends_and_nobody_else(message: object) -> None:
    one = bench(Mode.SERVER)
    up = datagram(message, 0xC0C0)
    assert [(item.to, item.payload) for item in one.feed(up, CLIENT_PROXY)] == [(SERVER, up)]
    assert one.feed(up, raw("10.99.1.66")) == []
    assert one.machine.drops[DropReason.NOT_ALLOWED] == 1


def test_a_server_gets_no_key_of_a_station_whose_registration_was_lost() -> None:
    """Server 4.10.2 dies of it."""
    one = bench(Mode.SERVER)
    key, register = datagram(ClientKey(b"blob", b"sign"), 0xC0C0), datagram(Register(Timestamp()), 0xC0C0)
    assert one.feed(key, CLIENT_PROXY) == []
    assert one.machine.drops[DropReason.UNKNOWN_CLIENT] == 1
    for up in (register, key):
        assert one.machine.route(up[:16], CLIENT_PROXY) is None
        assert [item.payload for item in one.feed(up, CLIENT_PROXY)] == [up]
    assert one.feed(datagram(ClientKey(b"blob", b"sign"), 0xC2C2), CLIENT_PROXY) == []


def test_a_downstream_with_several_addresses_may_register_from_another_one() -> None:
    """As with IPv6, where the kernel chooses among an interface's addresses: nothing ever comes from that of -s."""
    one = bench(Mode.SERVER)
    other, port = raw("10.99.3.30"), 40_000
    assert one.feed(datagram(Complete(1, 0), 0xC0C0), other) == []
    assert one.feed(datagram(Register(Timestamp()), 0xC0C0), raw("10.99.3.31", port)) == []
    for message in (Register(Timestamp()), Complete(1, 0)):
        assert [item.to for item in one.feed(datagram(message, 0xC0C0), other)] == [SERVER]
    assert one.machine.route(datagram(Complete(1, 0), 0xC0C0)[:16], other) is not None
    assert len(one.notes("uftp-downstream-alias")) == 1
    for number in range(ALIASES):
        one.feed(datagram(Register(Timestamp()), 0xC0C0), raw(f"10.99.3.{40 + number}"))
    assert len(one.notes("uftp-downstream-alias")) == ALIASES


def test_who_registers_after_the_downstream_has_answered_is_a_stranger() -> None:
    one = bench(Mode.SERVER)
    assert one.machine.route(datagram(Complete(1, 0), 0xC0C0)[:16], CLIENT_PROXY) is not None
    assert one.feed(datagram(Register(Timestamp()), 0xC0C0), raw("10.99.3.30")) == []


def test_who_was_taken_for_the_downstream_is_a_stranger_as_soon_as_that_answers_itself() -> None:
    one, other = bench(Mode.SERVER), raw("10.99.3.30")
    answer = datagram(Register(Timestamp()), 0xC0C0)
    assert [item.to for item in one.feed(answer, other)] == [SERVER]
    generation = one.machine.generation
    assert [item.to for item in one.feed(answer, CLIENT_PROXY)] == [SERVER]
    assert one.machine.generation != generation
    assert one.feed(answer, other) == []
    assert one.machine.route(datagram(Complete(1, 0), 0xC0C0)[:16], other) is None


PAST_REGISTRATION = [FileInfo(1, 0, 5, 0, Timestamp(), b"name"), FileSeg(1, 2, 3, b"data"), Encrypted(1, b"", b"pay")]


@pytest.mark.parametrize("routed", [False, True])
@pytest.mark.parametrize("message", PAST_REGISTRATION, ids=lambda message: type(message).__name__)
def test_who_registers_when_the_server_has_come_to_its_files_is_a_stranger(message: object, routed: bool) -> None:
    one = bench(Mode.SERVER)
    first, second, third = raw("10.99.3.30"), raw("10.99.3.31"), raw("10.99.3.32")
    one.feed(datagram(Register(Timestamp()), 0xC0C0), first)
    one.feed(datagram(RegConf((0xC0C0,))))
    assert len(one.feed(datagram(Register(Timestamp()), 0xC0C0), second)) == 1
    if not routed or one.machine.route(datagram(message)[:16], SERVER) is None:
        one.feed(datagram(message))
    assert one.feed(datagram(Register(Timestamp()), 0xC0C0), third) == []
    for known in (first, second):
        assert [item.to for item in one.feed(datagram(Complete(1, 0), 0xC0C0), known)] == [SERVER]


def test_an_open_server_proxy_passes_up_what_anybody_sends() -> None:
    one = bench(Mode.SERVER, open_upstream=True)
    assert len(one.feed(datagram(Complete(1, 0), 5), raw("10.99.1.66"))) == 1


def test_an_announcement_from_somebody_else_does_not_go_downstream() -> None:
    one = bench(Mode.SERVER)
    assert one.announce(source=raw("10.99.1.66")) == []
    one = bench()
    assert one.announce(source=raw("10.99.1.66")) == []
    assert one.machine.drops[DropReason.UNKNOWN_CLIENT] == 1


@pytest.mark.parametrize("message", [Complete(1, 0), Abort(0, b"x"), Status(1, 0, b"")], ids=lambda m: type(m).__name__)
def test_a_stranger_to_the_group_is_not_heard(message: object) -> None:
    one = bench()
    assert one.from_client(message) == []
    assert one.wait(GRTT_NS) == []
    assert one.machine.drops[DropReason.UNKNOWN_CLIENT] == 1


@pytest.mark.parametrize(
    "message",
    [Unknown(200, bytes((200, 1, 0, 0))), Encrypted(1, b"", b"xxxx"), DoneConf()],
    ids=lambda message: type(message).__name__,
)
def test_what_a_known_client_says_and_no_handler_takes_goes_up_unchanged(message: object) -> None:
    one = bench()
    one.register()
    one.wait(GRTT_NS)
    up = datagram(message, CLIENT_UID)
    assert [(item.to, item.payload) for item in one.feed(up, CLIENT)] == [(SERVER, up)]


@pytest.mark.parametrize(
    "message",
    [Abort(0, b"x"), KeyInfoAck(bytes(12)), FileInfoAck(1, 0, Timestamp()), Status(1, 0, b""), Complete(1, 0)],
)
def test_in_an_encrypted_group_a_client_must_seal_its_answers(message: object) -> None:
    cipher = make_cipher(4, 3, 1, 1)
    scene = chain(1, cipher=cipher, ring=make_ring(cipher))
    assert scene.run()
    heard = len(scene.server.heard)
    scene.clients[0].say(message, clear=True)
    scene.settle(0.5)
    assert scene.below.machine.drops[DropReason.IN_THE_CLEAR] == 1
    assert len(scene.server.heard) == heard


@pytest.mark.parametrize("spec", [(4, 3, 1, 1), (4, 3, 2, 3, True), (6, 3, 3, 1)])
def test_a_false_seal_of_a_client_is_counted_and_goes_nowhere(spec: tuple[int, ...]) -> None:
    cipher = make_cipher(*spec)
    scene = chain(1, cipher=cipher, ring=make_ring(cipher))
    assert scene.run()
    client, heard = scene.clients[0], len(scene.server.heard)
    payload = [sent for sent in scene.world.sent if sent[1] == client.address][-1][2]
    scene.world.send(client.address, payload[:-1] + bytes((payload[-1] ^ 1,)), client.upstream)
    scene.settle(0.5)
    assert scene.below.machine.drops[DropReason.NOT_AUTHENTIC] == 1
    assert len(scene.server.heard) == heard


def test_an_unknown_sealed_message_of_a_client_goes_nowhere() -> None:
    cipher = make_cipher(4, 3, 1, 1)
    scene = chain(1, cipher=cipher, ring=make_ring(cipher))
    assert scene.run()
    heard = len(scene.server.heard)
    scene.clients[0].say(Done(1, 0))
    scene.settle(0.5)
    assert scene.below.machine.drops[DropReason.UNKNOWN_FUNCTION] == 1
    assert len(scene.server.heard) == heard


def test_sealed_data_reaches_clients_unchanged_unless_it_is_signed_with_keys() -> None:
    for spec, unchanged in (((4, 3, 1, 1), True), ((6, 3, 3, 3), True), ((4, 3, 2, 3, True), False)):
        cipher = make_cipher(*spec)
        scene = chain(1, cipher=cipher, ring=make_ring(cipher))
        assert scene.run()
        scene.settle(0.1)
        came = [one[2] for one in scene.world.sent if one[1] == SERVER and one[2][1] == Function.ENCRYPTED]
        left = [one[2] for one in scene.world.sent if one[1] == CLIENT_PROXY and one[3] == PRIVATE and one[2][1] == 18]
        assert len(came) == len(left)
        assert (came == left) is unchanged
        assert scene.clients[0].spoiled == 0


def test_a_spoiled_signature_of_the_server_goes_no_further() -> None:
    cipher = make_cipher(4, 3, 2, 3, True)
    scene = chain(1, cipher=cipher, ring=make_ring(cipher))
    assert scene.run()
    payload = [one[2] for one in scene.world.sent if one[1] == SERVER and one[2][1] == Function.ENCRYPTED][-1]
    scene.world.send(scene.above.address, payload[:40] + bytes((payload[40] ^ 1,)) + payload[41:], CLIENT_PROXY)
    scene.settle(0.5)
    assert scene.below.machine.drops[DropReason.NOT_AUTHENTIC] == 1


@pytest.mark.parametrize("spec", [(4, 3, 1, 1), (6, 3, 3, 2), (4, 3, 2, 3, True), (4, 3, 2, 1, True)])
def test_clients_of_a_response_proxy_complete_an_encrypted_transfer(spec: tuple[int, ...]) -> None:
    cipher = make_cipher(*spec)
    scene = response(3, cipher=cipher, ring=make_ring(cipher, ecdh=True))
    assert scene.run()
    assert [client.data for client in scene.clients] == 3 * [scene.server.data]
    from_proxy = {one[2][1] for one in scene.world.sent if one[1] == scene.below.address and one[3] != SERVER}
    assert from_proxy == {Function.KEYINFO}
