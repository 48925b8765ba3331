"""The network interfaces of this host, and what a name on the command line means among them.

Taken once, at the start: only interfaces that are up, with a carrier or not, in the order of their numbers, one entry
an address. Source: uftpproxyd(8), OPTIONS, -I and -O; netdevice(7), SIOCGIFFLAGS.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proxyd.errors import SetupError
from proxyd.uftp.options import OptionError
from workers.contract.settings import Address
from workers.contract.uftp import Interface
from workers.net.interfaces import Assigned, Interfaces

_LINK_LOCAL = ipaddress.ip_network("fe80::/10")
_SIOCGIFFLAGS = 0x8913
_REQUEST = struct.Struct("=16sH22x")
"""struct ifreq: the interface's name, and its flags in the answer."""
_UP = 0x1


@dataclass(frozen=True, slots=True)
class Entry:
    """One address of an interface that is up. label: another name that the address alone is known by, "" for none."""

    interface: Interface
    loopback: bool
    label: str = ""

    @property
    def names(self) -> tuple[str, str, str]:
        """What it may be called by: the interface's name and number, the address's label."""
        return self.interface.name, str(self.interface.number), self.label

    @property
    def version(self) -> int:
        """The address's IP version."""
        return self.interface.address.version

    @property
    def link_local(self) -> bool:
        """Whether the address is good on its link only."""
        address = self.interface.address
        return address.version == 6 and address.native in _LINK_LOCAL


def parse_address(text: str) -> Address | None:
    """Return the address that text is, a scope behind it aside; None for anything else."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return Address(address.version, int(address))


def list_interfaces() -> tuple[Entry, ...]:
    """Return every address of every interface that is up. Raises SetupError."""
    try:
        kernel = Interfaces()
        try:
            assigned = kernel.table.assigned
        finally:
            kernel.close()
        up = dict(_interfaces_up())
    except OSError as error:
        raise SetupError("list the interfaces", error.strerror or str(error)) from error
    entries = [_entry(one, up[one.interface]) for one in assigned if one.interface in up]
    return tuple(sorted(entries, key=lambda entry: entry.interface.number))


def _interfaces_up() -> Iterator[tuple[int, str]]:
    """Yield number and name of each interface that is up. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, _REQUEST.pack(os.fsencode(name), 0))
            except OSError:
                # It has gone in between.
                continue
            if _REQUEST.unpack(answer)[1] & _UP:
                yield number, name


def _entry(assigned: Assigned, name: str) -> Entry:
    address = Address(assigned.version, int.from_bytes(assigned.local))
    label = "" if assigned.label == name else assigned.label
    return Entry(Interface(name, assigned.interface, address), address.native.is_loopback, label)


def find_interface(text: str, entries: Sequence[Entry]) -> Entry:
    """Return what text names: an interface by name or number, /4 or /6 behind it or not, or an address of this host.

    Without a version, IPv4 comes before IPv6, and an address for everywhere before one of a link. Raises OptionError.
    """
    name, slash, version = text.rpartition("/")
    if not slash:
        name, version = text, ""
    wanted = {"4": (4,), "6": (6,), "": (4, 6)}.get(version)
    if wanted is not None:
        named = [entry for entry in entries if name and name in entry.names]
        found = [entry for entry in named if entry.version in wanted]
        if found:
            return min(found, key=lambda entry: (entry.version, entry.link_local))
    own = _own_entry(text, entries)
    if own is None:
        raise OptionError(f"found '{text}'; wanted an interface of this host that is up, or an address it has")
    return own


def usable(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return what is listened on where nothing is named: everything but loopback."""
    return tuple(entry for entry in entries if not entry.loopback)


def default_out(entries: Sequence[Entry], version: int) -> Entry | None:
    """Return what is sent from where nothing is named: the first interface of that version, loopback only at need."""
    found = [entry for entry in entries if entry.version == version]
    return min(found, key=lambda entry: (entry.loopback, entry.link_local), default=None)


def one_each(entries: Sequence[Entry], version: int) -> tuple[Interface, ...]:
    """Return the interfaces that a socket of that version can use, once for each version of their addresses.

    A group can be joined once on each, however many addresses it has.
    """
    found: dict[tuple[int, int], Interface] = {}
    for entry in entries:
        if entry.version <= version:
            found.setdefault((entry.interface.number, entry.version), entry.interface)
    return tuple(found.values())


def default_uid(entries: Sequence[Entry]) -> int:
    """Return a UID made of the first address: an IPv4 address itself, the last four bytes of an IPv6 address; 0: none.

    Source: uftpproxyd(8), -U. 4.10.2 has an IPv6 address's bytes the other way round.
    """
    uids = (entry.interface.address.value & 0xFFFF_FFFF for entry in entries)
    return next((uid for uid in uids if 0 < uid < 2**32 - 1), 0)


def _own_entry(text: str, entries: Sequence[Entry]) -> Entry | None:
    """Return the entry with an address that text is, or that is one of the host it names."""
    literal = parse_address(text)
    addresses = [literal] if literal is not None else _look_up(text)
    return next((entry for address in addresses for entry in entries if entry.interface.address == address), None)


def _look_up(name: str) -> list[Address]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return []
    parsed = (parse_address(str(item[4][0])) for item in found)
    return [address for address in parsed if address is not None]
