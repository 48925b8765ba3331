"""What a field looks like, and that nothing a child says gets through unprintable or of the wrong type."""

from __future__ import annotations

import json
import re
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.logs.fields import (
    DERIVED,
    JSON_VALUES,
    MAX_TEXT_CHARS,
    MAX_UIDS,
    WRITERS,
    Field,
    FieldError,
    decode_sockaddr,
    encode_json,
    escape,
    service_name,
    write_quoted,
    write_text,
    write_uid,
    write_uids,
)
from workers.contract.catalogue import Kind

TEXT = st.text(st.characters(codec=None))
"""Any text, lone surrogates (undecodable file names) among it."""
ANY_FIELD = st.one_of(TEXT, st.integers(), st.binary(max_size=40), st.none())


def inet(address: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", port, socket.inet_aton(address))


def inet6(address: str, port: int, scope: int = 0) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, address)
    return struct.pack("=H", socket.AF_INET6) + struct.pack(">HI16s", port, 0, packed) + struct.pack("=I", scope)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Kind.TEXT, "INTOK", "INTOK"),
        (Kind.TEXT, "", ""),
        (Kind.TEXT, None, "<NULL>"),
        (Kind.TEXT, "příliš žluťoučký", "příliš žluťoučký"),
        (Kind.TEXT, "a\r\nSep  8 forged", "a\\x0d\\x0aSep  8 forged"),
        (Kind.TEXT, "C:\\x0a", "C:\\x5cx0a"),
        (Kind.TEXT, "\x1b[31m", "\\x1b[31m"),
        (Kind.TEXT, "\u202egnp", "\\xe2\\x80\\xaegnp"),
        (Kind.TEXT, "caf\udce9", "caf\\xe9"),
        (Kind.NUMBER, 2**64 - 1, "18446744073709551615"),
        (Kind.NUMBER, -1, "-1"),
        (Kind.SOCK, inet("1.2.3.4", 53), "[1.2.3.4]:53"),
        (Kind.SOCK, inet("1.2.3.4", 53) + bytes(12), "[1.2.3.4]:53"),
        (Kind.SOCK, inet6("2001:db8::1", 53), "[2001:db8::1]:53"),
        (Kind.SOCK, inet6("fe80::1", 65535, 3), "[fe80::1%3]:65535"),
        (Kind.SOCK, None, "<NULL>"),
        (Kind.HOST, "www.example.com", "www.example.com"),
        (Kind.HOST, "no host", '"no host"'),
        (Kind.HOST, inet6("2001:db8::1", 53), "2001:db8::1"),
        (Kind.HOST, None, "<NULL>"),
        (Kind.SECONDS, 1_234_567_890, "1.235"),
        (Kind.SECONDS, 0, "0.000"),
        (Kind.FLAG, 0, "NO"),
        (Kind.FLAG, 1, "YES"),
        (Kind.DUMP, b"\x00\xffA", "00ff41"),
        (Kind.DUMP, b"", ""),
    ],
)
def test_a_field_is_written_as_its_kind_says(kind: Kind, value: Field, text: str) -> None:
    assert WRITERS[kind](value) == text


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.TEXT, 1),
        (Kind.TEXT, b"x"),
        (Kind.NUMBER, "1"),
        (Kind.NUMBER, None),
        (Kind.NUMBER, 2**64),
        (Kind.NUMBER, -(2**63) - 1),
        (Kind.SOCK, "1.2.3.4"),
        (Kind.SOCK, b""),
        (Kind.SOCK, bytes(16)),
        (Kind.SOCK, inet("1.2.3.4", 53)[:15]),
        (Kind.SOCK, inet("1.2.3.4", 53) + bytes(13)),
        (Kind.SOCK, inet6("::1", 53)[:27]),
        (Kind.HOST, 7),
        (Kind.HOST, b"www.example.com"),
        (Kind.SECONDS, None),
        (Kind.FLAG, 2),
        (Kind.FLAG, "1"),
        (Kind.FLAG, None),
        (Kind.DUMP, "00"),
        (Kind.DUMP, None),
    ],
)
def test_a_field_of_another_type_is_refused(kind: Kind, value: Field) -> None:
    with pytest.raises(FieldError):
        WRITERS[kind](value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("jan", "jan"),
        (None, "<NULL>"),
        ("jan novak", '"jan novak"'),
        ("", '""'),
        ("<NULL>", '"<NULL>"'),
        ('a" RULE=b', '"a\\x22 RULE=b"'),
        ("a b" * 40, '"' + "a b" * 40 + '"'),
    ],
)
def test_the_value_of_a_key_cannot_pose_as_another_key(value: Field, text: str) -> None:
    assert write_quoted(value) == text


