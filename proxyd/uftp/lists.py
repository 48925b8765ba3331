"""Server lists (-S), client lists (-C) and key fingerprints, as files and the command line write them.

A line is an item, its fields divided by `|`; empty lines and lines that begin with # say nothing.
Source: uftpproxyd(8), -S and -C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from proxyd.uftp.options import OptionError, parse_uid
from workers.contract.settings import Address
from workers.contract.uftp import ClientEntry, ServerEntry

FINGERPRINT_BYTES = 20

Entry = TypeVar("Entry")


def parse_fingerprint(text: str) -> bytes:
    """Return a key's fingerprint: 20 bytes in hexadecimal with colons between. Raises OptionError."""
    parts = text.strip().split(":")
    try:
        # Each part by itself, and two digits at most: int() takes signs and more.
        raw = bytes(int(part, 16) if part.isalnum() and len(part) <= 2 else 256 for part in parts)
    except ValueError:
        raw = b""
    if len(raw) != FINGERPRINT_BYTES:
        raise OptionError(f"found the fingerprint '{text}'; wanted {FINGERPRINT_BYTES} hexadecimal bytes with colons")
    return raw


def read_servers(path: str, look_up: Callable[[str], Address]) -> tuple[ServerEntry, ...]:
    """Read a server list: `UID|address[|fingerprint]`. look_up: finds a host's address.

    Raises OptionError naming the line, or the file that cannot be read.
    """

    def parse(fields: list[str]) -> ServerEntry:
        if not 2 <= len(fields) <= 3:
            raise OptionError(f"found {len(fields)} fields; wanted UID|address or UID|address|fingerprint")
        key = parse_fingerprint(fields[2]) if len(fields) == 3 and fields[2].strip() else None
        return ServerEntry(parse_uid(fields[0]), look_up(fields[1].strip()), key)

    return tuple(_entries(path, parse))


def read_clients(path: str) -> tuple[ClientEntry, ...]:
    """Read a client list: `UID[|fingerprint]`. Raises OptionError naming the line, or the file that cannot be read."""

    def parse(fields: list[str]) -> ClientEntry:
        if len(fields) > 2:
            raise OptionError(f"found {len(fields)} fields; wanted UID or UID|fingerprint")
        key = parse_fingerprint(fields[1]) if len(fields) == 2 and fields[1].strip() else None
        return ClientEntry(parse_uid(fields[0]), key)

    return tuple(_entries(path, parse))


def _entries(path: str, parse: Callable[[list[str]], Entry]) -> Iterator[Entry]:
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise OptionError(f"{path}: {error.strerror or error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            try:
                entry = parse(line.strip().split("|"))
            except OptionError as error:
                raise OptionError(f"{path}:{number}: {error}") from error
            yield entry
