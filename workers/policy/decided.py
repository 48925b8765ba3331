"""Which member of a rule's host conditions a host was let in by: for the log, where somebody wants to know why.

Asks the compiled lists themselves, so that it cannot tell another story than they do. Source: udp-proxy(8), LIBA-810.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from workers.contract.settings import (
    Address,
    AddressRange,
    AnyHost,
    HostCondition,
    HostItem,
    HostList,
    HostMember,
    HostName,
    HostPattern,
    MaskedAddress,
)
from workers.policy.hostset import LAST, NameBook, Peer, compile_hosts


def deciding_item(conditions: Sequence[HostCondition], peer: Peer, port: int, names: NameBook) -> str | None:
    """Return the first item that a host fits, and the member of its list that said so, as `#item:member`.

    Items count from 1. None: there are no such items, or the host fits none. Costs a compilation for each doubling of
    a list's length.
    """
    for number, condition in enumerate(conditions, start=1):
        if condition.ports is not None and not any(first <= port <= last for first, last in condition.ports):
            continue
        if compile_hosts(condition.hosts).contains(peer, names):
            return f"#{number}:{member_text(_decider(condition.hosts.members, peer, names))}"
    return None


def _decider(members: tuple[HostMember, ...], peer: Peer, names: NameBook) -> HostMember:
    """Return the member that lets a host in: with it, and with any longer beginning of the list, it is in."""
    low, high = 0, len(members) - 1
    while low < high:
        middle = (low + high) // 2
        if compile_hosts(HostList(members[: middle + 1])).contains(peer, names):
            high = middle
        else:
            low = middle + 1
    return members[low]


def member_text(member: HostMember) -> str:
    """Write a member as the configuration does; of a list in braces, that it is one."""
    return f"{'!' if member.negated else ''}{_TEXTS[type(member.item)](member.item)}"


def _range(item: AddressRange) -> str:
    if item.first == item.last:
        return f"[{Address(item.version, item.first)}]"
    length = (item.first ^ item.last).bit_length()
    if item.last - item.first == (1 << length) - 1:
        return f"[{Address(item.version, item.first)}/{LAST[item.version].bit_length() - length}]"
    return f"[{Address(item.version, item.first)}]-[{Address(item.version, item.last)}]"


def _mask(item: MaskedAddress) -> str:
    return f"[{Address(item.version, item.value)}/{Address(item.version, item.mask)}]"


_TEXTS: dict[type[HostItem], Callable[[Any], str]] = {
    AnyHost: lambda _: "*",
    AddressRange: _range,
    MaskedAddress: _mask,
    HostName: lambda item: item.name,
    HostPattern: lambda item: f"/{item.pattern}/",
    HostList: lambda _: "{...}",
}
