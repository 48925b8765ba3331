"""Whether two rules may fit the same original destination: yes in doubt, as it only serves a warning."""

from __future__ import annotations

from collections.abc import Iterator

from proxyd.config.tree import Item, Section
from proxyd.config.values import sets
from workers.contract.settings import AddressRange, HostItem, HostList


def may_share_destination(one: Section, other: Section) -> bool:
    """Tell whether some destination may fit the `to` items of both session-acls; one without any fits all."""
    ours, theirs = list(one.all("to")), list(other.all("to"))
    if not ours or not theirs:
        return True
    return any(_meet(item, rival) for item in ours for rival in theirs)


def _meet(item: Item, rival: Item) -> bool:
    if not item.sound or not rival.sound:
        return False
    whole = (1 << (sets.PORT_DOMAIN.last + 1)) - 1
    if not (whole if item.get("port") is None else item.get("port")) & (
        whole if rival.get("port") is None else rival.get("port")
    ):
        return False
    ours, theirs = list(_included(item.get("hosts"))), list(_included(rival.get("hosts")))
    return any(_hosts_meet(host, other) for host in ours for other in theirs)


def _included(hosts: HostList) -> Iterator[HostItem]:
    """Yield what members without `!` hold, sublists opened."""
    for member in hosts.members:
        if member.negated:
            continue
        if isinstance(member.item, HostList):
            yield from _included(member.item)
        else:
            yield member.item


def _hosts_meet(host: HostItem, other: HostItem) -> bool:
    if isinstance(host, AddressRange) and isinstance(other, AddressRange):
        return host.version == other.version and host.first <= other.last and other.first <= host.last
    return True
