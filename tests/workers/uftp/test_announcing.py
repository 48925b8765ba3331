"""ANNOUNCE: which groups are taken, which refused, and what goes on."""

from __future__ import annotations

import dataclasses
import random

import pytest

from tests.kit.uftp_bench import GROUP, GRTT_NS, Bench, announcement, of
from tests.kit.uftp_scene import CLIENT_PROXY, SERVER, SERVER_UID, make_cipher, make_ring
from tests.kit.uftp_server import Cipher, Server
from tests.kit.uftp_world import PRIVATE, PUBLIC, World, raw
from workers.contract.settings import Address
from workers.contract.uftp import CryptoSettings, DropReason, Fact, Mode, ServerEntry
from workers.uftp import keys, seal
from workers.uftp.abort import Abort
from workers.uftp.actions import Join
from workers.uftp.extensions import EncInfo, UnknownExtension
from workers.uftp.fingerprint import format_fingerprint
from workers.uftp.header import Function, Header
from workers.uftp.keyring import KeyRing
from workers.uftp.keys import decode_public_key
from workers.uftp.refusals import REMEMBERED_NS

RSA_GCM = (6, 3, 3, 1)
ECDSA_GCM = (6, 3, 3, 3)


def server_bench(**changes: object) -> Bench:
    return Bench(Mode.SERVER, changes={"downstream": CLIENT_PROXY} | changes)


def encrypted(cipher: Cipher) -> bytes:
    """Return the ANNOUNCE datagram of an encrypted group."""
    world = World()
    server = Server(world, SERVER, SERVER_UID, frozenset(), group_id=GROUP, cipher=cipher)
    server.announce()
    return world.sent[0][2]


def refusal(bench: Bench, sent: list) -> Abort:
    """Return the one ABORT that was sent to the server, and see that nothing else was done."""
    assert [one.to for one in sent] == [SERVER]
    assert sent[0].header.source_id == bench.uid
    assert isinstance(sent[0].message, Abort)
    assert sent[0].message.host == 0
    assert bench.machine.facts[Fact.GROUPS] == 0
    return sent[0].message


def test_a_client_proxy_multicasts_it_unchanged_on_the_public_address() -> None:
    bench = Bench()
    sent = bench.announce()
    assert [one.to for one in sent] == [PUBLIC]
    assert sent[0].message == announcement()
    assert sent[0].header.source_id == SERVER_UID
    assert not bench.taken(Join)


def test_a_server_proxy_sends_it_downstream_and_joins_the_private_address() -> None:
    bench = server_bench()
    sent = bench.announce()
    assert [one.to for one in sent] == [CLIENT_PROXY]
    assert bench.taken(Join) == [Join(PRIVATE, ())]


def test_a_server_proxy_takes_no_groups_from_its_own_downstream() -> None:
    bench = server_bench()
    (sent,) = bench.announce(source=CLIENT_PROXY)
    assert (sent.to, sent.message.host) == (CLIENT_PROXY, 0)
    assert bench.machine.facts[Fact.GROUPS] == 0


def test_a_response_proxy_joins_and_sends_nothing() -> None:
    bench = Bench(Mode.RESPONSE)
    assert bench.announce() == []
    assert bench.taken(Join) == [Join(PRIVATE, ())]
    assert bench.machine.facts[Fact.GROUPS] == 1


def test_a_repeated_one_goes_on_and_is_one_group_still() -> None:
    bench = Bench()
    bench.announce()
    assert [one.to for one in bench.announce()] == [PUBLIC]
    assert bench.machine.facts[Fact.GROUPS] == 1
    bench.announce(group_instance=1)
    assert bench.machine.facts[Fact.GROUPS] == 2


def test_lists_of_clients_are_passed_on_whatever_they_say() -> None:
    bench = Bench()
    for uids in ((1, 2), (3,)):
        assert bench.announce(uids=uids)[0].message.uids == uids


def test_unknown_extensions_are_passed_on() -> None:
    bench = Bench()
    extension = UnknownExtension(99, bytes((99, 2)) + bytes(6))
    assert bench.announce(extension)[0].message.extensions == (extension,)


def test_group_0_is_no_group() -> None:
    bench = Bench()
    assert bench.announce(group_id=0) == []
    assert bench.machine.facts[Fact.GROUPS] == 0


@pytest.mark.parametrize("cut", [20, 24, 30, 39])
def test_one_that_is_cut_short_is_not_answered(cut: int) -> None:
    bench = Bench()
    datagram = Header(Function.ANNOUNCE, SERVER_UID, GROUP).encode() + announcement().encode()
    assert bench.feed(datagram[:cut]) == []
    assert bench.machine.drops[DropReason.MALFORMED] == 1
    assert bench.machine.facts[Fact.GROUPS] == 0


def test_one_whose_header_has_no_room_for_its_addresses_is_refused() -> None:
    bench = Bench()
    body = bytearray(announcement().encode())
    body[1] = 5
    refusal(bench, bench.feed(Header(Function.ANNOUNCE, SERVER_UID, GROUP).encode() + bytes(body)))


