"""KEY_REQ, PROXY_KEY."""

from __future__ import annotations

from tests.workers.uftp import wire
from workers.uftp.proxykey import KeyRequest, ProxyKey

KEY_REQ = "1001 0000"
RSA = "1106 0008 0000 0004 50a473b0" + b"key_blobsign".hex()
ECDH = "1107 0008 0004 0004 50a473b0" + b"key_blobecdhsign".hex()


def test_a_client_asks():
    wire.holds(KEY_REQ, KeyRequest())


def test_a_proxy_answers_with_one_key_or_two():
    wire.holds(RSA, ProxyKey(0x50A473B0, b"key_blob", b"sign"))
    wire.holds(ECDH, ProxyKey(0x50A473B0, b"key_blob", b"sign", b"ecdh"))


def test_nothing_may_be_missing_or_too_much():
    wire.header_needs(4, KEY_REQ)
    wire.header_needs(24, RSA)
    wire.header_needs(28, ECDH)
    wire.has_no_body(KEY_REQ)
    wire.has_no_body(RSA)
    wire.has_no_body(ECDH)
