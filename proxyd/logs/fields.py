"""What a field of an event looks like in a log: one function a kind, text for a line and a value for JSON.

A child's word is untrusted: everything here checks its type and its bounds, and no text leaves with a control
character, a line end, or anything else that does not print. A backslash is written as \\x5c, so that every backslash
in a line begins an escape. Texts are the same again and again (a session logs its client several times), hence the
bounded caches. Source: logging(7); the kinds are workers.contract.catalogue's.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import msgspec

from proxyd.errors import ProxydError
from workers.contract.catalogue import Kind

Field: TypeAlias = str | int | bytes | None
JsonValue: TypeAlias = str | int | float | bool | None

NULL = "<NULL>"
MAX_TEXT_CHARS = 2000
"""Longer texts lose their middle: a traceback says most at its end."""
KEPT_HEAD_CHARS = 500
CUT_MARK = "[...]"
CACHED_TEXT_CHARS = 64
MAX_UIDS = 40
"""IDs shown of one list."""

_ENCODER = msgspec.json.Encoder()
_FAMILY = struct.Struct("=H")
_INET = struct.Struct(">2xH4s")
_INET6 = struct.Struct(">2xHI16s")
_SCOPE = struct.Struct("=I")
_SCOPE_OFFSET = 24
_SOCKADDR_IN_BYTES = 16
_SOCKADDR_IN6_BYTES = 28


class FieldError(ProxydError, ValueError):
    """A record is not what the catalogue says: whoever sent it broke the contract."""


# --- text --------------------------------------------------------------------------------------------------------


def escape(text: str) -> str:
    r"""Return text with every character that does not print, and the backslash, as \xHH (of its UTF-8 bytes)."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_escape_character, text))


def _escape_character(character: str) -> str:
    if character.isprintable() and character != "\\":
        return character
    undecoded = "\udc80" <= character <= "\udcff"
    octets = character.encode(errors="surrogateescape" if undecoded else "surrogatepass")
    return "".join(f"\\x{octet:02x}" for octet in octets)


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARS:
        return text
    return text[:KEPT_HEAD_CHARS] + CUT_MARK + text[len(text) - (MAX_TEXT_CHARS - KEPT_HEAD_CHARS - len(CUT_MARK)) :]


def _quote(escaped: str) -> str:
    if escaped and escaped != NULL and " " not in escaped and '"' not in escaped:
        return escaped
    return '"' + escaped.replace('"', "\\x22") + '"'


_short_text = lru_cache(maxsize=4096)(escape)


@lru_cache(maxsize=4096)
def _short_value(text: str) -> str:
    return _quote(escape(text))


def write_text(value: Field) -> str:
    """Write text as it stands in a sentence: escaped, at most MAX_TEXT_CHARS of it."""
    if type(value) is str:
        return _short_text(value) if len(value) <= CACHED_TEXT_CHARS else escape(_cut(value))
    if value is None:
        return NULL
    raise FieldError(f"wants text, got {type(value).__name__}")


def write_quoted(value: Field) -> str:
    """Write text as the value of a KEY=: quoted when it is empty, holds a blank or a quote, or spells <NULL>."""
    if type(value) is str:
        return _short_value(value) if len(value) <= CACHED_TEXT_CHARS else _quote(escape(_cut(value)))
    if value is None:
        return NULL
    raise FieldError(f"wants text, got {type(value).__name__}")


# --- socket addresses --------------------------------------------------------------------------------------------


def decode_sockaddr(raw: bytes) -> tuple[str, int]:
    """Return address text and port of a struct sockaddr_in or sockaddr_in6, zero padding allowed.

    A scope of a link-local address follows it as %number. Raises FieldError for anything else. Source: ip(7), ipv6(7).
    """
    if not _SOCKADDR_IN_BYTES <= len(raw) <= _SOCKADDR_IN6_BYTES:
        raise FieldError(f"no socket address has {len(raw)} bytes")
    (family,) = _FAMILY.unpack_from(raw)
    if family == socket.AF_INET:
        port, packed = _INET.unpack_from(raw)
        return socket.inet_ntop(socket.AF_INET, packed), port
    if family != socket.AF_INET6 or len(raw) != _SOCKADDR_IN6_BYTES:
        raise FieldError(f"no socket address: family {family}, {len(raw)} bytes")
    port, _flow, packed = _INET6.unpack_from(raw)
    (scope,) = _SCOPE.unpack_from(raw, _SCOPE_OFFSET)
    address = socket.inet_ntop(socket.AF_INET6, packed)
    return (f"{address}%{scope}" if scope else address), port


@lru_cache(maxsize=512)
def _sock(value: Field) -> tuple[str, int]:
    """Return address and port: the parts of one address are asked for one after the other."""
    if type(value) is not bytes:
        raise FieldError(f"wants a socket address, got {type(value).__name__}")
    return decode_sockaddr(value)


@lru_cache(maxsize=4096)
def write_sock(value: Field) -> str:
    """Write a socket address as [address]:port."""
    if value is None:
        return NULL
    address, port = _sock(value)
    return f"[{address}]:{port}"