def test_an_encrypted_one_whose_lengths_do_not_fit_is_refused() -> None:
    bench = server_bench()
    datagram = bytearray(encrypted(make_cipher(*RSA_GCM)))
    datagram[16 + 24 + 6 + 1] ^= 4  # the length of the key blob
    refusal(bench, bench.feed(bytes(datagram)))


@pytest.mark.parametrize("mode", list(Mode))
def test_an_address_that_is_no_multicast_group_is_refused(mode: Mode) -> None:
    bench = Bench(mode, changes={"downstream": CLIENT_PROXY})
    sent = bench.announce(private=bytes((10, 1, 1, 1)))
    assert b"multicast" in refusal(bench, sent).text


def test_a_server_that_announces_to_one_address_cannot_use_a_client_proxy() -> None:
    nowhere = {"public": bytes(4), "private": bytes(4)}
    bench = Bench()
    assert b"one address" in refusal(bench, bench.announce(**nowhere)).text
    bench = server_bench()
    assert [one.to for one in bench.announce(**nowhere)] == [CLIENT_PROXY]
    assert not bench.taken(Join)


def test_with_source_specific_joins_the_private_address_must_allow_them() -> None:
    changes = {"source_specific": True, "servers": (ServerEntry(SERVER_UID, Address(4, 0x0A630101), None),)}
    bench = server_bench(**changes)
    assert b"source specific" in refusal(bench, bench.announce()).text
    bench = server_bench(**changes)
    bench.announce(private=bytes((232, 5, 5, 10)))
    join = bench.taken(Join)[0]
    assert join.group == raw("232.5.5.10")
    assert join.sources == (raw("10.99.1.1", 0),)


def test_an_ipv6_group_on_an_ipv4_socket_is_refused() -> None:
    bench = Bench()
    address = bytes.fromhex("ff150000000000000000000000050001")
    refusal(bench, bench.announce(flags=4, public=address, private=address))


def test_a_server_that_is_not_listed_is_refused_in_plain_groups_too() -> None:
    bench = Bench(changes={"servers": (ServerEntry(7, Address(4, 0x0A630101), None),)})
    assert b"not in the list" in refusal(bench, bench.announce()).text
    bench = Bench(changes={"servers": (ServerEntry(SERVER_UID, Address(4, 9), None),)})
    assert b"another address" in refusal(bench, bench.announce()).text


def test_a_refused_group_is_not_judged_again_for_a_while() -> None:
    bench = Bench(changes={"servers": ()})
    assert len(bench.announce()) == 1
    assert bench.announce() == []
    assert bench.machine.drops[DropReason.GROUP_REFUSED] == 1
    assert len(bench.announce(group_id=GROUP + 1)) == 1
    bench.wait(REMEMBERED_NS)
    assert len(bench.announce()) == 1


def test_no_more_groups_are_taken_than_the_limit_says() -> None:
    bench = Bench(changes={"max_groups": 2})
    bench.announce(group_id=1)
    bench.announce(group_id=2)
    sent = bench.announce(group_id=3)
    assert b"too many" in sent[0].message.text
    assert bench.machine.facts[Fact.GROUPS] == 2


def test_refusals_are_rationed_whoever_asks() -> None:
    bench = Bench(changes={"servers": ()})
    sent = [bench.announce(group_id=number + 1) for number in range(1_000)]
    assert sum(map(len, sent)) == 200
    assert bench.machine.drops[DropReason.RATE_LIMITED] == 800


@pytest.mark.parametrize("spec", [RSA_GCM, ECDSA_GCM, (4, 3, 2, 3), (4, 3, 1, 2)])
def test_a_client_proxy_puts_its_own_keys_into_an_encrypted_one(spec: tuple[int, ...]) -> None:
    cipher = make_cipher(*spec)
    ring = make_ring(cipher)
    bench = Bench(ring=ring)
    original = encrypted(cipher)
    sent = bench.feed(original)[0]
    info, theirs = sent.message.encryption, announcement_of(original)
    assert isinstance(info, EncInfo)
    assert info.key_blob == ring.first().public.blob
    assert info.random == cipher.random
    assert len(sent.payload) == len(original)
    same = dataclasses.replace(info, key_blob=theirs.key_blob, ecdh_blob=theirs.ecdh_blob, signature=theirs.signature)
    assert same == theirs
    if cipher.ecdh is not None:
        assert info.ecdh_blob != cipher.ecdh.public.blob
        at = 16 + sent.message.signature_at
        seal.check_signature(sent.payload, at, ring.first().public, cipher.suite.digest)


def announcement_of(datagram: bytes) -> EncInfo:
    bench = server_bench()
    info = bench.feed(datagram)[0].message.encryption
    assert isinstance(info, EncInfo)
    return info


