"""The key exchange of one group, by hand: what a proxy says as a client, and what it hears as a server."""

from __future__ import annotations

import dataclasses
import random

import pytest

from tests.kit.uftp_bench import GROUP
from tests.kit.uftp_scene import SERVER, SERVER_UID, make_cipher, make_ring
from tests.kit.uftp_server import Cipher, Server
from tests.kit.uftp_world import World
from workers.contract.uftp import CryptoSettings
from workers.errors import PeerError, SealError
from workers.uftp import exchange, header, keys, messages, schedule, seal
from workers.uftp.announce import Announce
from workers.uftp.curves import CURVES
from workers.uftp.exchange import COUNTERS_AHEAD, ClientLeg, GroupCrypto, OwnSide
from workers.uftp.header import Function, Header
from workers.uftp.keying import KeyEntry, KeyInfo, KeyInfoAck
from workers.uftp.keyring import KeyRing
from workers.uftp.register import ClientKey, Register
from workers.uftp.schedule import Handshake
from workers.uftp.seal import KeyinfoHead
from workers.uftp.suite import KeyExchange
from workers.uftp.timestamp import Timestamp

ENTROPY = random.Random(9).randbytes
RSA, ECDH_RSA, ECDSA, AUTH = (4, 3, 1, 1), (4, 3, 1, 2), (6, 3, 3, 3), (4, 3, 1, 3, True)
EVERY = [RSA, ECDH_RSA, ECDSA, AUTH]


def announced(cipher: Cipher) -> tuple[bytes, Announce]:
    world = World()
    Server(world, SERVER, SERVER_UID, frozenset(), group_id=GROUP, cipher=cipher).announce()
    datagram = world.sent[0][2]
    message = messages.decode(header.decode(datagram), datagram[16:])
    assert isinstance(message, Announce)
    return datagram, message


def accepted(cipher: Cipher, ring: KeyRing | None = None, fresh: bool = True, **terms: object) -> GroupCrypto:
    datagram, message = announced(cipher)
    own = OwnSide(ring or make_ring(cipher), CryptoSettings(**terms), ENTROPY, fresh)
    assert message.encryption is not None
    return exchange.accept(datagram, GROUP, message, message.encryption, own)


def keyed(cipher: Cipher) -> GroupCrypto:
    """Return a group whose server has sent its KEYINFO."""
    crypto = accepted(cipher)
    head = KeyinfoHead(0x40, SERVER_UID, 5)
    entry = KeyEntry(1, seal.wrap_group_master(crypto.suite, crypto.session, head, cipher.master))
    crypto.take_master(Header(Function.KEYINFO, SERVER_UID), KeyInfo(5, (entry,)), entry)
    return crypto


def shaken_by_client(crypto: GroupCrypto) -> tuple[Handshake, bytes]:
    """Return a client's handshake with the proxy, and the key info of its REGISTER."""
    if crypto.suite.exchange is KeyExchange.RSA:
        premaster = ENTROPY(48)
        info = crypto.own.public.encrypt(premaster)
    else:
        own = keys.make_ec_key(crypto.ecdh.public.curve, ENTROPY)
        premaster, info = own.agree(crypto.ecdh.public), own.public.blob
    return crypto.shaken._replace(client_random=ENTROPY(32), premaster=premaster), info


@pytest.mark.parametrize("spec", EVERY)
def test_the_server_comes_to_the_same_keys_as_the_proxy(spec: tuple[int, ...]) -> None:
    cipher = make_cipher(*spec)
    crypto = accepted(cipher)
    info = crypto.key_info()
    premaster = cipher.ecdh.agree(keys.decode_public_key(info)) if cipher.ecdh else cipher.key.decrypt(info)
    theirs = crypto.shaken._replace(premaster=premaster)
    assert schedule.derive_session_keys(crypto.suite, theirs) == crypto.session


