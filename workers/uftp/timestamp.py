"""Wall-clock instants on the wire: 32 bits of seconds since 1970 and 32 of microseconds.

A station sends its partner's timestamp back, later by the time it held it: so round trips are measured without equal
clocks. Source: observed: tests/vectors/uftp.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from workers.wire.reader import Reader

LAYOUT = struct.Struct("!II")
_SECOND_US = 1_000_000
_SECONDS = 1 << 32


class Timestamp(NamedTuple):
    """An instant as it was sent. microseconds of a million and more are kept as they came."""

    seconds: int = 0
    microseconds: int = 0

    @classmethod
    def from_us(cls, microseconds: int) -> Timestamp:
        """Return the timestamp of an instant, in microseconds since 1970. Seconds wrap at 32 bits, in 2106."""
        seconds, rest = divmod(microseconds, _SECOND_US)
        return cls(seconds % _SECONDS, rest)

    @property
    def total_us(self) -> int:
        """Microseconds since 1970."""
        return self.seconds * _SECOND_US + self.microseconds

    def later(self, by_us: int) -> Timestamp:
        """Return this timestamp as it must be sent on after it was held for by_us microseconds."""
        return Timestamp.from_us(self.total_us + by_us)


def take(reader: Reader) -> Timestamp:
    """Read a timestamp. Raises DecodeError."""
    return Timestamp(*reader.take(LAYOUT, "timestamp"))
