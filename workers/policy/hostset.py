"""Whether a host is in a host list: the ordered, three-valued reading of lists with `!` in them.

A list is gone through in order. A member that fits decides: in, or out where `!` stands before it. A sublist decides as
it would on its own; a negated sublist puts out what it takes in, and says nothing on what it puts out itself. A host on
which no member decides is not in the list.

Runs of plain addresses, ranges, networks and `*` are compiled to one bisection, so a list of ten thousand networks
costs what a list of one does; masks that are no prefix, names and patterns are tried one by one, in their place.
IPv4-mapped IPv6 addresses count as IPv4, in lists and in peers alike. Nothing here resolves a name.
Source: udp-proxy.cfg(5), HOST SETS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from itertools import groupby
from typing import NamedTuple, TypeAlias

from workers.contract.settings import (
    Address,
    AddressRange,
    AnyHost,
    HostItem,
    HostList,
    HostMember,
    HostName,
    HostPattern,
    MaskedAddress,
)
from workers.errors import WorkerError
from workers.policy.intervals import IntervalMap, Piece
from workers.policy.pattern import compile_pattern

MAX_NAME_CHARS = 253
"""Source: RFC 1035 §2.3.4, written without the final dot."""
LAST = {4: 2**32 - 1, 6: 2**128 - 1}
"""The highest address of each IP version."""
_MAPPED = 0xFFFF
"""The upper 96 bits of an IPv4-mapped address. Source: RFC 4291 §2.5.5.2."""


class Peer(NamedTuple):
    """A host as far as it is known: its address, its name, or both. name: None is none, UNASKED one to be asked for."""

    address: Address | None
    name: str | None = None


UNASKED = ""
"""The name of a peer of which nobody has asked yet whether it has one."""


class NameUnknown(WorkerError):
    """A search has reached a regular expression, and the name of the peer it looks at has not been asked for yet."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.address = address


NameBook: TypeAlias = Mapping[str, frozenset[Address]]
"""The current addresses of configuration names (lower case, no trailing dot); a name not in it has none."""


class Verdict(Enum):
    """What a member, or a list, says on a host."""

    INCLUDE = 1
    EXCLUDE = 2
    UNDECIDED = 3


Step: TypeAlias = Callable[[Peer, NameBook], Verdict]
Fits: TypeAlias = Callable[[Peer, NameBook], bool]


class Hosts:
    """A compiled host list.

    names: the host names in it, whose addresses must be in the name book for them to match.
    patterns: whether it has regular expressions, so that a peer's reverse name may be needed.
    """

    __slots__ = ("_decide", "names", "patterns")

    def __init__(self, decide: Step, names: frozenset[str], patterns: bool) -> None:
        self._decide = decide
        self.names = names
        self.patterns = patterns

    @property
    def needs_names(self) -> bool:
        """Whether the answer depends on any name, forward or reverse."""
        return self.patterns or bool(self.names)

    def contains(self, peer: Peer, names: NameBook) -> bool:
        """Tell whether a host is in the list. A member that needs what the peer does not have does not match."""
        address = peer.address
        if address is not None and address.version == 6 and address.value >> 32 == _MAPPED:
            peer = Peer(normal_address(address), peer.name)
        return self._decide(peer, names) is Verdict.INCLUDE


def normal_address(address: Address) -> Address:
    """Return the IPv4 address that an IPv4-mapped one stands for; any other address as it is."""
    if address.version == 6 and address.value >> 32 == _MAPPED:
        return Address(4, address.value & LAST[4])
    return address


def normal_name(name: str) -> str:
    """Return a host name as names are compared: lower case, without the trailing dot."""
    return name.lower().removesuffix(".")


def compile_hosts(hosts: HostList) -> Hosts:
    """Compile a host list. Raises PatternError for a regular expression that is not one."""
    leaves = tuple(_leaves(hosts))
    names = frozenset(item.name for item in leaves if isinstance(item, HostName))
    patterns = any(isinstance(item, HostPattern) for item in leaves)
    return Hosts(_list_step(hosts), names, patterns)


def _leaves(hosts: HostList) -> Iterator[HostItem]:
    for member in hosts.members:
        if isinstance(member.item, HostList):
            yield from _leaves(member.item)
        else:
            yield member.item


def normal_item(item: HostItem) -> HostItem:
    """Return a range or mask that lies among the IPv4-mapped addresses as the IPv4 one it stands for."""
    if isinstance(item, AddressRange) and item.version == 6 and item.first >> 32 == item.last >> 32 == _MAPPED:
        return AddressRange(4, item.first & LAST[4], item.last & LAST[4])
    if isinstance(item, MaskedAddress) and item.version == 6 and item.mask >> 32 == LAST[6] >> 32:
        if item.value >> 32 != _MAPPED:
            return item
        return MaskedAddress(4, item.value & LAST[4], item.mask & LAST[4])
    return item


# --- plain addresses ------------------------------------------------------------------------------------------------


class _Block(NamedTuple):
    """What plain members say together: by address, and on a host without an address."""

    regions: dict[int, IntervalMap[Verdict]]
    addressless: Verdict


