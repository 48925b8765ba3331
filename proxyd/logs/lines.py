"""Events to lines: the texts of the catalogue filled in, as the operator reads them or as JSON. Pure.

Templates are taken apart once, at import; a line then costs three to five microseconds (2026-11, Python 3.11).
A placeholder right behind `=` is the value of a key and quoted where it must be, so that no field can pose as another.
Source: udp-proxy(8), LOGGING; RFC 3164 section 4.1 for the time and the priority; RFC 3339 for the time in JSON.
"""

from __future__ import annotations

import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter

import msgspec

from proxyd.logs.fields import (
    DERIVED,
    JSON_VALUES,
    WRITERS,
    Field,
    FieldError,
    JsonValue,
    encode_json,
    encode_part,
    escape,
    write_quoted,
)
from workers.contract.catalogue import ALWAYS, EVENTS, LEVELS, Event, Kind, Line

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MAX_SEVERITY = 7
_QUOTED = "="


@dataclass(frozen=True, slots=True)
class LinePlan:
    """One line, ready to be filled. level: of the debug log that wants it; 0 is always wanted.

    template: %s for each value; headed: the same behind the id; pick: takes the line's values out of the event's.
    """

    id: str
    level: int
    severity: int
    stats: bool
    template: str
    headed: str
    pick: Callable[[list[str]], tuple[str, ...] | str]

    def message(self, values: list[str]) -> str:
        """Return the line's text, without its id."""
        return self.template % self.pick(values)


@dataclass(frozen=True, slots=True)
class EventPlan:
    """One event, ready to be written: what values its lines need, each from which field."""

    event: Event
    slots: tuple[tuple[Callable[[Field], str], int], ...]
    lines: tuple[LinePlan, ...]

    def values(self, fields: tuple[Field, ...]) -> list[str]:
        """Write the fields as text. Raises FieldError when they are not the event's."""
        if len(fields) != len(self.event.fields):
            raise FieldError(f"{self.event.name}: {len(fields)} fields, wants {len(self.event.fields)}")
        try:
            return [write(fields[index]) for write, index in self.slots]
        except FieldError as error:
            raise FieldError(f"{self.event.name}: {error}") from None

    def json_fields(self, fields: tuple[Field, ...]) -> dict[str, JsonValue]:
        """Return the fields by name as JSON values; they have been through values()."""
        pairs = zip(self.event.fields, fields, strict=True)
        return {name: JSON_VALUES[kind](value) for (name, kind), value in pairs}


@dataclass(slots=True)
class Happening:
    """One event that happened: now in seconds since 1970; process and track that it happened in."""

    plan: EventPlan
    fields: tuple[Field, ...]
    values: list[str]
    now: float
    pid: int
    track: int
    _json_fields: msgspec.Raw | None = None

    def json_fields(self) -> msgspec.Raw:
        """Return the fields as a JSON object, made once for all lines."""
        if self._json_fields is None:
            self._json_fields = encode_part(self.plan.json_fields(self.fields))
        return self._json_fields


# --- plans -------------------------------------------------------------------------------------------------------


def _slot_writers(event: Event) -> dict[str, tuple[Callable[[Field], str], int]]:
    writers: dict[str, tuple[Callable[[Field], str], int]] = {}
    for index, (name, kind) in enumerate(event.fields):
        writers[name] = (WRITERS[kind], index)
        if kind is Kind.TEXT:
            writers[_QUOTED + name] = (write_quoted, index)
        if kind is Kind.SOCK:
            writers |= {name + ending: (write, index) for ending, write in DERIVED.items()}
    return writers


def _placeholders(text: str) -> tuple[str, list[str]]:
    """Return a template's text with %s for each placeholder, and their names; `=` in front of a quoted one."""
    parts: list[str] = []
    names: list[str] = []
    for literal, name, _spec, _conversion in string.Formatter().parse(text):
        parts.append(literal.replace("%", "%%"))
        if name is not None:
            parts.append("%s")
            names.append(_QUOTED + name if literal.endswith(_QUOTED) else name)
    return "".join(parts), names


