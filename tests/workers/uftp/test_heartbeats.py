"""Heartbeats: sent, answered, challenged; and the downstream that moves."""

from __future__ import annotations

import random

import pytest

from tests.kit.uftp_bench import Bench
from tests.kit.uftp_scene import CLIENT_PROXY, SERVER_PROXY, make_cipher, make_ring
from tests.kit.uftp_world import SECOND, ProxyNode, World, raw, settings_for
from workers.contract.uftp import DropReason, HeartbeatSettings, Mode
from workers.deadlines import NEVER
from workers.uftp import keys
from workers.uftp.actions import Moved
from workers.uftp.fingerprint import fingerprint
from workers.uftp.hashes import SHA1
from workers.uftp.header import Header
from workers.uftp.heartbeat import HeartbeatRequest, HeartbeatResponse, HeartbeatResult
from workers.uftp.heartbeats import SIGNED_AT_ONCE
from workers.uftp.keyring import KeyRing

KEY = keys.make_rsa_key(1024, random.Random(1).randbytes)
RING = KeyRing((KEY,), random.Random(2).randbytes)
PLACE, ELSEWHERE = raw("192.0.2.1", 20001), raw("192.0.2.1", 29999)


def beats(message: HeartbeatRequest | HeartbeatResponse) -> bytes:
    return Header(message.FUNCTION, 7).encode() + message.encode()


def sender(**changes: object) -> Bench:
    targets = (SERVER_PROXY, PLACE)
    return Bench(ring=RING, changes={"heartbeats": HeartbeatSettings(targets, 20 * SECOND)} | changes)


def seeker() -> Bench:
    return Bench(Mode.SERVER, changes={"downstream_fingerprint": fingerprint(KEY.public.blob)})


def ask(bench: Bench, message: HeartbeatRequest, source: bytes = PLACE) -> HeartbeatResponse:
    (sent,) = bench.feed(beats(message), source)
    assert (sent.to, sent.header.source_id, sent.header.group_id) == (source, bench.uid, 0)
    assert isinstance(sent.message, HeartbeatResponse)
    return sent.message


def proof(nonce: int, key: keys.PrivateKey = KEY) -> HeartbeatRequest:
    return HeartbeatRequest(nonce, key.public.blob, key.sign(nonce.to_bytes(4), SHA1))


def test_plain_heartbeats_go_to_every_target_at_once_and_every_interval() -> None:
    bench = sender()
    for _ in range(3):
        sent = bench.wait(0)
        assert [one.to for one in sent] == [SERVER_PROXY, PLACE]
        assert {one.message for one in sent} == {HeartbeatRequest()}
        assert {len(one.payload) for one in sent} == {28}
        assert bench.wait(20 * SECOND - 1) == []
        bench.now_ns += 1


def test_without_targets_there_is_nothing_to_wake_for() -> None:
    assert Bench().machine.next_deadline_ns() == NEVER


def test_a_challenge_of_a_target_is_answered_with_key_and_signature() -> None:
    (sent,) = sender().feed(beats(HeartbeatResponse(HeartbeatResult.CHALLENGE, 0x12345678)), PLACE)
    assert sent.to == PLACE
    assert sent.message.nonce == 0x12345678
    assert sent.message.key_blob == KEY.public.blob
    KEY.public.verify(sent.message.signature, bytes.fromhex("12345678"), SHA1)


def test_others_get_no_signature_whatever_they_ask() -> None:
    bench = sender()
    assert bench.feed(beats(HeartbeatResponse(HeartbeatResult.CHALLENGE, 5)), ELSEWHERE) == []
    assert bench.machine.drops[DropReason.NOT_FOR_US] == 1


def test_signatures_are_rationed() -> None:
    bench = sender()
    sent = [bench.feed(beats(HeartbeatResponse(HeartbeatResult.CHALLENGE, 5)), PLACE) for _ in range(50)]
    assert sum(map(len, sent)) == SIGNED_AT_ONCE
    assert bench.machine.drops[DropReason.RATE_LIMITED] == 50 - SIGNED_AT_ONCE


@pytest.mark.parametrize(("result", "event"), [(1, "uftp-heartbeat-ok"), (0, "uftp-heartbeat-failed")])
def test_other_answers_are_only_noted(result: int, event: str) -> None:
    bench = sender()
    assert bench.feed(beats(HeartbeatResponse(result)), PLACE) == []
    assert bench.notes(event)[0].fields == (PLACE,)


