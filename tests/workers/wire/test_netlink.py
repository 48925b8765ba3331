"""Netlink messages: their form, and that no odd length is read past."""

from __future__ import annotations

import socket
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import DecodeError
from workers.wire import netlink
from workers.wire.netlink import Message, attributes, dump_request, messages

ADDRESS = bytes.fromhex("1c000000 1400 0200 07000000 00000000 0208 80fe 01000000 00000000".replace(" ", ""))
"""An address message of 28 bytes, a little-endian machine's: header, fixed part, 4 bytes of something."""
LITTLE = struct.pack("=H", 1) == b"\x01\x00"
little_endian = pytest.mark.skipif(not LITTLE, reason="missing: a little-endian machine")


def framed(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack("=IHHII", 16 + len(body) if length is None else length, kind, 0, 1, 0) + body


def attribute(kind: int, data: bytes, length: int | None = None) -> bytes:
    return (struct.pack("=HH", 4 + len(data) if length is None else length, kind) + data).ljust(
        (7 + len(data)) & ~3, b"\0"
    )


@little_endian
def test_a_message_is_taken_apart() -> None:
    (found,) = messages(ADDRESS)
    assert found == Message(netlink.NEW_ADDRESS, 2, 7, ADDRESS[16:])


def test_messages_follow_each_other_at_multiples_of_four() -> None:
    raw = framed(20, b"abcde") + bytes(3) + framed(3, b"")
    assert [(message.kind, message.body) for message in messages(raw)] == [(20, b"abcde"), (3, b"")]


@pytest.mark.parametrize(
    "raw",
    [b"x", framed(20, b"abcd")[:-1], framed(20, b"", 15), framed(20, b"", 0), framed(20, b"abcd") + b"\0" * 5],
    ids=["no header", "cut", "too short", "zero", "rest"],
)
def test_a_message_of_a_wrong_length_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        list(messages(raw))


def test_attributes_are_found_behind_the_fixed_part_without_their_flags() -> None:
    body = b"fixed---" + attribute(1, b"abc") + attribute(0x8002, b"de") + attribute(1, b"later")
    assert attributes(body, 8) == {1: b"later", 2: b"de"}
    assert attributes(b"fixed---", 8) == {}


@pytest.mark.parametrize("raw", [b"abc", attribute(1, b"", 3), attribute(1, b"abcd", 9), attribute(1, b"", 0)])
def test_an_attribute_of_a_wrong_length_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        attributes(raw, 0)


@given(st.binary(max_size=200), st.integers(0, 20))
def test_any_bytes_are_read_or_refused(raw: bytes, start: int) -> None:
    for reader in (lambda: list(messages(raw)), lambda: attributes(raw, start)):
        try:
            reader()
        except DecodeError:
            continue


def test_the_kernel_tells_the_route_of_an_address() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        for family, address in ((socket.AF_INET, "127.0.0.5"), (socket.AF_INET6, "::1")):
            sock.send(netlink.route_request(family, socket.inet_pton(family, address), 5))
            (found,) = messages(sock.recv(65_536))
            assert (found.kind, found.sequence) == (netlink.NEW_ROUTE, 5)
            assert int.from_bytes(attributes(found.body, 12)[4], sys.byteorder) == 1


def test_the_kernel_understands_the_wish_for_a_list() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        for kind, answer in (
            (netlink.GET_ADDRESS, netlink.NEW_ADDRESS),
            (netlink.GET_ROUTE, netlink.NEW_ROUTE),
            (netlink.GET_RULE, netlink.NEW_RULE),
        ):
            sock.send(dump_request(kind, socket.AF_INET, 9))
            found: list[Message] = []
            while not found or found[-1].kind != netlink.DONE:
                found += messages(sock.recv(65_536))
            assert {message.kind for message in found[:-1]} == {answer}
            assert {message.sequence for message in found} == {9}