def test_a_long_text_loses_its_middle_and_keeps_its_end() -> None:
    written = write_text("a" * 5000 + "ValueError: the end")
    assert len(written) == MAX_TEXT_CHARS
    assert written.startswith("aaaa")
    assert "[...]" in written
    assert written.endswith("ValueError: the end")


@given(TEXT)
def test_escaped_text_prints_and_loses_nothing(text: str) -> None:
    escaped = escape(text)
    assert escaped.isprintable()
    octets = re.sub(
        rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), escaped.encode("utf-8", "surrogatepass")
    )
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert octets.decode() == text


@given(st.sampled_from(Kind), ANY_FIELD)
def test_any_value_becomes_printable_text_or_the_one_error(kind: Kind, value: Field) -> None:
    try:
        written = WRITERS[kind](value)
    except FieldError:
        return
    assert written.isprintable()
    encoded = encode_json(JSON_VALUES[kind](value))
    assert encoded.isprintable()
    json.loads(encoded)


def test_the_parts_of_a_socket_address_are_derived() -> None:
    parts = {ending: write(inet("192.0.2.1", 53)) for ending, write in DERIVED.items()}
    assert parts == {"_ip": "192.0.2.1", "_port": "53", "_port_name": "domain"}


@pytest.mark.parametrize("ending", sorted(DERIVED))
def test_the_parts_of_no_address_are_null(ending: str) -> None:
    assert DERIVED[ending](None) == "<NULL>"


def test_a_port_without_a_service_is_its_number() -> None:
    assert service_name(64999) == "64999"


@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_address_is_decoded_as_it_was_written(address: object, port: int) -> None:
    text = str(address)
    raw = inet6(text, port) if ":" in text else inet(text, port)
    decoded, decoded_port = decode_sockaddr(raw)
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    assert (socket.inet_pton(family, decoded), decoded_port) == (socket.inet_pton(family, text), port)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Kind.TEXT, "a\\b", "a\\b"),
        (Kind.TEXT, None, None),
        (Kind.NUMBER, 7, 7),
        (Kind.SOCK, inet("1.2.3.4", 53), "[1.2.3.4]:53"),
        (Kind.SOCK, None, None),
        (Kind.HOST, "a b", "a b"),
        (Kind.HOST, inet("1.2.3.4", 53), "1.2.3.4"),
        (Kind.HOST, None, None),
        (Kind.SECONDS, 1_500_000_000, 1.5),
        (Kind.FLAG, 1, True),
        (Kind.DUMP, b"\xff", "ff"),
    ],
)
def test_a_field_keeps_its_type_in_json(kind: Kind, value: Field, expected: object) -> None:
    assert json.loads(encode_json(JSON_VALUES[kind](value))) == expected


def test_json_with_what_does_not_print_is_pure_ascii() -> None:
    encoded = encode_json({"a": "\x7f\x9b\u2028\n"})
    assert encoded.isascii()
    assert encoded.isprintable()
    assert json.loads(encoded) == {"a": "\x7f\x9b\u2028\n"}


def test_a_station_id_is_written_as_uftp_writes_it() -> None:
    assert write_uid(0xC0C0) == "0x0000C0C0"
    for wrong in (2**32, -1, "0xC0C0"):
        with pytest.raises(FieldError):
            write_uid(wrong)


def test_of_many_station_ids_the_first_are_shown() -> None:
    assert write_uids(bytes.fromhex("00001111 0000abcd")) == "0x00001111, 0x0000ABCD"
    assert write_uids(bytes(4 * (MAX_UIDS + 3))).endswith(", 0x00000000 and 3 more")
    with pytest.raises(FieldError):
        write_uids(b"abc")
