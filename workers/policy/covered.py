"""Members of a host list behind `!` that can have no effect, because an earlier member covers them: for a warning.

Somebody who reads `!` as set difference expects another result there. Not all is found: a list of ten thousand members
is to be looked through in a moment. Source: udp-proxy.cfg(5), HOST SETS.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from workers.contract.settings import AddressRange, AnyHost, HostItem, HostList, HostMember, MaskedAddress
from workers.policy.hostset import LAST, included, is_plain, normal_item

MAX_MASKS = 64
"""Masks with gaps are tried one by one: only so many of a list are."""

Pair = tuple[HostMember, HostMember]


def covered_negations(hosts: HostList) -> tuple[Pair, ...]:
    """Return (covering, negated) pairs: negated members of the list and its sublists that say nothing new."""
    return tuple(_pairs(hosts))


def _pairs(hosts: HostList) -> Iterator[Pair]:
    earlier = _Earlier()
    for member in hosts.members:
        if isinstance(member.item, HostList):
            yield from _pairs(member.item)
        if not member.negated:
            earlier.add(member.item, member)
        elif (covering := earlier.covering(member.item)) is not None:
            yield covering, member


class _Ranges:
    """Ranges of one IP version, without those that lie in others: both ends ascend."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._owners: list[HostMember] = []

    def add(self, first: int, last: int, owner: HostMember) -> None:
        if self.covering(first, last) is not None:
            return
        start, end = bisect_left(self._firsts, first), bisect_right(self._lasts, last)
        self._firsts[start:end] = [first]
        self._lasts[start:end] = [last]
        self._owners[start:end] = [owner]

    def covering(self, first: int, last: int) -> HostMember | None:
        """Return whose range holds all of this one."""
        index = bisect_right(self._firsts, first) - 1
        return self._owners[index] if index >= 0 and self._lasts[index] >= last else None


class _Earlier:
    """What members without `!` have taken in so far, and which of them did."""

    def __init__(self) -> None:
        self._all: HostMember | None = None
        self._ranges = {version: _Ranges() for version in LAST}
        self._masks: list[tuple[MaskedAddress, HostMember]] = []
        self._same: dict[HostItem, HostMember] = {}

    def add(self, item: HostItem, owner: HostMember) -> None:
        """Take in an item of a member."""
        item = normal_item(item)
        match item:
            case AnyHost():
                self._all = self._all or owner
            case AddressRange(version, first, last):
                self._ranges[version].add(first, last, owner)
            case HostList():
                self._add_list(item, owner)
            case MaskedAddress() if len(self._masks) < MAX_MASKS:
                self._masks.append((item, owner))
        if not isinstance(item, HostList):
            self._same.setdefault(item, owner)

    def _add_list(self, hosts: HostList, owner: HostMember) -> None:
        """Take in what a sublist surely takes in: all before its first `!`, and of plain addresses the rest too."""
        for member in hosts.members:
            if member.negated:
                break
            self.add(member.item, owner)
        if is_plain(hosts):
            for version, first, last in included(hosts):
                self._ranges[version].add(first, last, owner)

    def covering(self, item: HostItem) -> HostMember | None:
        """Return a member that takes in all that an item stands for, or several together the first of them."""
        item = normal_item(item)
        if isinstance(item, HostList):
            owners = [self.covering(member.item) for member in item.members if not member.negated]
            return owners[0] if owners and None not in owners else None
        found = self._all or self._same.get(item)
        if found is None and isinstance(item, AddressRange | MaskedAddress):
            first, last = _ends(item)
            found = self._ranges[item.version].covering(first, last)
            found = found or next((owner for mask, owner in self._masks if _mask_covers(mask, item)), None)
        return found


def _ends(item: AddressRange | MaskedAddress) -> tuple[int, int]:
    if isinstance(item, AddressRange):
        return item.first, item.last
    return item.value, item.value | (LAST[item.version] & ~item.mask)


def _mask_covers(item: MaskedAddress, other: AddressRange | MaskedAddress) -> bool:
    if other.version != item.version:
        return False
    if isinstance(other, MaskedAddress):
        return other.mask & item.mask == item.mask and other.value & item.mask == item.value
    # Two neighbours in the range differ in every bit up to the highest in which its ends differ.
    varying = (1 << (other.first ^ other.last).bit_length()) - 1
    return item.mask & varying == 0 and other.first & item.mask == item.value
