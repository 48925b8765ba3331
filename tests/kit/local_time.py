"""A program's idea of local time, as a test wants it: a time zone file that puts the clock where it is needed."""

from __future__ import annotations

import struct
import time
from datetime import datetime, timedelta
from pathlib import Path

_TZIF = struct.Struct(">4sB15x6I")
_TYPE = struct.Struct(">iBB")
_NAME = b"TST\0"


def zone_where_it_is(wanted: datetime, path: Path) -> dict[str, str]:
    """Write a time zone in which it is wanted now, to the second; return the environment that sets it.

    wanted: without a time zone of its own. Source: RFC 8536, version 1, a single type.
    """
    offset = wanted - datetime.fromtimestamp(int(time.time()), tz=None).astimezone().replace(tzinfo=None)
    offset += datetime.now().astimezone().utcoffset() or timedelta()
    header = _TZIF.pack(b"TZif", 0, 0, 0, 0, 0, 1, len(_NAME))
    path.write_bytes(header + _TYPE.pack(round(offset.total_seconds()), 0, 0) + _NAME)
    return {"TZ": f":{path}"}


def today_at(hour: int, minute: int, second: int) -> datetime:
    """Return this time of this day: less than a day away, which is as far as Python believes a zone."""
    return datetime.now().replace(hour=hour, minute=minute, second=second, microsecond=0)
