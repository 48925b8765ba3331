"""Host lists for tests, in few words."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from workers.contract.settings import Address, AddressRange, AnyHost, HostItem, HostList, HostMember, MaskedAddress

ANY = AnyHost()


def address(text: str) -> Address:
    return Address(ip_address(text).version, int(ip_address(text)))


def net(text: str) -> AddressRange:
    found = ip_network(text)
    return AddressRange(found.version, int(found.network_address), int(found.broadcast_address))


def mask(value: str, bits: str) -> MaskedAddress:
    return MaskedAddress(address(value).version, address(value).value, address(bits).value)


def hosts(*items: HostItem | tuple[str, HostItem]) -> HostList:
    """Make a list; a member with `!` in front is written ("!", item)."""
    return HostList(tuple(HostMember(i[1], negated=True) if isinstance(i, tuple) else HostMember(i) for i in items))
