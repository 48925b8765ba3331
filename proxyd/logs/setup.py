"""The parent's two logs: opened from the settings, written by the parent and, through proxyd.logs.relay, its children.

The debug log takes every line that its writer's level lets through: the parent's here, a child's in the child, since
each process has its own (SIGUSR1). The stats log takes the records of ended sessions. A log goes to
its file, else to its syslog facility, else to standard error (in the foreground) or to syslog (local4, local5).
Source: udp-proxy.cfg(5), log-debug and log-stats; logging(7).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxyd.errors import SetupError
from proxyd.logs.fields import Field, FieldError
from proxyd.logs.lines import PLANS, Format, Happening
from proxyd.logs.rolling import RollingFile
from proxyd.logs.sinks import Sink
from proxyd.logs.stream import Stream
from proxyd.logs.syslog import SYSLOG_PATH, Syslog
from workers.contract.messages import LogRecord
from workers.contract.settings import LogSettings, Settings

MIN_LEVEL, MAX_LEVEL = 3, 9
STDERR_FD = 2


@dataclass(frozen=True, slots=True)
class Places:
    """Where the machine keeps things. fallback_dir: of the files for `syslog-failure file`."""

    syslog: str = SYSLOG_PATH
    fallback_dir: str = "/var/log"
    stderr_fd: int = STDERR_FD


@dataclass(frozen=True, slots=True)
class Log:
    """One log: how its lines look and where they go."""

    format: Format
    sink: Sink


class Logs:
    """Both logs of the proxy. clock returns seconds since 1970: the time of every line."""

    def __init__(self, debug: Log, stats: Log, level: int, clock: Callable[[], float] = time.time) -> None:
        self._debug = debug
        self._stats = stats
        self._clock = clock
        self._reported: dict[Sink, int] = {}
        self._ailing: set[Sink] = set()
        self._sinks = (debug.sink,) if stats.sink is debug.sink else (debug.sink, stats.sink)
        self.level = level

    @property
    def level(self) -> int:
        """The debug log's level for the parent's own lines; what is set is brought into 3 to 9."""
        return self._level

    @level.setter
    def level(self, level: int) -> None:
        self._level = min(max(level, MIN_LEVEL), MAX_LEVEL)

    # --- writing -------------------------------------------------------------------------------------------------

    def note(self, event: str, *fields: Field, pid: int | None = None, track: int = 0) -> None:
        """Log an event of the parent itself. Raises FieldError when the catalogue has no such event."""
        self._put(event, fields, (os.getpid() if pid is None else pid, track), self._level, self._clock())

    def write(self, record: LogRecord, pid: int, age_ns: int = 0) -> None:
        """Log a record of child pid, whatever the level here: the child has one of its own, and has asked it.

        age_ns: how long ago it happened.
        Raises FieldError when it is not what the catalogue says.
        """
        self._put(record.event, record.fields, (pid, record.track), MAX_LEVEL, self._clock() - age_ns / 1e9)

    def _put(self, event: str, fields: tuple[Field, ...], place: tuple[int, int], level: int, now: float) -> None:
        plan = PLANS.get(event)
        if plan is None:
            raise FieldError(f"no such event: {event[:40]!r}")
        happening = Happening(plan, fields, plan.values(fields), now, *place)
        for line in plan.lines:
            log = self._stats if line.stats else self._debug
            form = log.format
            if level == MAX_LEVEL or form.level(line) <= level:
                log.sink.write(form.head(line, happening), form.body(line, happening))

    # --- the owner's duties --------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Pass on what was written; to be called once a turn. Never blocks but as a disk does, never raises."""
        for sink in self._sinks:
            sink.flush()
            if sink.trouble.reason is not None and self._is_to_be_told(sink):
                self._report(sink)

    def _is_to_be_told(self, sink: Sink) -> bool:
        """Tell whether a log's trouble is told: at its end, and at its beginning if the log for that works."""
        if sink.healthy:
            self._ailing.discard(sink)
            return True
        if sink in self._ailing or not self._debug.sink.healthy:
            return False
        self._ailing.add(sink)
        return True

    def _report(self, sink: Sink) -> None:
        second = int(self._clock())
        if second == self._reported.get(sink):
            return
        report = sink.trouble.take()
        if report is not None:
            self._reported[sink] = second
            self.note("log-trouble", sink.name, *report)

    @property
    def waiting(self) -> bool:
        """Whether something waits for a slow reader after flush(): come back soon."""
        return any(sink.waiting for sink in self._sinks)

    @property
    def failure(self) -> str | None:
        """Why the proxy must end: a log with `syslog-failure stop` is not taken any more. None: it need not."""
        return next((sink.failure for sink in self._sinks if sink.failure is not None), None)

    @property
    def shed(self) -> int:
        """How many lines the logs could not take, ever."""
        return sum(sink.trouble.shed for sink in self._sinks)

    def reopen(self) -> None:
        """Go by name again to every file and socket: a file may have been moved away."""
        for sink in self._sinks:
            sink.reopen()

    def take(self, others: Logs) -> None:
        """Write to where others do from now on, and close what was written to before. The others are not used again."""
        self.close()
        self._debug, self._stats, self._sinks = others._debug, others._stats, others._sinks
        self._reported, self._ailing = {}, set()

    def close(self) -> None:
        """Pass on what waits, within half a second a log, and close."""
        for sink in self._sinks:
            sink.close()