@lru_cache(maxsize=4096)
def _write_address(value: Field) -> str:
    return NULL if value is None else _sock(value)[0]


@lru_cache(maxsize=4096)
def _write_port(value: Field) -> str:
    return NULL if value is None else str(_sock(value)[1])


@lru_cache(maxsize=4096)
def service_name(port: int) -> str:
    """Return the name of a UDP service, the port's number where it has none. Source: services(5)."""
    try:
        return socket.getservbyport(port, "udp")
    except OSError:
        return str(port)


@lru_cache(maxsize=4096)
def _write_service(value: Field) -> str:
    return NULL if value is None else escape(service_name(_sock(value)[1]))


def write_host(value: Field) -> str:
    """Write a host as the value of a KEY=: its name as quoted text, or else the address of a socket address."""
    return write_quoted(value) if type(value) is str else _write_address(value)


# --- the other kinds ---------------------------------------------------------------------------------------------


def _integer(value: Field) -> int:
    if type(value) is not int:
        raise FieldError(f"wants a number, got {type(value).__name__}")
    if not -(2**63) <= value < 2**64:
        raise FieldError("a number beyond 64 bits")
    return value


def write_number(value: Field) -> str:
    """Write an integer of at most 64 bits."""
    return str(_integer(value))


def write_seconds(value: Field) -> str:
    """Write nanoseconds as seconds with three decimals."""
    return f"{_integer(value) / 1e9:.3f}"


def _flag(value: Field) -> bool:
    if not isinstance(value, int) or value not in (0, 1):
        raise FieldError("wants 0 or 1")
    return value == 1


def write_flag(value: Field) -> str:
    """Write 0 or 1 as NO or YES."""
    return "YES" if _flag(value) else "NO"


def write_dump(value: Field) -> str:
    """Write payload bytes as hexadecimal digits."""
    if type(value) is not bytes:
        raise FieldError(f"wants payload bytes, got {type(value).__name__}")
    return value.hex()


def write_uid(value: Field) -> str:
    """Write the ID of a UFTP station as 0x and eight hexadecimal digits."""
    number = _integer(value)
    if not 0 <= number < 2**32:
        raise FieldError(f"{number} is not a station's ID")
    return f"0x{number:08X}"


def write_uids(value: Field) -> str:
    """Write IDs of UFTP stations with commas between them; of many, the first and how many they are."""
    if type(value) is not bytes or len(value) % 4:
        raise FieldError("wants IDs of four bytes each")
    shown = [f"0x{value[at : at + 4].hex().upper()}" for at in range(0, min(len(value), 4 * MAX_UIDS), 4)]
    rest = len(value) // 4 - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


# --- JSON --------------------------------------------------------------------------------------------------------


def _json_text(value: Field) -> JsonValue:
    if type(value) is not str:
        return None
    text = _cut(value)
    return text if text.isprintable() else text.encode(errors="backslashreplace").decode()


def _json_sock(value: Field) -> JsonValue:
    return None if value is None else write_sock(value)


def _json_host(value: Field) -> JsonValue:
    if value is None:
        return None
    return _json_text(value) if type(value) is str else write_host(value)


def encode_json(value: object) -> str:
    """Encode one object on one line that holds printable characters only."""
    text = _ENCODER.encode(value).decode()
    if text.isprintable():
        return text
    return json.dumps(json.loads(text), separators=(",", ":"))


def encode_part(value: object) -> msgspec.Raw:
    """Encode a part that goes into several objects of encode_json() once."""
    return msgspec.Raw(_ENCODER.encode(value))


# --- the tables --------------------------------------------------------------------------------------------------

WRITERS: dict[Kind, Callable[[Field], str]] = {
    Kind.TEXT: write_text,
    Kind.NUMBER: write_number,
    Kind.SOCK: write_sock,
    Kind.HOST: write_host,
    Kind.SECONDS: write_seconds,
    Kind.FLAG: write_flag,
    Kind.DUMP: write_dump,
    Kind.UID: write_uid,
    Kind.UIDS: write_uids,
}
"""How a field is written in a line. Each raises FieldError for a value of another type."""

DERIVED: dict[str, Callable[[Field], str]] = {
    "_ip": _write_address,
    "_port": _write_port,
    "_port_name": _write_service,
}
"""What a template may ask of a SOCK field beside the field itself: its name with one of these behind it."""

JSON_VALUES: dict[Kind, Callable[[Field], JsonValue]] = {
    Kind.TEXT: _json_text,
    Kind.NUMBER: _integer,
    Kind.SOCK: _json_sock,
    Kind.HOST: _json_host,
    Kind.SECONDS: lambda value: _integer(value) / 1e9,
    Kind.FLAG: _flag,
    Kind.DUMP: write_dump,
    Kind.UID: write_uid,
    Kind.UIDS: write_uids,
}
"""What a field is in JSON: seconds are a number, a flag is a boolean, what is absent is null."""
