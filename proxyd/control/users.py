"""Who sits at which address, as the proxy believes it: one table from one file, and what is looked for in it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from proxyd.control import protocol


class User(msgspec.Struct, frozen=True):
    """Somebody at an address, and the groups he is in."""

    address: str
    user: str
    groups: list[str]


class Register(msgspec.Struct, frozen=True):
    """All users. read_unix: when they were taken from the file, in seconds since 1970; None: never.

    complaint: why the proxy has not taken what stands in the file now, empty: it has.
    """

    file: str
    read_unix: float | None
    complaint: str
    users: list[User]


def extend(register: Register | None, part: protocol.Users) -> Register:
    """Return a register with the users of one message more."""
    known = [] if register is None else register.users
    return Register(part.file, part.read_unix, part.complaint, [*known, *map(_user, part.entries)])


def _user(entry: tuple[bytes, str, list[str]]) -> User:
    raw, name, groups = entry
    return User(str(ipaddress.ip_address(raw)), name, groups)


@dataclass(frozen=True)
class Wanted:
    """Whom to look for; what is None is not looked at."""

    user: str | None = None
    group: str | None = None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None

    def fits(self, found: User) -> bool:
        """Tell whether somebody is meant."""
        return (
            (self.user is None or found.user == self.user)
            and (self.group is None or self.group in found.groups)
            and (self.network is None or ipaddress.ip_address(found.address) in self.network)
        )


def select(users: Iterable[User], wanted: Wanted) -> list[User]:
    """Return those that are meant, by address."""
    return sorted(filter(wanted.fits, users), key=lambda found: _order(found.address))


def count_groups(users: Iterable[User]) -> dict[str, int]:
    """Return how many users each group has, the largest first; those in no group count under an empty name."""
    counts: dict[str, int] = {}
    for found in users:
        for group in found.groups or [""]:
            counts[group] = counts.get(group, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _order(text: str) -> tuple[int, int]:
    address = ipaddress.ip_address(text)
    return address.version, int(address)
