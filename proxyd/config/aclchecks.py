"""What must agree inside a session-acl, and between the session-acls and the rest of the proxy.

Source: udp-proxy.cfg(5), SESSION-ACL; udp-proxy(8), Server connection and Broadcasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address

from proxyd.config.defaults import setting
from proxyd.config.filechecks import has_users
from proxyd.config.findings import Findings
from proxyd.config.overlap import may_share_destination
from proxyd.config.prototype import Keyword
from proxyd.config.rows.acl import ACTIONS, SESSION_TYPE, TIMEOUT_ABSENT
from proxyd.config.tree import Item, Section
from proxyd.config.values import hosts, times
from proxyd.config.values.words import nearest
from workers.contract.settings import (
    AddressRange,
    HostItem,
    HostList,
    HostMember,
    HostName,
    ListenerSettings,
    SessionKind,
    Sock,
)
from workers.policy.covered import covered_negations
from workers.policy.users import match_name

VERDICTS = ("accept", "deny")
_NUMBER_SETS = {
    "to": ("port",),
    "server": ("port",),
    "time": ("day", "month", "wday", "hhmm"),
    "ip-tos-from": ("val",),
}
"""Parts of conditions that are sets of numbers, kept as bits: 0 is the empty one."""

_MEANT_ALL: frozenset[HostItem] = frozenset(
    {HostName("any"), HostName("all"), AddressRange(4, 0, 0), AddressRange(6, 0, 0)},
)
"""What others write for all hosts: here, names like any other and addresses that no host has."""


def check_acls(tree: Section, proxy: Section, listeners: tuple[ListenerSettings, ...], findings: Findings) -> None:
    """Check all session-acl sections of the proxy. listeners: those without mistakes."""
    acls = list(proxy.sections_of("session-acl"))
    checks = _AclChecks(tree, proxy, listeners, findings)
    for acl in acls:
        checks.check(acl)
    _check_mixture([acl for acl in acls if acl.has("accept")], findings)


class _AclChecks:
    """The checks of one session-acl after another, with what they are held against."""

    def __init__(
        self, tree: Section, proxy: Section, listeners: tuple[ListenerSettings, ...], findings: Findings
    ) -> None:
        self._proxy = proxy
        self._listeners = listeners
        self._findings = findings
        self._queues = [section.name for section in tree.sections_of("queue") if section.name]

    def check(self, acl: Section) -> None:
        self._verdict(acl)
        self._conditions(acl)
        self._host_sets(acl)
        self._number_sets(acl)
        if acl.has("accept"):
            self._target(acl)
            self._kind(acl)
            self._timeout(acl)
            self._queue_names(acl)

    def _verdict(self, acl: Section) -> None:
        written = [item for keyword in VERDICTS if (item := acl.item(keyword)) is not None]
        if not written:
            self._findings.error(acl.error("found neither 'accept' nor 'deny'", "wanted exactly one of them"))
        elif len(written) > 1:
            self._findings.error(
                max(written, key=lambda item: item.position).error(
                    "found both 'accept' and 'deny'", "wanted exactly one of them"
                )
            )
        elif acl.has("deny"):
            for row in _written_actions(acl):
                text = f"'{row.name}' has no effect in a rule that denies"
                self._findings.warn(_first(acl, row).error(text))

    def _conditions(self, acl: Section) -> None:
        time, periods = acl.item("time"), acl.section("time-period-set")
        if time is not None and periods is not None:
            both: list[Item | Section] = [time, periods]
            later = max(both, key=lambda condition: condition.position)
            self._findings.error(later.error("found both 'time' and 'time-period-set'", "wanted one of them"))
        if periods is not None:
            self._periods(periods)
        users = [item for item in acl.all("user") if item.sound and "none" not in item]
        if users and not has_users(self._proxy):
            text = "this condition never holds without 'auth oob'"
            self._findings.warn(users[0].error(text))
        for item in users:
            self._users(item)

    def _users(self, item: Item) -> None:
        names = item.get("users") or ()
        if not names and not item.get("group") and ("users" not in item or item.get("users") is not None):
            self._findings.warn(item.error("the empty set matches no user", part="users"))
        if setting(self._proxy, "user-match") is True:
            for name in sorted(name for name in names if match_name(name, short=True) != name):
                found = f"'{name}' is the name of no user with 'user-match short'"
                self._findings.warn(
                    item.error(found, f"wanted '{match_name(name, short=True)}', without domain", "users")
                )

    def _periods(self, periods: Section) -> None:
        if not periods.has("exclude") and periods.section("time-spec") is None:
            self._findings.warn(periods.error("without a 'time-spec' this condition never holds"))
        for item in (item for spec in periods.sections_of("time-spec") for item in spec.all("dates") if item.sound):
            for end in ("from", "till"):
                day, month = item.get(f"{end}-day"), item.get(f"{end}-mon")
                last = times.DAYS_IN_MONTH[month - 1]
                if day > last:
                    found = f"found day {day} of {times.MONTHS[month - 1]}"
                    self._findings.error(item.error(found, f"wanted a day from 1 to {last}", f"{end}-day"))

    def _host_sets(self, acl: Section) -> None:
        for item in acl.items:
            value = item.get("hosts")
            if not isinstance(value, HostList):
                continue
            for covering, negated in covered_negations(value):
                found = f"'{_show(negated)}' comes after '{_show(covering)}', which covers it, and has no effect"
                self._findings.warn(item.error(found, "put it first to leave these hosts out", "hosts"))
            for meant in (member for member in _plain(value) if member.item in _MEANT_ALL):
                found = f"'{_show(meant)}' is one host here"
                self._findings.warn(item.error(found, "'*' stands for all of them", "hosts"))
            if not value.members:
                self._findings.warn(item.error("the empty set matches no host", part="hosts"))
            elif all(member.negated for member in value.members):
                found = "all members are behind '!', so no host is in the set"
                self._findings.warn(item.error(found, "', *' at its end would let all others in", "hosts"))

    def _number_sets(self, acl: Section) -> None:
        for doubt in (doubt for item in acl.items for doubt in item.doubts):
            self._findings.warn(doubt)
        for keyword, parts in _NUMBER_SETS.items():
            for item, part in ((item, part) for item in acl.all(keyword) if item.sound for part in parts):
                if item.get(part) == 0:
                    found = f"nothing is in the set '{part}', so the condition never holds"
                    self._findings.warn(item.error(found, "', *' at its end would let all others in", part))

    def _target(self, acl: Section) -> None:
        plug_to = acl.item("plug-to")
        if plug_to is None:
            direct = any(not listener.transparent for listener in self._listeners)
            if direct and setting(acl, "transparency") is not True:
                found = "found no 'plug-to' in a rule that accepts; non-transparent sessions will fail"
                self._findings.warn(acl.error(found, "'transparency transparent;' would leave them to other rules"))
            return
        if not plug_to.sound:
            return
        host = plug_to.get("sock").host
        if isinstance(host, HostName):
            if setting(self._proxy, "cfg-resolution") is False:
                found = f"the name '{host.name}' is not resolved with 'cfg-resolution no'"
                self._findings.warn(plug_to.error(found, "sessions of this rule will fail", "sock"))
        elif host.value == 0:
            found = f"found {hosts.show_address(host)}"
            self._findings.error(plug_to.error(found, "wanted the address of a server", "sock"))
        elif host.version == 6 and IPv6Address(host.value).is_link_local:
            found = f"found the link-local address {hosts.show_address(host)}"
            wanted = "wanted one that does not depend on the link"
            self._findings.error(plug_to.error(found, wanted, "sock"))
        else:
            self._target_is_not_the_proxy(plug_to)

    def _target_is_not_the_proxy(self, plug_to: Item) -> None:
        target = plug_to.get("sock")
        own = next((listener for listener in self._listeners if _hears(listener, target)), None)
        if own is not None:
            found = f"found {hosts.show_address(target.host)}, where the proxy itself listens on port {own.port}"
            self._findings.warn(
                plug_to.error(
                    found, "each datagram would open sessions of the proxy with itself, up to max-sessions", "sock"
                )
            )

    def _kind(self, acl: Section) -> None:
        kind = setting(acl, SESSION_TYPE)
        if kind is SessionKind.ONE_WAY:
            for item in _one_way_surplus(acl):
                text = "has no effect in a one-way session: nothing ever comes in"
                name = "timeout in" if item.row.name == "timeout" else item.row.name
                self._findings.warn(item.error(f"'{name}' {text}"))

    def _timeout(self, acl: Section) -> None:
        item = acl.item("timeout")
        if item is None:
            found = f"found no 'timeout' in a rule that accepts; 'timeout {TIMEOUT_ABSENT}' counts"
            self._findings.warn(acl.error(found))
        elif item.sound and not item.values:
            self._findings.error(item.error("found nothing after 'timeout'", "wanted session, in, out or both"))

    def _queue_names(self, acl: Section) -> None:
        for keyword in ("queue-to-client", "queue-to-server"):
            item = acl.item(keyword)
            if item is not None and item.sound and item.get("name") not in self._queues:
                name = item.get("name")
                wanted = f"wanted the name of a section 'queue'{nearest(name, self._queues)}"
                self._findings.error(item.error(f"found '{name}'", wanted, "name"))


def _hears(listener: ListenerSettings, target: Sock) -> bool:
    """Tell whether what is sent to a target arrives at a listener; without a port it goes to the listener's own.

    Of the machine's own addresses only the loopback ones are known here, for a listener on all of them.
    """
    host, own = target.host, listener.address
    if isinstance(host, HostName) or listener.transparent or target.port not in (None, listener.port):
        return False
    return host == own or (own.value == 0 and own.version == host.version and host.native.is_loopback)


def _check_mixture(acls: list[Section], findings: Findings) -> None:
    """Warn where broadcast and other session types may meet the same destination."""
    broadcast = [acl for acl in acls if setting(acl, SESSION_TYPE) is SessionKind.BROADCAST]
    others = [acl for acl in acls if setting(acl, SESSION_TYPE) is not SessionKind.BROADCAST]
    for acl in broadcast:
        clash = next((other for other in others if may_share_destination(acl, other)), None)
        if clash is not None:
            found = f"broadcast sessions and those of 'session-acl {clash.name}' may have the same destination"
            findings.warn(acl.error(found, "broadcast must not be mixed with ordinary traffic"))


def _written_actions(acl: Section) -> Iterator[Keyword]:
    for row in ACTIONS:
        if row.name not in VERDICTS and (acl.has(row.name) or acl.section(row.name) is not None):
            yield row


def _first(acl: Section, row: Keyword) -> Item | Section:
    return acl.item(row.name) or acl.section(row.name) or acl


def _one_way_surplus(acl: Section) -> Iterator[Item]:
    for keyword in ("max-dgrams-in", "max-bytes-in"):
        yield from acl.all(keyword)
    yield from (item for item in acl.all("timeout") if "in" in item)


def _plain(hosts: HostList) -> Iterator[HostMember]:
    """Yield the members of a list that are no lists, those of its sublists too."""
    for member in hosts.members:
        if isinstance(member.item, HostList):
            yield from _plain(member.item)
        else:
            yield member


def _show(member: HostMember) -> str:
    return hosts.show_member(member)
