"""What the proxy sends under its own name, and under the server's."""

from __future__ import annotations

from tests.kit.uftp_bench import GRTT_NS, Bench
from tests.kit.uftp_scene import CLIENT_PROXY, CLIENT_PROXY_UID, SERVER_UID, chain, make_cipher, make_ring
from tests.kit.uftp_world import MS, PRIVATE
from workers.contract.uftp import DropReason
from workers.uftp.abort import TEXT_BYTES, Abort
from workers.uftp.header import Function
from workers.uftp.station import ABORTS_AT_ONCE, KEYINFOS_AT_ONCE


def test_messages_of_our_own_to_clients_have_numbers_of_their_own_and_the_servers_uid() -> None:
    bench = Bench()
    bench.announce()
    numbers = []
    for host in (5, 6, 7):
        (sent,) = bench.from_server(Abort(host, b"x"), sequence=900)
        assert sent.header.source_id == SERVER_UID
        numbers.append(sent.header.sequence)
    assert numbers == [0, 1, 2]


def test_an_abort_to_the_server_is_sealed_once_the_group_has_a_key() -> None:
    cipher = make_cipher(4, 3, 1, 1)
    scene = chain(1, cipher=cipher, ring=make_ring(cipher))
    assert scene.run()
    scene.clients[0].say(Abort(0, b"gone"))
    scene.world.run(scene.world.now_ns + 100 * MS)
    assert scene.server.aborted == [Abort(scene.clients[0].uid, b"gone")]
    head, _ = scene.server.heard[-1]
    assert (head.function, head.source_id) == (Function.ENCRYPTED, CLIENT_PROXY_UID)


def test_aborts_are_rationed() -> None:
    bench = Bench()
    bench.announce()
    sent = [bench.register(bench.uid) for _ in range(2 * ABORTS_AT_ONCE)]
    assert sum(map(len, sent)) == ABORTS_AT_ONCE
    assert bench.machine.drops[DropReason.RATE_LIMITED] == ABORTS_AT_ONCE
    bench.wait(GRTT_NS)
    assert len(bench.register(bench.uid)) == 1


def test_a_text_from_the_network_goes_on_as_it_is_and_no_longer_than_fits() -> None:
    bench = Bench()
    bench.announce()
    text = bytes(range(1, 256)) + 45 * b"x"
    (sent,) = bench.from_server(Abort(5, text))
    assert sent.message.text == text
    assert len(text) == TEXT_BYTES


def test_the_key_for_many_clients_goes_out_in_bursts_that_a_socket_can_hold() -> None:
    cipher = make_cipher(4, 3, 1, 1)
    scene = chain(200, cipher=cipher, ring=make_ring(cipher), server={"block_bytes": 104, "data": b"data"})
    assert scene.run()
    at = [
        when
        for when, source, payload, to in scene.world.sent
        if source == CLIENT_PROXY and to == PRIVATE and payload[1] == 5
    ]
    assert len(at) >= 100
    assert max(at.count(when) for when in at) <= KEYINFOS_AT_ONCE
    span_ms = (max(at) - min(at)) // MS
    assert span_ms >= (100 - KEYINFOS_AT_ONCE) // 8
