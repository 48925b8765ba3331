"""The machine as its caller sees it: drops, ways for datagrams untouched, deadlines; and any bytes at all."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.examples import examples
from tests.kit.uftp_bench import CLIENT, GROUP, GRTT, GRTT_NS, SIZE, Bench
from tests.kit.uftp_scene import CLIENT_PROXY, SERVER, SERVER_PROXY, SERVER_UID, chain, make_cipher, make_ring, response
from tests.kit.uftp_world import MS, PRIVATE, SECOND, raw, settings_for
from workers.contract.uftp import DropReason, Fact, HeartbeatSettings, Mode
from workers.deadlines import NEVER
from workers.uftp.actions import Arrival, GroupKey, Relay, Send
from workers.uftp.finish import Complete, Done
from workers.uftp.header import VERSION, Function, Header
from workers.uftp.keyring import KeyRing
from workers.uftp.machine import Machine
from workers.uftp.proxykey import KeyRequest, ProxyKey
from workers.uftp.quantise import encode_grtt
from workers.uftp.transfer import FileSeg

KEY = GroupKey(GROUP, 0)


def bench(mode: Mode = Mode.CLIENT, **changes: object) -> Bench:
    one = Bench(mode, changes={"downstream": CLIENT_PROXY if mode is Mode.SERVER else None} | changes)
    one.announce()
    return one


def head(function: int = Function.FILESEG, uid: int = SERVER_UID, **fields: int) -> bytes:
    values = {"group_id": GROUP, "sequence": 5, "grtt": GRTT, "group_size": SIZE} | fields
    return Header(function, uid, **values).encode()


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", DropReason.VERSION),
        (b"\x30" + bytes(40), DropReason.VERSION),
        (b"\x50" + bytes(40), DropReason.VERSION),
        (bytes((VERSION,)) + bytes(18), DropReason.SHORT),
        (head(Function.DONE, group_id=99) + Done(1, 0).encode(), DropReason.NO_GROUP),
        (head(Function.PROXY_KEY, group_id=0) + ProxyKey(1, b"", b"").encode(), DropReason.NOT_FOR_US),
        (head(Function.HB_REQ) + bytes((14, 9, 0, 0)), DropReason.MALFORMED),
        (head(Function.KEYINFO) + bytes((5, 9, 0, 0)), DropReason.MALFORMED),
    ],
)
def test_what_is_not_used_is_counted_by_its_reason(datagram: bytes, reason: DropReason) -> None:
    one = bench()
    assert one.feed(datagram) == []
    assert dict(one.machine.drops) == {reason: 1}


@pytest.mark.parametrize("mode", list(Mode))
def test_what_comes_from_our_own_address_is_not_heard(mode: Mode) -> None:
    one = bench(mode)
    assert one.feed(head(Function.DONE) + Done(1, 0).encode(), one.address) == []
    assert one.machine.drops[DropReason.FROM_SELF] == 1


def test_only_the_first_worker_answers_what_belongs_to_no_group() -> None:
    targets = HeartbeatSettings((SERVER,))
    settings_ = settings_for(Mode.RESPONSE, 9, CLIENT_PROXY, heartbeats=targets)
    other = Machine(settings_, 9, KeyRing((), bytes), bytes, 0, beats=False)
    assert other.next_deadline_ns() == NEVER
    other.receive(head(Function.KEY_REQ, group_id=0) + KeyRequest().encode(), Arrival(CLIENT, PRIVATE, 1), 0)
    assert other.actions == []
    assert other.drops[DropReason.NOT_FOR_US] == 1


@pytest.mark.parametrize("function", [Function.FILESEG, Function.DONE, Function.REG_CONF, 200])
def test_a_servers_datagrams_have_a_way_of_their_own(function: int) -> None:
    assert bench().machine.route(head(function), SERVER) == Relay(PRIVATE, KEY, GRTT, SIZE)
    assert bench(Mode.SERVER).machine.route(head(function), SERVER) == Relay(CLIENT_PROXY, KEY, GRTT, SIZE)
    assert bench(Mode.RESPONSE).machine.route(head(function), SERVER) == Relay(b"", KEY, GRTT, SIZE)


def test_what_the_machine_must_see_has_none() -> None:
    one = bench()
    steered = (Function.ABORT, Function.KEYINFO)
    for function in (Function.ANNOUNCE, Function.FILEINFO, *steered, Function.HB_REQ, Function.KEY_REQ):
        assert one.machine.route(head(function), SERVER) is None
    assert one.machine.route(head(group_id=9), SERVER) is None
    assert one.machine.route(head(group_instance=1), SERVER) is None
    assert one.machine.route(head(), raw("10.99.1.77")) is None
    assert one.machine.route(head(uid=3), SERVER) is None
    assert one.machine.route(head(version=0x50), SERVER) is None
    assert Bench(Mode.SERVER).machine.route(head(), SERVER) is None


def test_a_server_proxy_has_a_way_up_for_its_downstream_only() -> None:
    one = bench(Mode.SERVER)
    assert one.machine.route(head(Function.STATUS, 0xC0C0), CLIENT_PROXY) == Relay(SERVER, KEY, -1, -1)
    assert one.machine.route(head(Function.STATUS, 0xC0C0), raw("10.99.1.77")) is None
    assert one.machine.route(head(Function.ABORT), SERVER) == Relay(CLIENT_PROXY, KEY, GRTT, SIZE)


@pytest.mark.parametrize(("spec", "routed"), [((4, 3, 1, 1), True), ((6, 3, 3, 1), True), ((4, 3, 2, 3, True), False)])
def test_sealed_data_has_a_way_unless_each_datagram_is_signed_anew(spec: tuple[int, ...], routed: bool) -> None:
    cipher = make_cipher(*spec)
    scene = chain(1, cipher=cipher, ring=make_ring(cipher))
    assert scene.run()
    payload = [one[2] for one in scene.world.sent if one[1] == SERVER and one[2][1] == Function.ENCRYPTED][-1]
    machine = scene.below.machine
    assert (machine.route(payload[:16], SERVER_PROXY) is not None) is routed
    confirm = Header(Function.REG_CONF, SERVER_UID, scene.server.group_id).encode()
    assert machine.route(confirm, SERVER_PROXY) is None
    assert scene.above.machine.route(payload[:16], SERVER) is not None


def test_a_way_is_what_receive_does() -> None:
    for mode in (Mode.CLIENT, Mode.SERVER):
        one = bench(mode)
        relay = one.machine.route(head(), SERVER)
        datagram = head() + FileSeg(1, 0, 0, b"data").encode()
        (sent,) = one.feed(datagram)
        assert relay is not None
        assert Send(sent.payload, sent.to) == Send(datagram, relay.to)


def test_datagrams_that_go_their_own_way_keep_the_group_alive_and_bring_its_round_trip_time() -> None:
    one = bench()
    relay = one.machine.route(head(grtt=encode_grtt(500 * MS)), SERVER)
    assert relay is not None
    for _ in range(5):
        one.wait(2 * SECOND)
        one.machine.touch(relay, one.now_ns)
    assert one.machine.facts[Fact.GROUPS] == 1
    one.register(1)
    assert one.wait(500 * MS) == []
    assert len(one.wait(100 * MS)) == 1
    one.wait(60 * SECOND)
    assert one.machine.facts[Fact.GROUPS] == 0
    one.machine.touch(relay, one.now_ns)


def test_the_generation_changes_when_a_group_goes() -> None:
    one = bench()
    before = one.machine.generation
    one.announce(group_id=7)
    assert one.machine.generation == before
    one.wait(60 * SECOND)
    assert one.machine.generation != before
    assert one.machine.route(head(), SERVER) is None


def test_a_restarted_transfer_is_another_group() -> None:
    one = bench()
    one.register(1)
    one.announce(group_instance=1)
    assert one.from_client(Complete(1, 0), 1, group_instance=1) == []
    assert one.machine.drops[DropReason.UNKNOWN_CLIENT] == 1


def test_two_servers_are_two_groups_with_their_own_ways_back() -> None:
    one = bench()
    other = raw("10.99.1.50")
    one.announce(group_id=2, source=other, uid=0x6666)
    one.register(1)
    one.from_client(Complete(0, 0), 1, group_id=2)
    one.from_client(Complete(0, 0), 1)
    assert {sent.to for sent in one.wait(GRTT_NS)} == {SERVER}


def test_a_refused_announcement_is_one_line_in_the_log() -> None:
    one = Bench(changes={"servers": ()})
    one.announce()
    assert len(one.notes("uftp-group-refused")) == 1
    assert one.notes("uftp-rejected") == []
    assert one.machine.drops[DropReason.NOT_ALLOWED] == 1
    one.feed(Header(Function.ANNOUNCE, SERVER_UID, GROUP + 1).encode() + b"\x01\xff" + bytes(30))
    assert len(one.notes("uftp-rejected")) == 1


def test_the_log_level_can_be_changed() -> None:
    one = bench()
    one.machine.log_level = 0
    one.register(5)
    assert one.notes("uftp-register-in") == []
    one.machine.log_level = 2
    one.register(6)
    assert len(one.notes("uftp-register-in")) == 1


def samples() -> list[bytes]:
    """Return datagrams of whole transfers, of every kind and in every mode."""
    found: dict[tuple[int, int], bytes] = {}
    for cipher in (None, make_cipher(4, 3, 1, 3, True), make_cipher(6, 3, 3, 1), make_cipher(4, 3, 2, 1, True)):
        ring = make_ring(cipher, ecdh=True) if cipher else None
        for scene in (chain(1, cipher=cipher, ring=ring), response(1, cipher=cipher, ring=ring)):
            scene.run()
            found |= {(payload[1], len(payload)): payload for _, _, payload, _ in scene.world.sent}
    return list(found.values())


SAMPLES = samples()
SOURCES = [SERVER, SERVER_PROXY, CLIENT_PROXY, CLIENT, b"", raw("192.0.2.9")]


@examples(100)
@given(data=st.data())
def test_no_bytes_make_the_machine_raise(data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(list(Mode)))
    one = Bench(mode, changes={"downstream": CLIENT_PROXY if mode is Mode.SERVER else None})
    for _ in range(data.draw(st.integers(1, 8))):
        sample = bytearray(data.draw(st.sampled_from(SAMPLES)))
        for _ in range(data.draw(st.integers(0, 3))):
            sample[data.draw(st.integers(0, len(sample) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.one_of(st.just(len(sample)), st.integers(0, len(sample))))
        arrival = Arrival(data.draw(st.sampled_from(SOURCES)), PRIVATE, 1)
        one.machine.receive(bytes(sample[:cut]), arrival, one.now_ns)
        one.now_ns += data.draw(st.integers(0, SECOND))
        one.machine.expire(one.now_ns)
    assert one.machine.next_deadline_ns() > one.now_ns


def test_every_sample_goes_through_a_machine_that_knows_its_group_in_any_order() -> None:
    chance = random.Random(4)
    for mode in Mode:
        one = Bench(mode, changes={"downstream": CLIENT_PROXY if mode is Mode.SERVER else None})
        for _ in range(300):
            one.machine.receive(chance.choice(SAMPLES), Arrival(chance.choice(SOURCES), PRIVATE, 1), one.now_ns)
            one.now_ns += chance.randrange(GRTT_NS)
            one.machine.expire(one.now_ns)
        one.now_ns += 3_700 * SECOND
        one.machine.expire(one.now_ns)
        assert one.machine.facts[Fact.GROUPS] == 0
        assert one.machine.facts[Fact.CLIENTS] == 0