@pytest.mark.parametrize("mode", list(Mode))
def test_without_a_fingerprint_every_heartbeat_is_welcome(mode: Mode) -> None:
    bench = Bench(mode, changes={"downstream": CLIENT_PROXY})
    assert ask(bench, HeartbeatRequest()) == HeartbeatResponse(HeartbeatResult.OK)


def test_the_downstream_is_found_by_the_key_that_signs_the_challenge() -> None:
    bench = seeker()
    assert bench.announce() == []
    assert bench.machine.drops[DropReason.NO_DOWNSTREAM] == 1
    challenge = ask(bench, HeartbeatRequest())
    assert challenge.result == HeartbeatResult.CHALLENGE
    assert challenge.nonce
    assert ask(bench, proof(challenge.nonce)) == HeartbeatResponse(HeartbeatResult.OK)
    assert bench.taken(Moved) == [Moved(PLACE)]
    assert [one.to for one in bench.announce()] == [PLACE]
    assert ask(bench, HeartbeatRequest()) == HeartbeatResponse(HeartbeatResult.OK)


@pytest.mark.parametrize("case", ["another key", "another nonce signed", "no key", "garbage"])
def test_whoever_does_not_prove_the_key_is_refused(case: str) -> None:
    bench = seeker()
    nonce = ask(bench, HeartbeatRequest()).nonce
    other = make_ring(make_cipher(4, 3, 1, 1)).first()
    message = {
        "another key": proof(nonce, other),
        "another nonce signed": HeartbeatRequest(nonce, KEY.public.blob, proof(nonce ^ 1).signature),
        "no key": HeartbeatRequest(nonce),
        "garbage": HeartbeatRequest(nonce, KEY.public.blob, bytes(8)),
    }[case]
    assert ask(bench, message) == HeartbeatResponse(HeartbeatResult.FAILED)
    assert bench.taken(Moved) == []
    assert ask(bench, proof(nonce)) == HeartbeatResponse(HeartbeatResult.OK)


def test_a_stale_or_replayed_proof_is_challenged() -> None:
    bench = seeker()
    nonce = ask(bench, HeartbeatRequest()).nonce
    assert ask(bench, proof(nonce ^ 1)) == HeartbeatResponse(HeartbeatResult.CHALLENGE, nonce)
    ask(bench, proof(nonce))
    again = ask(bench, proof(nonce), ELSEWHERE)
    assert again.result == HeartbeatResult.CHALLENGE
    assert again.nonce != nonce


def test_the_downstream_moves_and_its_groups_go_with_it() -> None:
    bench = seeker()
    ask(bench, proof(ask(bench, HeartbeatRequest()).nonce))
    bench.announce()
    generation = bench.machine.generation
    nonce = ask(bench, HeartbeatRequest(), ELSEWHERE).nonce
    assert ask(bench, proof(nonce), ELSEWHERE) == HeartbeatResponse(HeartbeatResult.OK)
    assert bench.machine.generation != generation
    assert [one.to for one in bench.announce()] == [ELSEWHERE]
    assert ask(bench, HeartbeatRequest()).result == HeartbeatResult.CHALLENGE


def test_another_workers_machine_learns_where_the_downstream_is() -> None:
    bench = seeker()
    bench.machine.move_downstream(PLACE)
    generation = bench.machine.generation
    bench.machine.move_downstream(PLACE)
    assert bench.machine.generation == generation
    assert bench.notes("uftp-downstream") == []
    assert [one.to for one in bench.announce()] == [PLACE]


def test_two_proxies_find_each_other() -> None:
    world = World()
    above = settings_for(Mode.SERVER, 1, SERVER_PROXY, downstream_fingerprint=fingerprint(KEY.public.blob))
    below = settings_for(Mode.CLIENT, 2, CLIENT_PROXY, heartbeats=HeartbeatSettings((SERVER_PROXY,), SECOND))
    upper, lower = ProxyNode(world, SERVER_PROXY, above), ProxyNode(world, CLIENT_PROXY, below, RING)
    world.add(upper, "B")
    world.add(lower, "B")
    world.run(SECOND // 2)
    assert upper.moved == [CLIENT_PROXY]
    assert [len(payload) for _, _, payload, _ in world.sent] == [28, 24, 28 + 136 + 128, 24]
    world.run(2 * SECOND)
    assert len(lower.said("uftp-heartbeat-ok")) >= 2
