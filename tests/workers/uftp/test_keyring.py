"""Own keys, given or made on demand."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from workers.contract.uftp import CryptoSettings
from workers.errors import KeyRefused
from workers.uftp import keyring, keys, pem
from workers.uftp.curves import CURVES
from workers.uftp.keyring import KeyRing

P256, P384 = CURVES[23], CURVES[24]


@pytest.fixture(name="entropy")
def fixture_entropy() -> Callable[[int], bytes]:
    return random.Random(5).randbytes


def test_the_first_key_of_the_servers_type_and_size_is_taken(entropy: Callable[[int], bytes]) -> None:
    first, second = keys.make_ec_key(P256, entropy), keys.make_ec_key(P256, entropy)
    short = keys.make_rsa_key(512, entropy)
    ring = KeyRing((short, first, second), entropy)
    assert ring.fitting(keys.make_ec_key(P256, entropy).public) is first
    assert ring.fitting(keys.make_rsa_key(512, entropy).public) is short
    assert ring.fitting(keys.make_ec_key(P384, entropy).public) is None
    assert ring.first() is short


def test_without_keys_one_of_each_kind_is_made_once(entropy: Callable[[int], bytes]) -> None:
    ring = KeyRing((), entropy)
    peer, short = keys.make_ec_key(P384, entropy).public, keys.make_rsa_key(512, entropy).public
    made = ring.fitting(peer)
    assert made is not None
    assert made.public.title == peer.title
    assert ring.fitting(peer) is made
    assert ring.first() is made
    rsa = ring.fitting(short)
    assert rsa is not None
    assert rsa.public.title == short.title
    assert ring.first() is rsa


def test_without_keys_and_servers_it_is_what_the_original_makes(entropy: Callable[[int], bytes]) -> None:
    ring = KeyRing((), entropy)
    assert ring.first().public.title == "RSA, 512 bits"
    assert ring.first() is ring.first()


def test_rsa_keys_of_odd_sizes_are_not_made_for_strangers(entropy: Callable[[int], bytes]) -> None:
    assert KeyRing((), entropy).fitting(keys.make_rsa_key(520, entropy).public) is None


def test_a_key_that_no_message_can_carry_is_refused(entropy: Callable[[int], bytes]) -> None:
    with pytest.raises(KeyRefused, match="multiple of 32"):
        KeyRing((keys.make_rsa_key(520, entropy),), entropy)


def test_a_key_too_long_to_be_shown_with_its_signature_is_passed_over(entropy: Callable[[int], bytes]) -> None:
    large = keys.make_rsa_key(4096, entropy)
    small = keys.make_rsa_key(3072, entropy)
    assert KeyRing((large, small), entropy).first() is small
    ring = KeyRing((large,), entropy)
    assert ring.first() is None
    assert ring.fitting(large.public) is large


def test_each_groups_ecdh_key_is_another(entropy: Callable[[int], bytes]) -> None:
    ring = KeyRing((), entropy)
    assert ring.make_ecdh(P256).public.blob != ring.make_ecdh(P256).public.blob


def test_a_ring_is_loaded_from_the_settings(entropy: Callable[[int], bytes]) -> None:
    key = keys.make_ec_key(P256, entropy)
    ring = keyring.load(CryptoSettings(keys=(pem.encode_pem(key),), ecdh_curve=24), entropy)
    assert ring.first().public.blob == key.public.blob
    assert ring.ecdh is not None
    assert ring.ecdh.public.curve is P384
    assert keyring.load(CryptoSettings(), entropy).ecdh is None


@pytest.mark.parametrize("curve", [99, 1])
def test_a_curve_that_cannot_be_used_is_refused(curve: int, entropy: Callable[[int], bytes]) -> None:
    with pytest.raises(KeyRefused):
        keyring.load(CryptoSettings(ecdh_curve=curve), entropy)


def test_warming_up_takes_entropy_for_throw_away_keys_only(entropy: Callable[[int], bytes]) -> None:
    drawn: list[int] = []

    def counted(count: int) -> bytes:
        drawn.append(count)
        return entropy(count)

    keyring.warm(counted)
    assert drawn
    assert KeyRing((), counted).made == ()


def test_a_throw_away_key_of_a_predecessor_is_used_in_the_place_of_a_new_one(entropy: Callable[[int], bytes]) -> None:
    made = keys.make_ec_key(P256, entropy)
    ring = KeyRing((), entropy)
    assert ring.readopt(made)
    assert ring.made == (made,)
    assert ring.fitting(keys.make_ec_key(P256, entropy).public) is made
    assert ring.find(keys.fingerprint_of(made.public)) is made
    assert not ring.readopt(keys.make_ec_key(P256, entropy))
    assert not KeyRing((made,), entropy).readopt(keys.make_ec_key(P384, entropy))
