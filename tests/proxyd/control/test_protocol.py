from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.control import protocol
from proxyd.control.protocol import (
    MAX_KILLS,
    MAX_MESSAGE_BYTES,
    AskDrain,
    AskExplain,
    AskKill,
    AskLevel,
    AskSessions,
    AskStatus,
    Done,
    ProtocolError,
    Refused,
    Slots,
)

REQUESTS = (
    AskStatus(),
    AskSessions(),
    AskKill([(0, 1, 2)]),
    AskLevel(3),
    AskDrain(),
    AskDrain(1.5),
    AskExplain(b"\x7f\0\0\1", 1, bytes(16), 2, "ann", ["staff"], (1, 1, 0, 0), True, 8),
)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_survives_its_way(request_: protocol.Request) -> None:
    assert protocol.decode_request(protocol.encode(request_)) == request_


@pytest.mark.parametrize("reply", [Done("x"), Refused("y"), Slots(1, 2, b"abc")])
def test_a_reply_survives_its_way(reply: protocol.Reply) -> None:
    assert protocol.decode_reply(protocol.encode(reply)) == reply


def test_the_largest_kill_fits_a_message_and_a_larger_one_is_refused() -> None:
    largest = AskKill([(254, 2**32 - 1, 2**62)] * MAX_KILLS)
    assert protocol.decode_request(protocol.encode(largest)) == largest
    with pytest.raises(ProtocolError, match="not a message"):
        protocol.decode_request(msgspec.msgpack.encode(AskKill([(0, 0, 0)] * (MAX_KILLS + 1))))


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "kill", "sessions": []},
        {"type": "kill", "sessions": [[0, -1, 0]]},
        {"type": "kill", "sessions": [[0, 1]]},
        {"type": "level", "level": 2},
        {"type": "level", "level": 10},
        {"type": "level", "level": "9"},
        {"type": "drain", "timeout_s": -1},
        {"type": "drain", "timeout_s": 1e12},
        {"type": "explain", "client": b"", "client_port": 1, "destination": bytes(4), "destination_port": 1},
        {"type": "explain", "client": bytes(4), "client_port": 70000, "destination": bytes(4), "destination_port": 1},
        {"type": "dance"},
        {},
        [],
        7,
    ],
)
def test_what_is_out_of_bounds_is_no_request(wrong: object) -> None:
    with pytest.raises(ProtocolError, match="not a message"):
        protocol.decode_request(msgspec.msgpack.encode(wrong))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        protocol.decode_request(data)


def test_words_that_are_no_text_are_not_sent() -> None:
    with pytest.raises(ProtocolError, match="no text"):
        protocol.encode(Refused("\udcff"))


def test_a_message_that_is_too_long_is_neither_sent_nor_taken() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        protocol.encode(Slots(0, 0, bytes(MAX_MESSAGE_BYTES)))
    with pytest.raises(ProtocolError, match="longer than"):
        protocol.decode_reply(bytes(MAX_MESSAGE_BYTES + 1))
