"""Addresses, host names, host sets and socks. Source: udp-proxy.cfg(5), HOST SETS."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from proxyd.config.statements import (
    Braces,
    Bracketed,
    HostPort,
    Member,
    Pattern,
    Span,
    Star,
    Value,
    Word,
)
from proxyd.config.values.kind import Kind, UnfitError, describe, parse_each, scalar, unfit
from proxyd.config.values.numbers import parse_number, parse_port
from workers.contract.settings import (
    Address,
    AddressRange,
    AnyHost,
    HostItem,
    HostList,
    HostMember,
    HostName,
    HostPattern,
    MaskedAddress,
    Sock,
)
from workers.policy.pattern import PatternError, compile_pattern

BITS = {4: 32, 6: 128}
MAX_NAME_CHARS = 253
"""Source: RFC 1035 §2.3.4, without the length bytes."""
_MAPPED = 0xFFFF << 32
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")

_ADDRESS_WANTED = "an address as [192.0.2.1] or [2001:db8::1]"
_HOST_WANTED = "an address as [192.0.2.1], or a host name"
_SOCK_WANTED = "a host and a port as [192.0.2.1] : 53"
_SET_WANTED = "addresses, networks and ranges in brackets, names, /patterns/, '*', or a list of these in braces"


@dataclass(frozen=True, slots=True)
class Prefix:
    """An address and the length of its network's prefix."""

    address: Address
    length: int


def parse_address(text: str) -> Address | None:
    """Return the address that a text writes, None when it writes none; IPv4-mapped IPv6 counts as IPv4."""
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.scope_id is not None:
            return None
        if parsed.ipv4_mapped is not None:
            return Address(4, int(parsed.ipv4_mapped))
    return Address(parsed.version, int(parsed))


def show_address(address: Address) -> str:
    """Return an address as text, in brackets."""
    return f"[{address}]"


def parse_name(value: Word) -> HostName:
    """Return the host name that a word writes, lower case, no trailing dot.

    Raises UnfitError. Source: RFC 1123 §2.1.
    """
    text = value.text.lower().removesuffix(".")
    labels = text.split(".")
    if labels[-1].isdigit():
        hint = f"[{text}]" if parse_address(text) is not None else _ADDRESS_WANTED
        raise UnfitError(
            value.place, f"found {describe(value)}", f"wanted a host name, or brackets around an address: {hint}"
        )
    if len(text) > MAX_NAME_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise unfit(value, "a host name")
    return HostName(text)


def parse_host(value: Value, wanted: str = _HOST_WANTED) -> Address | HostName:
    """Return the address or the name that a value writes. Raises UnfitError."""
    if isinstance(value, Word):
        return parse_name(value)
    address = parse_address(value.text) if isinstance(value, Bracketed) else None
    if address is None:
        raise unfit(value, wanted)
    return address


def show_host(host: Address | HostName) -> str:
    """Return a host as the configuration writes it."""
    return host.name if isinstance(host, HostName) else show_address(host)


def _parse_plain_address(member: Member) -> Address:
    value = scalar(member, _ADDRESS_WANTED)
    address = parse_address(value.text) if isinstance(value, Bracketed) else None
    if address is None:
        raise unfit(value, _ADDRESS_WANTED)
    return address


def _address_of(version: int) -> Kind:
    wanted = f"an IPv{version} address in brackets"

    def parse(member: Member) -> int:
        address = _parse_plain_address(member)
        if address.version != version:
            raise unfit(member.value, wanted)
        return address.value

    return Kind("host", wanted, parse, lambda value: show_address(Address(version, value)))


def _prefix_of(version: int) -> Kind:
    example = {4: "[192.0.2.1/24]", 6: "[2001:db8::1/64]"}[version]
    wanted = f"an IPv{version} address, with its prefix length as in {example}"

    def parse(member: Member) -> Prefix:
        value = scalar(member, wanted)
        text, slash, length = value.text.partition("/") if isinstance(value, Bracketed) else ("", "", "")
        address = parse_address(text.strip())
        bits = parse_number(length.strip()) if slash else BITS[version]
        if address is None or address.version != version or bits is None or bits > BITS[version]:
            raise unfit(value, wanted)
        return Prefix(address, bits)

    return Kind("host", wanted, parse, lambda prefix: f"[{prefix.address}/{prefix.length}]")


# --- socks -------------------------------------------------------------------------------------------------------


def parse_sock(member: Member) -> Sock:
    """Return a host and a port; port None where none was written or it was 0. Raises UnfitError."""
    value = member.value
    if member.negated:
        raise UnfitError(member.place, f"found '!' before {describe(value)}", f"wanted {_SOCK_WANTED}")
    if isinstance(value, Braces | Span):
        raise unfit(value, _SOCK_WANTED)
    if isinstance(value, HostPort):
        return Sock(parse_host(value.host, _SOCK_WANTED), parse_port(value.port) or None)
    return Sock(parse_host(value, _SOCK_WANTED), None)


def _parse_strict_sock(member: Member) -> Sock:
    if not isinstance(member.value, HostPort):
        raise unfit(member.value, _SOCK_WANTED)
    return parse_sock(member)


def show_sock(sock: Sock) -> str:
    """Return a sock as the configuration writes it."""
    return show_host(sock.host) if sock.port is None else f"{show_host(sock.host)} : {sock.port}"


# --- host sets ---------------------------------------------------------------------------------------------------


def parse_hosts(member: Member) -> HostList:
    """Return a host list. Raises UnfitError."""
    if isinstance(member.value, Braces) and not member.negated:
        return _list(member.value)
    return HostList((_member(member),))


