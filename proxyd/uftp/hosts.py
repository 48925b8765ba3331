"""Hosts and groups of the command line as addresses: looked up once, at the start.

Source: uftpproxyd(8), -s, -H and -M.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

from proxyd.errors import SetupError
from proxyd.uftp.options import OptionError
from workers.contract.settings import Address
from workers.contract.uftp import DEFAULT_PORT
from workers.wire import sockaddr

_MAPPED = 0xFFFF << 32
_SSM4 = ipaddress.IPv4Network("232.0.0.0/8")


class Host(NamedTuple):
    """An address, and the interface it is on where it is good on its link only (0: anywhere)."""

    address: Address
    scope: int = 0


def look_up(text: str) -> Host:
    """Return the first address of a host. Raises OptionError."""
    try:
        found = socket.getaddrinfo(text, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise OptionError(f"found the host '{text}'; wanted one that has an address") from error
    place = found[0][4]
    literal = ipaddress.ip_address(str(place[0]).partition("%")[0])
    return Host(Address(literal.version, int(literal)), int(place[3]) if len(place) > 3 else 0)


def look_up_with_port(text: str) -> tuple[Host, int]:
    """Return a host's first address and its port, 1044 unless `:port` follows; an IPv6 address stands in brackets.

    Raises OptionError.
    """
    name, port = text, str(DEFAULT_PORT)
    if text.startswith("["):
        name, bracket, behind = text[1:].partition("]")
        port = behind.removeprefix(":") or port
        if not bracket:
            raise OptionError(f"found '{text}'; wanted a ']' behind the address")
    elif text.count(":") == 1:
        name, _, port = text.partition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise OptionError(f"found the port '{port}' in '{text}'; wanted a number from 1 to 65535")
    return look_up(name), int(port)


def look_up_group(text: str) -> Host:
    """Return a multicast address. Raises OptionError for no address, SetupError for one that cannot be joined."""
    host = look_up(text)
    if not host.address.native.is_multicast:
        raise SetupError(f"join {text}", "not a multicast address")
    return host


def is_source_specific(address: Address) -> bool:
    """Tell whether a group may be joined for single sources. Source: observed: 4.10.2 takes ff1x, ff2x and ff3x."""
    if address.version == 4:
        return address.native in _SSM4
    return address.value >> 120 == 0xFF and bool(address.value >> 112 & 0x30)


def raw(host: Host, port: int, version: int) -> bytes:
    """Return a raw socket address for a socket of that IP version: on IPv6, IPv4 is mapped. Raises OptionError."""
    address = host.address
    if address.version > version:
        raise OptionError(f"found the IPv6 address {address} beside IPv4 ones; wanted one version")
    if address.version < version:
        address = Address(6, _MAPPED | address.value)
    return sockaddr.encode(address, port, host.scope)
