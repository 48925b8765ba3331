"""Raw socket addresses, compared with what the kernel itself writes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.traffic import address
from workers.contract.settings import Address
from workers.errors import DecodeError
from workers.wire.sockaddr import V4_BYTES, V6_BYTES, decode, encode, host, scope_of

addresses = st.one_of(
    st.builds(Address, st.just(4), st.integers(0, 2**32 - 1)),
    st.builds(Address, st.just(6), st.integers(0, 2**128 - 1)),
)
ports = st.integers(0, 65_535)

V4_RAW = bytes.fromhex("0200 0035 7f000001 0000000000000000")
V6_RAW = bytes.fromhex("0a00 0035 00000000 fe800000000000000000000000000001 03000000")


def test_the_forms_are_the_kernels():
    assert encode(address("127.0.0.1"), 53) == V4_RAW
    assert encode(address("fe80::1"), 53, 3) == V6_RAW
    assert decode(V4_RAW) == (address("127.0.0.1"), 53)
    assert decode(V6_RAW) == (address("fe80::1"), 53)


@given(addresses, ports, st.integers(0, 2**32 - 1))
def test_what_was_encoded_is_decoded_again(where: Address, port: int, scope: int):
    raw = encode(where, port, scope)
    assert len(raw) == {4: V4_BYTES, 6: V6_BYTES}[where.version]
    assert decode(raw) == (where, port)
    assert scope_of(raw) == (scope if where.version == 6 else 0)


@pytest.mark.parametrize("raw", [V4_RAW, V6_RAW])
def test_whatever_is_too_short_is_refused_and_whatever_follows_is_passed_over(raw: bytes):
    for size in range(len(raw)):
        with pytest.raises(DecodeError):
            decode(raw[:size])
    assert decode(raw + b"more") == decode(raw)


@given(st.binary(max_size=40))
def test_any_bytes_are_an_address_or_refused(raw: bytes):
    found = None
    with contextlib.suppress(DecodeError):
        found = decode(raw)
    if found is not None:
        assert encode(*found)[2:4] == raw[2:4]


def test_a_mapped_address_stays_ipv6():
    mapped = address("::ffff:192.0.2.1")
    assert decode(encode(mapped, 1)) == (mapped, 1)


@given(address_=addresses, port=ports)
def test_the_packed_address_is_found_in_the_raw_one(address_: Address, port: int) -> None:
    assert host(encode(address_, port)) == address_.value.to_bytes(4 if address_.version == 4 else 16, "big")
