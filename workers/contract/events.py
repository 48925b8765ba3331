"""What an event of the log is: its fields, and the lines it becomes. The rows are in workers.contract.catalogue.

Source: udp-proxy(8), LOGGING; uftpproxyd(8), LOGGING.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a field holds on the channel, and so how it is written."""

    TEXT = "text"
    """Text; control characters are escaped; None is written <NULL>."""
    NUMBER = "number"
    """An integer."""
    SOCK = "sock"
    """A raw struct sockaddr_in or sockaddr_in6, written [address]:port; None is written <NULL>."""
    HOST = "host"
    """A host's name as text, or, where it is not known, a raw socket address, of which the address is written."""
    SECONDS = "seconds"
    """Nanoseconds, written as seconds with three decimals."""
    FLAG = "flag"
    """0 or 1, written NO or YES."""
    DUMP = "dump"
    """Payload bytes, written as hexadecimal."""
    UID = "uid"
    """The 32-bit ID of a UFTP station, written 0x0000C0C0."""
    UIDS = "uids"
    """Such IDs, four bytes each in network order, written with commas between."""


LEVEL_BASE = 4
"""What level 0 of uftpproxyd is here: 0 to 5 are 4 to 9."""
LEVELS = {"C": 2, "E": 3, "W": 4, "N": 5, "I": 6, "K": 6, "D": 7, "T": 8, "F": 9} | {
    str(level): level + LEVEL_BASE for level in range(6)
}
"""Severity letter to level: a line is written when its level is at most the log's. A digit is a level of uftpproxyd."""
ALWAYS = frozenset("CNIK")
"""Letters that are written whatever the level."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an event. text: a str.format template over the event's field names. stats: which log it goes to."""

    id: str
    text: str
    stats: bool = False

    @property
    def letter(self) -> str:
        """The severity letter that ends the message id."""
        return self.id[-1]


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its fields, in the order of the channel, and its lines, in the order they are written."""

    name: str
    fields: tuple[tuple[str, Kind], ...]
    lines: tuple[Line, ...]

    def wanted_at(self, level: int) -> bool:
        """Tell whether any of the lines is written at this level of the debug log."""
        return any(line.stats or line.letter in ALWAYS or LEVELS[line.letter] <= level for line in self.lines)
