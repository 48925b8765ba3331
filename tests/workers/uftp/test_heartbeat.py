"""HB_REQ, HB_RESP."""

from __future__ import annotations

from tests.workers.uftp import wire
from workers.uftp.heartbeat import HeartbeatRequest, HeartbeatResponse, HeartbeatResult

PLAIN = "0e03 0000 0000 0000 00000000"
SIGNED = "0e06 0000 0008 0004 2dea65e0" + b"key_blobsign".hex()
CHALLENGE = "0f02 02 00 2dea65e0"


def test_a_heartbeat_without_key():
    wire.holds(PLAIN, HeartbeatRequest())


def test_a_heartbeat_answers_a_challenge():
    wire.holds(SIGNED, HeartbeatRequest(0x2DEA65E0, b"key_blob", b"sign"))


def test_a_challenge_and_a_yes():
    wire.holds(CHALLENGE, HeartbeatResponse(HeartbeatResult.CHALLENGE, 0x2DEA65E0))
    wire.holds("0f02 01 00 00000000", HeartbeatResponse(HeartbeatResult.OK))


def test_nothing_may_be_missing_or_too_much():
    wire.header_needs(12, PLAIN)
    wire.header_needs(24, SIGNED)
    wire.header_needs(8, CHALLENGE)
    wire.has_no_body(PLAIN)
    wire.has_no_body(SIGNED)
    wire.has_no_body(CHALLENGE)