def is_plain(item: HostItem) -> bool:
    """Tell whether an item is made of addresses, ranges and `*` alone."""
    if isinstance(item, HostList):
        return all(is_plain(member.item) for member in item.members)
    return isinstance(item, AnyHost | AddressRange)


def included(hosts: HostList) -> Iterator[tuple[int, int, int]]:
    """Yield what a plain list takes in: IP version, first and last address."""
    for version, region in _block(hosts.members).regions.items():
        for first, last, verdict in region.stretches():
            if verdict is Verdict.INCLUDE:
                yield version, first, last


def _block(members: Iterable[HostMember]) -> _Block:
    """Compile plain members in order; raises nothing, costs n log n."""
    pieces: dict[int, list[Piece[Verdict]]] = {4: [], 6: []}
    addressless = Verdict.UNDECIDED
    for rank, member in enumerate(members):
        said, unaddressed = _says(member.item)
        for version, first, last, verdict in said:
            decided = _signed(verdict, member.negated)
            if decided is not Verdict.UNDECIDED:
                pieces[version].append(Piece(first, last, rank, decided))
        if addressless is Verdict.UNDECIDED:
            addressless = _signed(unaddressed, member.negated)
    return _Block({version: IntervalMap(found) for version, found in pieces.items()}, addressless)


def _says(item: HostItem) -> tuple[Iterable[tuple[int, int, int, Verdict]], Verdict]:
    """Return what a plain item says: (version, first, last, verdict) where it decides; and on no address."""
    item = normal_item(item)
    if isinstance(item, AddressRange):
        return ((item.version, item.first, item.last, Verdict.INCLUDE),), Verdict.UNDECIDED
    if isinstance(item, HostList):
        inner = _block(item.members)
        said = [(version, *stretch) for version, region in inner.regions.items() for stretch in region.stretches()]
        return said, inner.addressless
    return tuple((version, 0, last, Verdict.INCLUDE) for version, last in LAST.items()), Verdict.INCLUDE


def _signed(verdict: Verdict, negated: bool) -> Verdict:
    """Apply the `!` before a member to what the member says."""
    if not negated:
        return verdict
    return Verdict.EXCLUDE if verdict is Verdict.INCLUDE else Verdict.UNDECIDED


def _block_step(members: Iterable[HostMember]) -> Step:
    block = _block(members)
    find = {version: region.at for version, region in block.regions.items()}

    def decide(peer: Peer, _names: NameBook) -> Verdict:
        address = peer.address
        if address is None:
            return block.addressless
        return find[address.version](address.value) or Verdict.UNDECIDED

    return decide


# --- the other members ------------------------------------------------------------------------------------------------


def _list_step(hosts: HostList) -> Step:
    steps: list[Step] = []
    for plain, run in groupby(hosts.members, key=lambda member: is_plain(member.item)):
        if plain:
            steps.append(_block_step(run))
        else:
            steps.extend(_member_step(member) for member in run)
    if len(steps) == 1:
        return steps[0]

    def decide(peer: Peer, names: NameBook) -> Verdict:
        for step in steps:
            verdict = step(peer, names)
            if verdict is not Verdict.UNDECIDED:
                return verdict
        return Verdict.UNDECIDED

    return decide


def _member_step(member: HostMember) -> Step:
    step = _item_step(normal_item(member.item))
    if not member.negated:
        return step
    return lambda peer, names: _signed(step(peer, names), negated=True)


def _item_step(item: HostItem) -> Step:
    if isinstance(item, MaskedAddress):
        return _leaf_step(_mask_fits(item))
    if isinstance(item, HostName):
        return _leaf_step(_name_fits(item.name))
    if isinstance(item, HostPattern):
        return _leaf_step(_pattern_fits(item.pattern))
    return _list_step(item if isinstance(item, HostList) else HostList((HostMember(item),)))


def _leaf_step(fits: Fits) -> Step:
    return lambda peer, names: Verdict.INCLUDE if fits(peer, names) else Verdict.UNDECIDED


def _mask_fits(item: MaskedAddress) -> Fits:
    version, value, mask = item.version, item.value, item.mask

    def fits(peer: Peer, _names: NameBook) -> bool:
        address = peer.address
        return address is not None and address.version == version and address.value & mask == value

    return fits


def _name_fits(name: str) -> Fits:
    name = normal_name(name)

    def fits(peer: Peer, names: NameBook) -> bool:
        if peer.name is not None and normal_name(peer.name) == name:
            return True
        return peer.address is not None and peer.address in names.get(name, ())

    return fits


def _pattern_fits(pattern: str) -> Fits:
    search = compile_pattern(pattern).search

    def fits(peer: Peer, _names: NameBook) -> bool:
        if peer.name is None:
            return False
        if peer.name == UNASKED and peer.address is not None:
            raise NameUnknown(peer.address)
        name = normal_name(peer.name)
        return len(name) <= MAX_NAME_CHARS and search(name) is not None

    return fits