def _no_values(_values: list[str]) -> tuple[str, ...]:
    return ()


def _plan_line(line: Line, writers: dict[str, tuple[Callable[[Field], str], int]], wanted: list[str]) -> LinePlan:
    template, names = _placeholders(line.text)
    names = [name if name in writers else name.removeprefix(_QUOTED) for name in names]
    wanted.extend(name for name in dict.fromkeys(names) if name not in wanted)
    always = line.stats or line.letter in ALWAYS
    return LinePlan(
        id=line.id,
        level=0 if always else LEVELS[line.letter],
        severity=min(LEVELS[line.letter], MAX_SEVERITY),
        stats=line.stats,
        template=template,
        headed=f"{line.id} {template}",
        pick=itemgetter(*map(wanted.index, names)) if names else _no_values,
    )


def plan_event(event: Event) -> EventPlan:
    """Take an event's templates apart. Raises KeyError for a placeholder that is neither a field nor derived."""
    writers = _slot_writers(event)
    wanted: list[str] = []
    lines = tuple(_plan_line(line, writers, wanted) for line in event.lines)
    used = {writers[name][1] for name in wanted}
    wanted.extend(name for index, (name, _kind) in enumerate(event.fields) if index not in used)
    return EventPlan(event, tuple(writers[name] for name in wanted), lines)


PLANS: dict[str, EventPlan] = {name: plan_event(event) for name, event in EVENTS.items()}
"""The plan of every event of the catalogue, by name."""


# --- times -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def text_time(second: int) -> str:
    """Return local time as `Sep  8 07:40:22`, whatever the locale. Source: RFC 3164 section 4.1.2."""
    at = time.localtime(second)
    return f"{MONTHS[at.tm_mon - 1]} {at.tm_mday:2d} {at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}"


@lru_cache(maxsize=4)
def _json_time_parts(second: int) -> tuple[str, str]:
    at = time.localtime(second)
    sign, minutes = "-" if at.tm_gmtoff < 0 else "+", abs(at.tm_gmtoff) // 60
    return time.strftime("%Y-%m-%dT%H:%M:%S", at), f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def json_time(now: float) -> str:
    """Return local time with milliseconds and offset. Source: RFC 3339 section 5.6."""
    second = int(now)
    date, offset = _json_time_parts(second)
    return f"{date}.{int((now - second) * 1000):03d}{offset}"


# --- formats -----------------------------------------------------------------------------------------------------


class Format:
    """How the lines of one log look: host and ident as in syslog; facility (0 to 23) for lines that go to syslog."""

    def __init__(self, ident: str, host: str, *, json: bool = False, facility: int | None = None) -> None:
        self.ident = escape(ident)
        self.host = escape(host)
        self.json = json
        self.facility = facility
        self._origin = ""
        self._origin_of = (-1, -1)

    def level(self, line: LinePlan) -> int:
        """Return the level from which on a line is written."""
        return line.level

    def head(self, line: LinePlan, happening: Happening) -> str:
        """Return what stands before a line's text: it is repeated when the line is split."""
        if self.json and self.facility is None:
            return ""
        second = int(happening.now)
        if (second, happening.pid) != self._origin_of:
            self._origin_of = (second, happening.pid)
            host = "" if self.facility is not None else f" {self.host}"
            self._origin = f"{text_time(second)}{host} {self.ident}[{happening.pid}."
        if self.facility is None:
            return f"{self._origin}{happening.track}]: "
        return f"<{self.facility * 8 + line.severity}>{self._origin}{happening.track}]: "

    def body(self, line: LinePlan, happening: Happening) -> str:
        """Return a line's text, or its JSON object."""
        if not self.json:
            return line.headed % line.pick(happening.values)
        return encode_json(
            {
                "time": json_time(happening.now),
                "host": self.host,
                "ident": self.ident,
                "pid": happening.pid,
                "track": happening.track,
                "id": line.id,
                "level": line.id[-1],
                "event": happening.plan.event.name,
                "message": line.message(happening.values),
                "fields": happening.json_fields(),
            }
        )
