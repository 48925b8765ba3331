"""What name resolution takes from the machine: /etc/hosts and /etc/resolv.conf, read while they can be read.

A resolver child has another root directory when it begins to work, so it is given what it needs. A file that is not
there is as good as empty. Source: hosts(5), resolv.conf(5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from workers.contract.settings import Address, ResolverSettings
from workers.policy.hostset import normal_address, normal_name

RESOLV_CONF = Path("/etc/resolv.conf")
HOSTS = Path("/etc/hosts")
DNS_PORT = 53
MAX_NDOTS = 15
MAX_FILE_BYTES = 4_000_000
"""Of a longer file only the beginning is read: lists of blocked names can be long, but hardly longer."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that resolving needs. servers: (address, port), at least one; ndots: dots that make a name complete.

    hosts: the machine's own table, asked first. timeout_ns: for one name. reverse_timeout_ns: for the name of one
    address.
    """

    servers: tuple[tuple[Address, int], ...]
    search: tuple[str, ...]
    ndots: int
    hosts: Mapping[str, frozenset[Address]]
    timeout_ns: int
    reverse_timeout_ns: int = 1_000_000_000


class ResolvConf(NamedTuple):
    """What a resolv.conf says; Source: resolv.conf(5)."""

    servers: tuple[Address, ...] = ()
    search: tuple[str, ...] = ()
    ndots: int = 1


def prepare(settings: ResolverSettings, resolv_conf: Path = RESOLV_CONF, hosts: Path = HOSTS) -> Prepared:
    """Read what the settings leave to the system. Without any name server it is the one on this machine."""
    system = parse_resolv_conf(_read(resolv_conf))
    servers = settings.servers or tuple((address, DNS_PORT) for address in system.servers)
    return Prepared(
        servers or ((Address(4, 0x7F000001), DNS_PORT),),
        settings.search or system.search,
        system.ndots,
        parse_hosts(_read(hosts)),
        settings.conf_timeout_ns,
        settings.initial_timeout_ns,
    )


def stamps(resolv_conf: Path = RESOLV_CONF, hosts: Path = HOSTS) -> tuple[tuple[int, ...], ...]:
    """Return what changes whenever one of the files does."""
    return tuple(_stamp(path) for path in (resolv_conf, hosts))


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def parse_resolv_conf(text: str) -> ResolvConf:
    """Parse a resolv.conf as the C library does: what is not understood is passed over, the last search list counts."""
    servers: list[Address] = []
    search: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        keyword, *values = line.split() or ("",)
        if keyword == "nameserver" and values:
            servers += _addresses(values[:1])
        elif keyword in ("search", "domain") and values:
            search = tuple(values if keyword == "search" else values[:1])
        elif keyword == "options":
            ndots = next((found for value in values if (found := _ndots(value)) is not None), ndots)
    return ResolvConf(tuple(servers), search, ndots)


def parse_hosts(text: str) -> dict[str, frozenset[Address]]:
    """Parse a hosts file to addresses by name, lower case; lines without a usable address are passed over."""
    table: dict[str, frozenset[Address]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        addresses = _addresses(words[:1])
        for word in words[1:] if addresses else ():
            name = normal_name(word)
            table[name] = table.get(name, frozenset()).union(addresses)
    return table


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _addresses(words: list[str]) -> list[Address]:
    """Return the addresses that words spell; one with a zone cannot be used and is left out."""
    found: list[Address] = []
    for word in words:
        try:
            address = ip_address(word)
        except ValueError:
            continue
        if "%" not in word:
            found.append(normal_address(Address(address.version, int(address))))
    return found


def _ndots(option: str) -> int | None:
    keyword, _, value = option.partition(":")
    if keyword != "ndots" or not value.isascii() or not value.isdigit():
        return None
    return min(int(value[:9]), MAX_NDOTS)
