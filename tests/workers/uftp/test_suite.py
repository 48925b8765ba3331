from __future__ import annotations

import pytest

from tests.workers.uftp.sample_keys import ec, rsa, suite_name, suites
from workers.errors import SealError
from workers.uftp.keys import EC_BLOB, RSA_BLOB
from workers.uftp.suite import KeyExchange, SignatureType, choose_suite, weaknesses


@pytest.mark.parametrize("suite", suites(), ids=suite_name)
@pytest.mark.parametrize("exchange", KeyExchange)
def test_every_combination_that_is_announced_is_taken(suite, exchange: KeyExchange) -> None:
    chosen = choose_suite(suite.cipher.number, suite.digest.number, suite.signature.value, exchange.value)
    assert chosen == suite._replace(exchange=exchange)


@pytest.mark.parametrize(
    ("numbers", "part"),
    [
        ((0, 3, 1, 1), "cipher"),
        ((9, 3, 1, 1), "cipher"),
        ((3, 0, 1, 1), "hash"),
        ((3, 1, 1, 1), "hash"),
        ((3, 6, 1, 1), "hash"),
        ((3, 3, 0, 1), "signature type"),
        ((3, 3, 4, 1), "signature type"),
        ((3, 3, 1, 0), "key exchange"),
        ((3, 3, 1, 4), "key exchange"),
        ((3, 3, 3, 1), "signature type"),
        ((5, 3, 1, 1), "signature type"),
        ((8, 3, 2, 1), "signature type"),
    ],
)
def test_the_number_that_is_refused_is_named(numbers: tuple[int, int, int, int], part: str) -> None:
    with pytest.raises(SealError) as refusal:
        choose_suite(*numbers)
    assert refusal.value.part == part
    assert str(refusal.value).startswith(f"{part}: ")


def test_a_key_exchange_says_what_signs_and_whether_points_are_exchanged() -> None:
    assert [exchange.signing_kind for exchange in KeyExchange] == [RSA_BLOB, RSA_BLOB, EC_BLOB]
    assert [exchange.uses_ecdh for exchange in KeyExchange] == [False, True, True]


def test_what_is_weak_is_named() -> None:
    weak = choose_suite(1, 2, SignatureType.HMAC, KeyExchange.RSA)
    names = weaknesses(weak, rsa(512).public)
    assert [name.split()[0] for name in names] == ["des", "sha1", "rsa:512"]
    assert weaknesses(choose_suite(6, 3, SignatureType.AUTHENC, KeyExchange.ECDH_ECDSA), ec("prime256v1").public) == ()
