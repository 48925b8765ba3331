"""REGISTER, CLIENT_KEY, REG_CONF."""

from __future__ import annotations

import pytest

from tests.workers.uftp import wire
from workers.errors import DecodeError, EngineMisuse
from workers.uftp import messages
from workers.uftp.register import ClientKey, RegConf, Register
from workers.uftp.timestamp import Timestamp

PLAIN = "020b 0000 6b020dbe 000036e4" + "00" * 32
CLIENT_KEY = "0305 0000 0008 0004" + b"key_blobsign".hex()
REG_CONF = "0401 0000"
STAMP = Timestamp(0x6B020DBE, 0x36E4)


def test_a_client_registers_in_a_plain_group():
    wire.holds(PLAIN, Register(STAMP))


def test_a_proxy_registers_for_clients_in_an_encrypted_group():
    random, key_info = bytes(range(32)), b"premaster secret"
    raw = "020f 0010 6b020dbe 000036e4" + random.hex() + key_info.hex() + "00001111 00002222"
    wire.holds(raw, Register(STAMP, random, key_info, (0x1111, 0x2222)))


def test_key_info_outside_the_header_is_refused():
    raw = bytearray(bytes.fromhex(PLAIN))
    raw[2:4] = (4).to_bytes(2, "big")
    with pytest.raises(DecodeError, match="key info"):
        messages.decode_plain(bytes(raw) + bytes(4))


def test_a_short_header_is_refused_although_the_bytes_are_there():
    wire.header_needs(44, PLAIN)
    wire.header_needs(20, CLIENT_KEY)
    wire.header_needs(4, REG_CONF)


def test_a_random_of_another_length_is_a_misuse():
    with pytest.raises(EngineMisuse):
        Register(STAMP, bytes(31)).encode()


def test_a_client_shows_its_key():
    wire.holds(CLIENT_KEY, ClientKey(b"key_blob", b"sign"))
    wire.has_no_body(CLIENT_KEY)


def test_the_server_confirms_stations():
    wire.holds(REG_CONF + "0000c0c0 00001111", RegConf((0xC0C0, 0x1111)))
    wire.holds(REG_CONF, RegConf())


@pytest.mark.parametrize("raw", [PLAIN, REG_CONF])
def test_a_list_of_stations_is_whole_words(raw):
    wire.has_a_body_of(4, raw)