class EarlyLog(Logs):
    """The logs before there are settings: standard error, at the level of the command line. Flushes every line."""

    def __init__(self, level: int, ident: str = "udp-proxy", places: Places | None = None) -> None:
        log = Log(Format(ident, host_name()), Stream((places or Places()).stderr_fd))
        super().__init__(log, log, level)

    def note(self, event: str, *fields: Field, pid: int | None = None, track: int = 0) -> None:
        """Log an event at once."""
        super().note(event, *fields, pid=pid, track=track)
        self.flush()


# --- opening -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Role:
    """One of the two logs. facility: where it goes when nothing else is said, as in syslog(3)."""

    section: str
    facility: int
    fallback: str


_DEBUG = _Role("log-debug", 20, "debug")
_STATS = _Role("log-stats", 21, "stats")


@dataclass(frozen=True, slots=True)
class _Opening:
    """What both logs are opened with."""

    foreground: bool
    ident: str
    places: Places

    def open(self, role: _Role, log: LogSettings) -> Log:
        """Open one log. Raises SetupError."""
        try:
            if log.file is not None:
                return Log(self._format(log), RollingFile(log.file, log.rotate_bytes, log.rotate_count))
            if log.facility is None and self.foreground:
                return Log(self._format(log), Stream(self.places.stderr_fd))
            return self._open_syslog(role, log)
        except OSError as error:
            target = log.file or self.places.syslog
            raise SetupError(f"open {role.section} {target}", error.strerror or str(error)) from error

    def share(self, debug: Log, log: LogSettings) -> Log:
        """Make the stats log one with the debug log's file or stream."""
        return Log(self._format(log), debug.sink)

    def _open_syslog(self, role: _Role, log: LogSettings) -> Log:
        facility = role.facility if log.facility is None else log.facility
        name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in self.ident)
        fallback = Path(self.places.fallback_dir) / f"{name}-{role.fallback}.log"
        sink = Syslog(self.places.syslog, log.syslog_failure, fallback=str(fallback), split=not log.json)
        return Log(self._format(log, facility), sink)

    def _format(self, log: LogSettings, facility: int | None = None) -> Format:
        return Format(self.ident, host_name(), json=log.json, facility=facility)


def open_refusal_log(ident: str, places: Places | None = None) -> Logs | None:
    """Open the log in which somebody looks for a proxy that does not start: syslog, at its defaults; None without one.

    ident: as in open_logs.
    """
    log = LogSettings()
    opened = _Opening(False, ident, places or Places()).open(_DEBUG, log)
    return None if opened.sink.fileno() < 0 else Logs(opened, opened, log.level)


def host_name() -> str:
    """Return this machine's name without its domain, as syslog writes it."""
    return socket.gethostname().partition(".")[0]


def _same_target(debug: LogSettings, stats: LogSettings, foreground: bool) -> bool:
    if debug.file is not None and stats.file is not None:
        return Path(debug.file).resolve() == Path(stats.file).resolve()
    return foreground and all(log.file is None and log.facility is None for log in (debug, stats))


def open_logs(settings: Settings, foreground: bool, ident: str, places: Places | None = None) -> Logs:
    """Open both logs; a file or a stream that is named for both is opened once, and rolls as log-debug says.

    ident: the name in front of the process id. Raises SetupError when a file cannot be opened, or when syslog cannot
    be reached and `syslog-failure stop` is set.
    """
    opening = _Opening(foreground, ident, places or Places())
    debug = opening.open(_DEBUG, settings.debug_log)
    if _same_target(settings.debug_log, settings.stats_log, foreground):
        return Logs(debug, opening.share(debug, settings.stats_log), settings.debug_log.level)
    try:
        stats = opening.open(_STATS, settings.stats_log)
    except SetupError:
        debug.sink.close()
        raise
    return Logs(debug, stats, settings.debug_log.level)
