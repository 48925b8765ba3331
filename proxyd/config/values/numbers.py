"""Numbers: counts, sizes with K, M, G, durations, ports. Source: udp-proxy.cfg(5), VALUE TYPES."""

from __future__ import annotations

import re
import socket

from proxyd.config.statements import Member, Value, Word
from proxyd.config.values.kind import Kind, scalar, unfit, word

SUFFIXES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
MAX_DIGITS = 30
"""More digits than any type holds; Python refuses to convert thousands of them."""
NS_PER_S = 1_000_000_000
LAST_PORT = 65535

_NUMBER = re.compile(rf"(?:0[xX](?P<hex>[0-9a-fA-F]{{1,{MAX_DIGITS}}})|(?P<digits>[0-9]{{1,{MAX_DIGITS}}}))")
_SIZE = re.compile(rf"(?P<digits>[0-9]{{1,{MAX_DIGITS}}})(?P<suffix>[KMGkmg])")
_SECONDS = re.compile(r"(?P<whole>[0-9]{1,10})(?:\.(?P<fraction>[0-9]{1,9}))?")


def parse_number(text: str, suffixed: bool = False) -> int | None:
    """Return the number that a word writes, decimal or 0x, None when it writes none. suffixed: K, M, G may follow."""
    if (plain := _NUMBER.fullmatch(text)) is not None:
        return int(plain["hex"], 16) if plain["hex"] else int(plain["digits"])
    if suffixed and (size := _SIZE.fullmatch(text)) is not None:
        return int(size["digits"]) * SUFFIXES[size["suffix"].upper()]
    return None


def unsigned(name: str, first: int, last: int, suffixed: bool = False) -> Kind:
    """Make the type of a whole number from first to last."""
    wanted = f"a number from {first} to {last}" + (", K, M or G may follow" if suffixed else "")

    def parse(member: Member) -> int:
        value = word(member, wanted)
        number = parse_number(value.text, suffixed)
        if number is None or not first <= number <= last:
            raise unfit(value, wanted)
        return number

    return Kind(name, wanted, parse, _show_size if suffixed else str)


def _show_size(number: int) -> str:
    for suffix in ("G", "M", "K"):
        if number and number % SUFFIXES[suffix] == 0:
            return f"{number // SUFFIXES[suffix]}{suffix}"
    return str(number)


def seconds(name: str, last: int) -> Kind:
    """Make the type of a duration, decimals allowed, above 0 and at most last seconds; values are nanoseconds."""
    wanted = f"seconds, above 0 and at most {last}, decimals allowed"

    def parse(member: Member) -> int:
        value = word(member, wanted)
        match = _SECONDS.fullmatch(value.text)
        if match is None:
            raise unfit(value, wanted)
        duration = int(match["whole"]) * NS_PER_S + int((match["fraction"] or "0").ljust(9, "0"))
        if not 0 < duration <= last * NS_PER_S:
            raise unfit(value, wanted)
        return duration

    return Kind(name, wanted, parse, _show_seconds)


def _show_seconds(duration: int) -> str:
    whole, fraction = divmod(duration, NS_PER_S)
    return f"{whole}.{fraction:09}".rstrip("0").rstrip(".")


def parse_port(value: Value, first: int = 0) -> int:
    """Return the port that a word or number stands for; a service name is looked up for UDP, then at large.

    Raises UnfitError. Source: services(5).
    """
    wanted = f"a port from {first} to {LAST_PORT} or the name of a service"
    if not isinstance(value, Word):
        raise unfit(value, wanted)
    number = parse_number(value.text)
    if number is None:
        number = _service(value.text)
    if number is None or not first <= number <= LAST_PORT:
        raise unfit(value, wanted)
    return number


def _service(name: str) -> int | None:
    for protocol in ("udp", None):
        try:
            return socket.getservbyname(name, protocol) if protocol else socket.getservbyname(name)
        except OSError:
            continue
    return None


def _port_kind(first: int) -> Kind:
    wanted = f"a port from {first} to {LAST_PORT} or the name of a service"
    return Kind("port", wanted, lambda member: parse_port(scalar(member, wanted), first), str)


UINT8 = unsigned("uint8", 0, 2**8 - 1)
POSITIVE8 = unsigned("uint8", 1, 2**8 - 1)
UINT16 = unsigned("uint16", 0, 2**16 - 1)
POSITIVE16 = unsigned("uint16", 1, 2**16 - 1)
UINT32 = unsigned("uint32", 0, 2**32 - 1)
POSITIVE32 = unsigned("uint32", 1, 2**32 - 1)
BYTES32 = unsigned("uint32", 0, 2**32 - 1, suffixed=True)
POSITIVE_BYTES = unsigned("uint64", 1, 2**64 - 1, suffixed=True)
DECIMAL_SECONDS = seconds("seconds", 65535)
PORT = _port_kind(0)
LISTEN_PORT = _port_kind(1)
