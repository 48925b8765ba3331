"""Users that sit at client addresses: the out-of-band file, and whether a user condition holds.

The file is text here: reading it, and reading it again, is the caller's. Source: udp-proxy.cfg(5), OOB-AUTH; auth(5).
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import NamedTuple

from workers.contract.settings import Address, AuthSettings, UserCondition
from workers.errors import WorkerError
from workers.policy.hostset import normal_address

MAX_LINE_BYTES = 32_768
"""Of a line of the file: an entry must fit into one message to a worker."""


class User(NamedTuple):
    """Who sits at an address; user as written in the file."""

    user: str
    groups: frozenset[str] = frozenset()


class UsersError(WorkerError):
    """A line of the out-of-band file cannot be believed, and so none of it; line counts from 1."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(line, why)
        self.line = line
        self.why = why

    def __str__(self) -> str:
        return f"line {self.line}: {self.why}"


def matches(condition: UserCondition, user: str | None, groups: Collection[str]) -> bool:
    """Tell whether a user condition holds; user None is nobody. Names and groups are case-sensitive.

    user: as match_name returns it.
    """
    if condition.nobody or user is None:
        return condition.nobody and user is None
    if condition.names is None or user in condition.names:
        return True
    return not condition.groups.isdisjoint(groups)


def match_name(user: str, short: bool) -> str:
    r"""Return the name a user is matched by: in full, or short: without `DOMAIN\` before and `@realm` after it."""
    if not short:
        return user
    name = user.rpartition("\\")[2]
    return name.partition("@")[0]


def parse_users(text: str, settings: AuthSettings) -> dict[Address, User]:
    r"""Parse an out-of-band file: lines `address<TAB>user[<TAB>group,group…]`; empty ones and `#` comments are skipped.

    Raises UsersError for the first line that is malformed, names an address a second time, or exceeds the settings'
    bounds: max_sessions lines, max_user_chars in a name of a user or group, max_groups groups.
    """
    users: dict[Address, User] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        entry = line.removesuffix("\r")
        if not entry or entry.startswith("#"):
            continue
        address, user = _parse_line(entry, number, settings)
        if address in users:
            raise UsersError(number, f"the address {line.partition(chr(9))[0]} is there twice")
        if len(users) >= settings.max_sessions:
            raise UsersError(number, f"more than {settings.max_sessions} addresses")
        users[address] = user
    return users


def _parse_line(line: str, number: int, settings: AuthSettings) -> tuple[Address, User]:
    if len(line) > MAX_LINE_BYTES or len(line.encode(errors="replace")) > MAX_LINE_BYTES:
        raise UsersError(number, f"longer than {MAX_LINE_BYTES} bytes")
    fields = line.split("\t")
    if len(fields) not in (2, 3):
        raise UsersError(number, f"{len(fields)} fields; wanted address, user and perhaps groups, one tab between")
    groups = fields[2].split(",") if len(fields) == 3 else []
    if len(groups) > settings.max_groups:
        raise UsersError(number, f"more than {settings.max_groups} groups")
    for name in (fields[1], *groups):
        if not name or not name.isprintable() or len(name) > settings.max_user_chars:
            raise UsersError(
                number, f"{name[:80]!r} is no name: wanted 1 to {settings.max_user_chars} printable characters"
            )
    try:
        address = ip_address(fields[0])
    except ValueError:
        raise UsersError(number, f"{fields[0][:80]!r} is no IP address") from None
    if "%" in fields[0]:
        raise UsersError(number, "an address with a zone cannot be matched")
    return normal_address(Address(address.version, int(address))), User(fields[1], frozenset(groups))
