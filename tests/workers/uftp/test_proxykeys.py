"""A response proxy's keys, for those who ask."""

from __future__ import annotations

import pytest

from tests.kit.uftp_bench import Bench
from tests.kit.uftp_scene import CLIENT_PROXY, make_cipher, make_ring
from tests.kit.uftp_world import PUBLIC, SECOND, raw
from workers.contract.uftp import DropReason, Mode
from workers.deadlines import NEVER
from workers.uftp.hashes import SHA1
from workers.uftp.header import Header
from workers.uftp.proxykey import KeyRequest, ProxyKey
from workers.uftp.proxykeys import ANSWERS_A_SECOND, ANSWERS_AT_ONCE, PAUSE_NS

ASK = Header(KeyRequest.FUNCTION, 0x2222).encode() + KeyRequest().encode()
CLIENT = raw("10.99.5.11")


@pytest.mark.parametrize("ecdh", [False, True])
def test_they_are_multicast_on_every_public_address_with_a_signed_nonce(ecdh: bool) -> None:
    ring = make_ring(make_cipher(4, 3, 1, 1), ecdh)
    other = raw("230.4.4.2")
    bench = Bench(Mode.RESPONSE, ring=ring, changes={"public_groups": (PUBLIC, other)})
    first, second = bench.feed(ASK, CLIENT)
    assert (first.to, second.to) == (PUBLIC, other)
    message = first.message
    assert isinstance(message, ProxyKey)
    assert message.key_blob == ring.first().public.blob
    assert message.ecdh_blob == (ring.ecdh.public.blob if ring.ecdh else b"")
    ring.first().public.verify(message.signature, message.nonce.to_bytes(4), SHA1)


def test_a_few_who_ask_are_answered_at_once_and_all_others_together_a_moment_later() -> None:
    bench = Bench(Mode.RESPONSE)
    for _ in range(ANSWERS_AT_ONCE):
        assert len(bench.feed(ASK, CLIENT)) == 1
    for _ in range(5):
        assert bench.feed(ASK, CLIENT) == []
    assert bench.machine.drops[DropReason.RATE_LIMITED] == 4
    assert bench.wait(PAUSE_NS - 1) == []
    assert len(bench.wait(1)) == 1
    assert bench.wait(10 * SECOND) == []
    assert bench.machine.next_deadline_ns() == NEVER
    assert len(bench.feed(ASK, CLIENT)) == 1


def test_whoever_asks_without_end_gets_so_many_answers_a_second() -> None:
    bench = Bench(Mode.RESPONSE)
    answers = sum(len(bench.feed(ASK, CLIENT)) + len(bench.wait(SECOND // 100)) for _ in range(1000))
    assert answers <= ANSWERS_AT_ONCE + 10 * ANSWERS_A_SECOND


@pytest.mark.parametrize("mode", [Mode.SERVER, Mode.CLIENT])
def test_other_modes_have_nothing_to_show(mode: Mode) -> None:
    bench = Bench(mode, changes={"downstream": CLIENT_PROXY})
    assert bench.feed(ASK, CLIENT) == []
    assert bench.machine.drops[DropReason.NOT_FOR_US] == 1