def test_each_group_has_an_ecdh_key_of_its_own_and_keeps_it() -> None:
    cipher = make_cipher(*ECDSA_GCM)
    bench = Bench(ring=make_ring(cipher))
    datagram = bytearray(encrypted(cipher))
    first, again = bench.feed(bytes(datagram)), bench.feed(bytes(datagram))
    assert first[0].message.encryption.ecdh_blob == again[0].message.encryption.ecdh_blob
    bench.wait(60_000_000_000)
    assert bench.feed(bytes(datagram))[0].message.encryption.ecdh_blob != first[0].message.encryption.ecdh_blob


def test_an_announcement_with_a_false_signature_is_refused_or_goes_no_further() -> None:
    cipher = make_cipher(*ECDSA_GCM)
    datagram = encrypted(cipher)
    spoiled = datagram[:30] + bytes((datagram[30] ^ 1,)) + datagram[31:]
    bench = Bench(ring=make_ring(cipher))
    refusal(bench, bench.feed(spoiled))
    bench = Bench(ring=make_ring(cipher))
    bench.feed(datagram)
    assert bench.feed(spoiled) == []
    assert bench.machine.drops[DropReason.NOT_AUTHENTIC] == 1


def test_a_later_announcement_with_other_keys_goes_no_further() -> None:
    bench = Bench(ring=make_ring(make_cipher(*RSA_GCM)))
    bench.feed(encrypted(make_cipher(*RSA_GCM)))
    datagram = bytearray(encrypted(make_cipher(*RSA_GCM)))
    datagram[-1] ^= 2
    assert bench.feed(bytes(datagram)) == []
    assert bench.machine.drops[DropReason.NOT_ALLOWED] == 1


def test_without_a_key_like_the_servers_the_group_is_refused() -> None:
    bench = Bench(ring=make_ring(make_cipher(*ECDSA_GCM)))
    sent = bench.feed(encrypted(make_cipher(*RSA_GCM)))
    assert b"no proxy key compatible" in refusal(bench, sent).text


def test_a_proxy_without_keys_makes_one_like_the_servers() -> None:
    bench = Bench()
    sent = bench.feed(encrypted(make_cipher(*ECDSA_GCM)))
    assert decode_public_key(sent[0].message.encryption.key_blob).title == "ECDSA, curve prime256v1"


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [(3, 0x13 + 0x40, b"key exchange"), (4, 77, b"cipher"), (5, 77, b"hash"), (3, 0x11, b"signature type")],
)
def test_what_nobody_can_do_is_refused_by_name(at: int, value: int, why: bytes) -> None:
    cipher = make_cipher(*RSA_GCM)
    bench = Bench(ring=make_ring(cipher))
    datagram = bytearray(encrypted(cipher))
    datagram[16 + 24 + at] = value
    assert why in refusal(bench, bench.feed(bytes(datagram))).text


@pytest.mark.parametrize(
    ("spec", "bits", "why"),
    [((4, 5, 1, 1, True), 512, b"too few"), ((4, 3, 1, 1, True), 4096, b"too long for a CLIENT_KEY")],
)
def test_a_group_whose_keys_cannot_do_what_it_asks_for_is_refused_at_once(
    spec: tuple[int, ...], bits: int, why: bytes
) -> None:
    chance = random.Random(bits)
    cipher = dataclasses.replace(make_cipher(*spec), key=keys.make_rsa_key(bits, chance.randbytes))
    bench = Bench(ring=KeyRing((keys.make_rsa_key(bits, chance.randbytes),), chance.randbytes))
    assert why in refusal(bench, bench.feed(encrypted(cipher))).text


def test_a_throw_away_key_that_is_made_for_a_group_is_told_once() -> None:
    cipher = make_cipher(*RSA_GCM)
    bench = Bench()
    bench.feed(encrypted(cipher))
    bench.feed(encrypted(cipher))
    (note,) = bench.notes("uftp-key-made")
    (group,) = bench.machine.groups
    own = group.crypto.own.public
    assert note.fields == (own.title, format_fingerprint(keys.fingerprint_of(own)))


def test_a_weak_group_is_named_once_and_refused_where_that_is_asked_for() -> None:
    cipher = make_cipher(4, 2, 1, 1)
    bench = Bench(ring=make_ring(cipher))
    bench.feed(encrypted(cipher))
    bench.feed(encrypted(cipher))
    assert len(bench.notes("uftp-weak-crypto")) == 1
    assert bench.machine.facts[Fact.WEAK_GROUPS] == 1
    for crypto in (CryptoSettings(strong_only=True), CryptoSettings(min_rsa_bits=2048)):
        bench = Bench(ring=make_ring(cipher), changes={"crypto": crypto})
        refusal(bench, bench.feed(encrypted(cipher)))


def test_a_group_lives_as_long_as_it_is_announced() -> None:
    bench = Bench()
    for _ in range(10):
        bench.announce()
        bench.wait(19 * GRTT_NS)
    assert bench.machine.facts[Fact.GROUPS] == 1
    assert not of(bench.wait(2 * GRTT_NS), Function.ABORT)
    assert bench.machine.facts[Fact.GROUPS] == 0