def test_the_premaster_is_encrypted_anew_and_stays_the_same() -> None:
    cipher = make_cipher(*RSA)
    crypto = accepted(cipher)
    first, second = crypto.key_info(), crypto.key_info()
    assert first != second
    assert cipher.key.decrypt(first) == cipher.key.decrypt(second)


@pytest.mark.parametrize("spec", EVERY)
def test_the_groups_key_is_learnt_and_proved(spec: tuple[int, ...]) -> None:
    cipher = make_cipher(*spec)
    crypto = keyed(cipher)
    assert crypto.master == cipher.master
    blob = crypto.own.public.blob if cipher.client_auth else b""
    proof = schedule.client_finished(crypto.suite, crypto.shaken, cipher.master, blob)
    assert crypto.keyinfo_ack() == KeyInfoAck(proof)


def test_the_proxys_client_key_is_signed_over_its_own_handshake() -> None:
    crypto = accepted(make_cipher(*AUTH))
    message = crypto.client_key()
    crypto.own.public.verify(message.signature, crypto.shaken.signed_bytes(), crypto.suite.digest)
    assert message.key_blob == crypto.own.public.blob


@pytest.mark.parametrize("spec", EVERY)
def test_a_client_comes_to_the_same_keys_as_the_proxy(spec: tuple[int, ...]) -> None:
    crypto = keyed(make_cipher(*spec))
    shaken, info = shaken_by_client(crypto)
    leg = ClientLeg()
    crypto.hear_register(leg, Register(Timestamp(), shaken.client_random, info))
    if crypto.client_auth:
        assert not crypto.conclude(leg)
        own = keys.make_ec_key(CURVES[23], ENTROPY)
        signature = own.sign(shaken.signed_bytes(), crypto.suite.digest)
        crypto.hear_client_key(leg, ClientKey(own.public.blob, signature))
    assert crypto.conclude(leg)
    session = schedule.derive_session_keys(crypto.suite, shaken)
    head = KeyinfoHead(0x40, SERVER_UID, crypto.next_counter())
    entry = crypto.wrap(leg, 7, head)
    assert entry.uid == 7
    assert seal.unwrap_group_master(crypto.suite, session, head, entry.wrapped) == crypto.master
    blob = leg.key.blob if leg.key else b""
    proof = schedule.client_finished(crypto.suite, shaken, crypto.master, blob)
    assert crypto.has_key(leg, KeyInfoAck(proof))
    assert not crypto.has_key(leg, KeyInfoAck(bytes(12)))


def test_a_repeated_register_costs_nothing_and_a_new_one_counts() -> None:
    crypto = keyed(make_cipher(*RSA))
    shaken, info = shaken_by_client(crypto)
    leg = ClientLeg()
    crypto.hear_register(leg, Register(Timestamp(), shaken.client_random, info))
    offered = leg.offered
    crypto.hear_register(leg, Register(Timestamp(), shaken.client_random, b"garbage"))
    assert leg.offered is offered
    crypto.conclude(leg)
    session = leg.session
    other, info = shaken_by_client(crypto)
    crypto.hear_register(leg, Register(Timestamp(), other.client_random, info))
    crypto.conclude(leg)
    assert leg.session != session


def test_a_strangers_register_does_not_take_the_place_of_a_proved_client() -> None:
    crypto = keyed(make_cipher(*AUTH))
    shaken, info = shaken_by_client(crypto)
    own = keys.make_ec_key(CURVES[23], ENTROPY)
    leg = ClientLeg()
    crypto.hear_register(leg, Register(Timestamp(), shaken.client_random, info))
    crypto.hear_client_key(leg, ClientKey(own.public.blob, own.sign(shaken.signed_bytes(), crypto.suite.digest)))
    assert crypto.conclude(leg)
    session = leg.session
    stranger, info = shaken_by_client(crypto)
    crypto.hear_register(leg, Register(Timestamp(), stranger.client_random, info))
    with pytest.raises(SealError):
        crypto.conclude(leg)
    assert leg.session == session
    with pytest.raises(PeerError):
        crypto.hear_client_key(leg, ClientKey(crypto.own.public.blob, bytes(68)))