def _list(braces: Braces) -> HostList:
    return HostList(parse_each(braces.members, _member))


def _member(member: Member) -> HostMember:
    return HostMember(_item(member.value), member.negated)


def _item(value: Value) -> HostItem:
    match value:
        case Star():
            return AnyHost()
        case Word():
            return parse_name(value)
        case Bracketed():
            return _network(value)
        case Pattern():
            return _pattern(value)
        case Span():
            return _span(value)
        case Braces():
            return _list(value)
        case HostPort():
            raise unfit(value, f"{_SET_WANTED}; in 'to' and 'server' a port stands behind them: port 53")
    raise unfit(value, _SET_WANTED)


def _pattern(value: Pattern) -> HostPattern:
    text = value.text.replace("\\/", "/")
    if not text:
        raise unfit(value, "a regular expression between the slashes")
    try:
        compile_pattern(text)
    except PatternError as error:
        raise UnfitError(
            value.place, f"found {describe(value)}", f"{error.why}, at character {error.offset + 1}"
        ) from None
    return HostPattern(text)


def _span(value: Span) -> AddressRange:
    wanted = "two addresses of one IP version, the lower one first"
    first, last = value.first, value.last
    if not isinstance(first, Bracketed) or not isinstance(last, Bracketed):
        raise unfit(value, wanted)
    low, high = parse_address(first.text), parse_address(last.text)
    if low is None or high is None or low.version != high.version or low.value > high.value:
        raise unfit(value, wanted)
    return AddressRange(low.version, low.value, high.value)


def _network(value: Bracketed) -> AddressRange | MaskedAddress:
    text, slash, mask_text = (part.strip() for part in value.text.partition("/"))
    if not slash:
        address = parse_address(text)
        if address is None:
            raise unfit(value, _ADDRESS_WANTED + _bracket_hint(text))
        return AddressRange(address.version, address.value, address.value)
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        raise unfit(value, "a network as [192.0.2.0/24]") from None
    mask = _mask(mask_text, parsed.version)
    if mask is None or getattr(parsed, "scope_id", None) is not None:
        raise unfit(value, f"a prefix length from 0 to {BITS[parsed.version]} or a mask behind the slash")
    return _masked(parsed.version, int(parsed), mask)


def _bracket_hint(text: str) -> str:
    """Tell how to write what is no address but stands in brackets, where it is something else."""
    first, _, last = (part.strip() for part in text.partition("-"))
    if parse_address(first) is not None and parse_address(last) is not None:
        return f"; a range is [{first}]-[{last}]"
    is_name = all(_LABEL.fullmatch(label) for label in text.split(".")) and not text.replace(".", "").isdigit()
    return f"; a host name stands without brackets: {text}" if is_name else ""


def _mask(text: str, version: int) -> int | None:
    """Return the mask that a prefix length, a dotted mask or a hexadecimal number writes."""
    bits = BITS[version]
    if text.isdigit():
        length = parse_number(text)
        return None if length is None or length > bits else (1 << bits) - (1 << (bits - length))
    if text[:2] in ("0x", "0X"):
        number = parse_number(text)
        return None if number is None or number >= 1 << bits else number
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    return int(parsed) if parsed.version == version else None


def _masked(version: int, address: int, mask: int) -> AddressRange | MaskedAddress:
    high = ((1 << 96) - 1) << 32
    if version == 6 and mask & high == high and address & high == _MAPPED:
        version, address, mask = 4, address & 0xFFFFFFFF, mask & 0xFFFFFFFF
    value, rest = address & mask, ~mask & ((1 << BITS[version]) - 1)
    if rest & (rest + 1):
        return MaskedAddress(version, value, mask)
    return AddressRange(version, value, value | rest)


def show_hosts(hosts: HostList) -> str:
    """Return a host list as the configuration writes it."""
    return f"{{ {', '.join(map(show_member, hosts.members))} }}" if hosts.members else "{ }"


def show_member(member: HostMember) -> str:
    """Return one member of a host list as the configuration writes it."""
    return f"! {_show_item(member.item)}" if member.negated else _show_item(member.item)


def _show_item(item: HostItem) -> str:
    match item:
        case AnyHost():
            return "*"
        case HostName(name):
            return name
        case HostPattern(pattern):
            return "/{}/".format(pattern.replace("/", "\\/"))
        case MaskedAddress(version, value, mask):
            return f"[{Address(version, value)}/{Address(version, mask)}]"
        case AddressRange():
            return _show_range(item)
        case HostList():
            return show_hosts(item)


def _show_range(item: AddressRange) -> str:
    first = Address(item.version, item.first)
    size = item.last - item.first + 1
    if size == 1:
        return show_address(first)
    if size & (size - 1) == 0 and item.first % size == 0:
        return f"[{first}/{BITS[item.version] - size.bit_length() + 1}]"
    return f"{show_address(first)}-{show_address(Address(item.version, item.last))}"


ADDRESS4 = _address_of(4)
ADDRESS6 = _address_of(6)
PREFIX4 = _prefix_of(4)
PREFIX6 = _prefix_of(6)
ADDRESS = Kind("host", _ADDRESS_WANTED, _parse_plain_address, show_address)
HOST = Kind("host", _HOST_WANTED, lambda member: parse_host(scalar(member, _HOST_WANTED)), show_host)
HOST_SET = Kind("host-set", _SET_WANTED, parse_hosts, show_hosts)
SOCK = Kind("sock", _SOCK_WANTED, parse_sock, show_sock)
STRICT_SOCK = Kind("sock", _SOCK_WANTED, _parse_strict_sock, show_sock)
