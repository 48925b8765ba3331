"""What a condition of a rule asks for, in one line, much as the configuration has it: beside what it was held against.

Long lists are cut: who wants all of them reads the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workers.contract.settings import (
    AclSettings,
    HostCondition,
    Ranges,
    TimeItem,
    TimePeriods,
    TimeSpec,
    UserCondition,
)
from workers.policy.decided import member_text
from workers.policy.timecond import WEEKDAYS

MAX_CHARS = 80
MAX_MEMBERS = 8


def wanted(acl: AclSettings, condition: str) -> str:
    """Return what a rule's condition, named by its keyword as in workers.policy.acl, asks for; "" for no such one."""
    write = _WRITERS.get(condition)
    text = "" if write is None else write(acl)
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 3]}..."


def _join(parts: Iterable[str], between: str = ", ") -> str:
    found = list(parts)
    return between.join(found[:MAX_MEMBERS]) + (f"{between}..." if len(found) > MAX_MEMBERS else "")


def _hosts(conditions: tuple[HostCondition, ...]) -> str:
    return _join((_host(condition) for condition in conditions[: MAX_MEMBERS + 1]), " or ")


def _host(condition: HostCondition) -> str:
    members = _join(member_text(member) for member in condition.hosts.members[: MAX_MEMBERS + 1])
    text = members if len(condition.hosts.members) == 1 else f"{{ {members} }}"
    return text if condition.ports is None else f"{text} port {_ranges(condition.ports, str)}"


def _ranges(ranges: Ranges, write: Callable[[int], str]) -> str:
    return _join(write(first) if first == last else f"{write(first)}-{write(last)}" for first, last in ranges)


def _user(condition: UserCondition) -> str:
    if condition.nobody:
        return "nobody"
    if condition.names is None and not condition.groups:
        return "anybody"
    return _join([*sorted(condition.names or ()), *(f"group {name}" for name in sorted(condition.groups))])


def _time(acl: AclSettings) -> str:
    if isinstance(acl.time, TimePeriods):
        specs = _join((_spec(spec) for spec in acl.time.specs), " or ")
        return f"not {specs}" if acl.time.exclude else specs
    return "" if acl.time is None else _join(map(_item, acl.time), " or ")


def _item(item: TimeItem) -> str:
    parts = [
        *([] if item.days is None else [f"day {_join(map(str, sorted(item.days)))}"]),
        *([] if item.months is None else [f"month {_join(map(str, sorted(item.months)))}"]),
        *([] if item.weekdays is None else [_join(WEEKDAYS[day] for day in sorted(item.weekdays))]),
        *([] if item.minutes is None else [_join(f"{_clock(first)}-{_clock(last)}" for first, last in item.minutes)]),
    ]
    return " ".join(parts) or "*"


def _spec(spec: TimeSpec) -> str:
    dates = (f"{one[1]:02}-{one[0]:02} to {two[1]:02}-{two[0]:02}" for one, two in spec.dates)
    days = (
        WEEKDAYS[first] if first == last else f"{WEEKDAYS[first]}-{WEEKDAYS[last]}" for first, last in spec.weekdays
    )
    hours = (f"{_clock(first)}-{_clock(last)}" for first, last in spec.hours)
    text = " ".join(filter(None, map(_join, (dates, days, hours))))
    return f"{spec.name} ({text})" if text else spec.name


def _clock(minute: int) -> str:
    return f"{minute // 60:02}{minute % 60:02}"


_WRITERS: dict[str, Callable[[AclSettings], str]] = {
    "transparency": lambda acl: "transparent" if acl.transparent else "non-transparent",
    "ip-tos-from": lambda acl: _join(map(str, sorted(acl.tos or ()))),
    "from": lambda acl: _hosts(acl.sources),
    "to": lambda acl: _hosts(acl.destinations),
    "server": lambda acl: _hosts(acl.servers),
    "user": lambda acl: _join(map(_user, acl.users), " or "),
    "time": _time,
}