@pytest.mark.parametrize("spec", EVERY)
@pytest.mark.parametrize("info", [b"", b"garbage!", bytes(128), b"\x02\x17\x00\x40" + bytes(64)])
def test_garbage_for_a_premaster_is_refused(spec: tuple[int, ...], info: bytes) -> None:
    crypto = keyed(make_cipher(*spec))
    leg = ClientLeg()
    with pytest.raises(SealError):
        crypto.hear_register(leg, Register(Timestamp(), ENTROPY(32), info))
    assert leg.offered is None


def test_an_rsa_key_for_an_ecdsa_group_and_the_other_way_round_are_refused() -> None:
    crypto = accepted(make_cipher(*AUTH))
    other = make_ring(make_cipher(*RSA)).first().public.blob
    with pytest.raises(SealError, match="wrong type"):
        crypto.hear_client_key(ClientLeg(), ClientKey(other, bytes(128)))


def test_counters_begin_somewhere_and_never_come_twice() -> None:
    crypto = accepted(make_cipher(*RSA))
    first = crypto.next_counter()
    assert [crypto.next_counter() for _ in range(3)] == [first + 1, first + 2, first + 3]
    other = accepted(make_cipher(*RSA))
    assert abs(other.next_counter() - first) > 1 << 31


def test_counters_are_taken_in_advance() -> None:
    crypto = accepted(make_cipher(*RSA))
    seen = [(crypto.next_counter(), crypto.reserved) for _ in range(3 * COUNTERS_AHEAD)]
    assert all(counter <= reserved for counter, reserved in seen)
    assert len({reserved for _, reserved in seen}) in (3, 4)


def test_a_response_proxy_uses_its_one_ecdh_key_for_every_group() -> None:
    cipher = make_cipher(*ECDSA)
    ring = make_ring(cipher, ecdh=True)
    first, second = accepted(cipher, ring, fresh=False), accepted(cipher, ring, fresh=False)
    assert first.ecdh is second.ecdh is ring.ecdh


def test_a_response_proxy_without_a_fitting_ecdh_key_refuses_the_group() -> None:
    cipher = make_cipher(*ECDSA)
    with pytest.raises(PeerError, match="-e"):
        accepted(cipher, make_ring(cipher), fresh=False)
    ring = KeyRing((make_ring(cipher).first(),), ENTROPY, keys.make_ec_key(CURVES[24], ENTROPY))
    with pytest.raises(PeerError, match="secp384r1"):
        accepted(cipher, ring, fresh=False)


def test_a_response_proxy_takes_ecdh_on_another_curve_than_the_servers_signing_key() -> None:
    cipher = make_cipher(*ECDSA)
    cipher = dataclasses.replace(cipher, ecdh=keys.make_ec_key(CURVES[24], ENTROPY))
    ring = KeyRing((make_ring(cipher).first(),), ENTROPY, keys.make_ec_key(CURVES[24], ENTROPY))
    assert accepted(cipher, ring, fresh=False).ecdh is ring.ecdh


def test_weak_keys_are_named_and_refused_on_request() -> None:
    cipher = make_cipher(*RSA)
    assert accepted(cipher).weak == "rsa:1024"
    with pytest.raises(PeerError, match="1024 bits"):
        accepted(cipher, min_rsa_bits=2048)
    with pytest.raises(PeerError, match="weak"):
        accepted(cipher, strong_only=True)
    assert accepted(make_cipher(*ECDSA), strong_only=True).weak == ""


def test_what_is_not_registered_cannot_be_sent_the_key() -> None:
    crypto = keyed(make_cipher(*RSA))
    with pytest.raises(SealError):
        crypto.wrap(ClientLeg(), 1, KeyinfoHead(0x40, 1, 1))
    assert not crypto.has_key(ClientLeg(), KeyInfoAck(bytes(12)))
