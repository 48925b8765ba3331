"""session-acl sections to AclSettings. What could be wrong with them is checked before (aclchecks).

Source: udp-proxy.cfg(5), SESSION-ACL.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proxyd.config.defaults import row_of, setting
from proxyd.config.matching import default_match
from proxyd.config.rows.acl import SESSION_TYPE
from proxyd.config.tree import Item, Section
from proxyd.config.values import sets, times
from proxyd.config.values.numbers import NS_PER_S
from workers.contract.settings import (
    AclSettings,
    HostCondition,
    Limits,
    SessionKind,
    SourceAddress,
    SourceFallback,
    SourcePort,
    SourcePortMode,
    TimeCondition,
    TimeItem,
    TimePeriods,
    TimeSpec,
    UserCondition,
)

TIMEOUTS = ("session", "in", "out", "both")
IN_LIMITS = ("max-dgrams-in", "max-bytes-in")


def compile_acl(acl: Section) -> AclSettings:
    """Compile one sound session-acl section; of one that denies, the conditions alone count."""
    conditions: dict[str, Any] = {
        "sources": tuple(_hosts(acl, "from")),
        "destinations": tuple(_hosts(acl, "to")),
        "servers": tuple(_hosts(acl, "server")),
        "transparent": setting(acl, "transparency"),
        "users": tuple(_user(item) for item in acl.all("user")),
        "time": _time(acl),
        "tos": _tos(acl),
    }
    name = acl.name or ""
    if not acl.has("accept"):
        return AclSettings(name, False, **conditions)
    return AclSettings(
        name,
        True,
        **conditions,
        plug_to=setting(acl, "plug-to"),
        kind=setting(acl, SESSION_TYPE),
        source_address=source_address(acl.item("source-address")),
        source_port=_source_port(acl.item("source-port")),
        limits=_limits(acl),
        queue_to_client=setting(acl, "queue-to-client"),
        queue_to_server=setting(acl, "queue-to-server"),
        tos_to_client=_tos_to(acl, "ip-tos-to-client"),
        tos_to_server=_tos_to(acl, "ip-tos-to-server"),
    )


def source_address(item: Item | None) -> SourceAddress | None:
    """Compile a source-address item; None without one."""
    if item is None:
        return None
    fallback = next((mode for mode in SourceFallback if mode.value in item), SourceFallback.DEFAULT)
    return SourceAddress("client" in item, item.get("addr4"), item.get("addr6"), fallback)


def timeouts(acl: Section) -> dict[str, int]:
    """Return the time limits in seconds that count: those written, or the default's.

    A one-way session has no datagrams from the server to wait for, so `in` does not count there.
    """
    row = row_of(acl, "timeout")
    default = default_match(row).values
    item = acl.item("timeout")
    values = dict(item.values if item is not None else default)
    if setting(acl, SESSION_TYPE) is SessionKind.ONE_WAY:
        values.pop("in", None)
    return values or dict(default)


def _hosts(acl: Section, keyword: str) -> Iterator[HostCondition]:
    for item in acl.all(keyword):
        bits = item.get("port")
        whole = bits is None or sets.is_whole(sets.PORT_DOMAIN, bits)
        yield HostCondition(item.get("hosts"), None if whole else sets.ranges(bits))


def _user(item: Item) -> UserCondition:
    groups = item.get("group") or frozenset()
    if "none" in item:
        return UserCondition(nobody=True)
    if "users" in item:
        return UserCondition(False, item.get("users"), groups)
    return UserCondition(False, frozenset(), groups)


def _time(acl: Section) -> TimeCondition | None:
    periods = acl.section("time-period-set")
    if periods is not None:
        return TimePeriods(periods.has("exclude"), tuple(map(_spec, periods.sections_of("time-spec"))))
    return tuple(map(_time_item, acl.all("time"))) or None


def _time_item(item: Item) -> TimeItem:
    minutes = item.get("hhmm")
    clock = None
    if minutes is not None and not sets.is_whole(times.CLOCK_DOMAIN, minutes):
        clock = tuple((first, last + 1) for first, last in sets.ranges(minutes))
    return TimeItem(
        _numbers(item.get("day"), sets.DAY_DOMAIN),
        _numbers(item.get("month"), times.MONTH_DOMAIN),
        _numbers(item.get("wday"), times.WEEKDAY_DOMAIN),
        clock,
    )


def _numbers(bits: int | None, domain: sets.Domain) -> frozenset[int] | None:
    return None if bits is None or sets.is_whole(domain, bits) else sets.numbers(bits)


def _spec(section: Section) -> TimeSpec:
    dates = tuple(
        ((item.get("from-day"), item.get("from-mon")), (item.get("till-day"), item.get("till-mon")))
        for item in section.all("dates")
    )
    weekdays = tuple((item.get("from"), item.get("till")) for item in section.all("weekdays"))
    hours = tuple((item.get("from"), item.get("till")) for item in section.all("hours"))
    return TimeSpec(section.name or "", dates, weekdays, hours)


def _tos(acl: Section) -> frozenset[int] | None:
    return _numbers(setting(acl, "ip-tos-from"), sets.UINT8_DOMAIN)


def _tos_to(acl: Section, keyword: str) -> int | None:
    section = acl.section(keyword)
    return None if section is None else setting(section, "set")


def _source_port(item: Item | None) -> SourcePort | None:
    if item is None:
        return None
    if "client" in item:
        return SourcePort(SourcePortMode.CLIENT)
    return SourcePort(SourcePortMode.FORCE, item.get("port"))


def _limits(acl: Section) -> Limits:
    one_way = setting(acl, SESSION_TYPE) is SessionKind.ONE_WAY
    values: dict[str, int | None] = {}
    for keyword in ("max-dgrams-in", "max-dgrams-out", "max-bytes-in", "max-bytes-out"):
        ignored = one_way and keyword in IN_LIMITS
        values[keyword.replace("-", "_")] = None if ignored else setting(acl, keyword)
    seconds = timeouts(acl)
    for name in TIMEOUTS:
        values[f"{name}_ns"] = seconds[name] * NS_PER_S if name in seconds else None
    return Limits(**values)
