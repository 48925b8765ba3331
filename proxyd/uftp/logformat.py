"""The log of uftpproxyd as its users know it: `2026/11/22 01:02:03.000004: [GGGGGGGG/II:FFFF]: text`, levels 0 to 5.

The frame's own lines (children, sockets) have letters for levels elsewhere; here they get the level that fits.
Source: uftpproxyd(8), LOGGING; UFTP 4.10.2, observed.
"""

from __future__ import annotations

import time
from functools import lru_cache

from proxyd.errors import SetupError
from proxyd.logs.lines import Format, Happening, LinePlan
from proxyd.logs.rolling import RollingFile
from proxyd.logs.setup import STDERR_FD, Log, Logs, host_name
from proxyd.logs.sinks import Sink
from proxyd.logs.stream import Stream
from workers.contract.events import LEVEL_BASE, LEVELS
from workers.contract.settings import LogSettings, Settings

_LETTER_LEVELS = {"C": 0, "E": 0, "W": 1, "N": 2, "I": 2, "K": 2, "D": 4, "T": 4, "F": 5}


class UftpFormat(Format):
    """Lines of uftpproxyd. A line is one datagram's or one event's; it has no id."""

    def level(self, line: LinePlan) -> int:
        """Return the level from which on a line is written: LEVEL_BASE stands for 0."""
        letter = line.id[-1]
        return LEVELS[letter] if letter.isdigit() else LEVEL_BASE + _LETTER_LEVELS[letter]

    def head(self, line: LinePlan, happening: Happening) -> str:
        """Return the time; as JSON the line has it inside."""
        return super().head(line, happening) if self.json else f"{local_time(happening.now)}: "

    def body(self, line: LinePlan, happening: Happening) -> str:
        """Return a line's text, or its JSON object."""
        return super().body(line, happening) if self.json else line.message(happening.values)


def local_time(now: float) -> str:
    """Return local time with microseconds; now: seconds since 1970."""
    second, fraction = divmod(now, 1)
    return f"{_whole_seconds(int(second))}.{int(fraction * 1e6):06d}"


@lru_cache(maxsize=4)
def _whole_seconds(second: int) -> str:
    return time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(second))


def open_log(frame: Settings) -> Logs:
    """Open the log file, or in the foreground standard error. Raises SetupError (step open)."""
    settings = frame.debug_log
    try:
        sink = _open_sink(settings)
    except OSError as error:
        raise SetupError(f"open {settings.file}", error.strerror or str(error)) from error
    log = Log(UftpFormat(frame.program, host_name(), json=settings.json), sink)
    return Logs(log, log, settings.level)


def _open_sink(settings: LogSettings) -> Sink:
    if settings.file is None:
        return Stream(STDERR_FD)
    return RollingFile(settings.file, settings.rotate_bytes, settings.rotate_count)
