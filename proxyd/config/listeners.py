"""The listen-on section: checked, and spread out into the sockets to bind.

Source: udp-proxy.cfg(5), LISTEN-ON; the range of automatic ports, ip(7).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

from proxyd.config.findings import Findings
from proxyd.config.machine import HOSTS, addresses_of
from proxyd.config.sourcechecks import ALL_HOSTS, is_multicast
from proxyd.config.tree import Item, Section
from proxyd.config.values import hosts
from proxyd.config.values.words import nearest
from proxyd.errors import Position
from workers.contract.settings import Address, HostName, ListenerSettings

PORT_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")

Target = tuple[Address, str | None]
"""An address to bind and the device it belongs to, where an interface was named."""


def read_automatic_ports(path: Path = PORT_RANGE_FILE) -> tuple[int, int] | None:
    """Return the ports that the system gives out by itself, None where it does not say. Source: ip(7)."""
    try:
        first, last = path.read_text(encoding="utf-8").split()
        return int(first), int(last)
    except (OSError, ValueError):
        return None


class ListenerCompiler:
    """Compiles one listen-on section of a file; findings take what is wrong with it."""

    def __init__(self, tree: Section, automatic: tuple[int, int] | None, findings: Findings) -> None:
        self._interfaces = {section.name: section for section in tree.sections_of("interface")}
        self._automatic = automatic
        self._findings = findings
        self._taken: dict[tuple[Address, int, bool], Position] = {}

    def compile(self, listen: Section) -> tuple[ListenerSettings, ...]:
        """Return the listeners in the order of the file; those with mistakes are left out."""
        if not listen.items:
            wanted = "wanted at least one 'non-transparent' or 'transparent' item"
            self._findings.error(listen.error("found no listener", wanted))
        return tuple(listener for item in listen.items if item.sound for listener in self._item(item))

    def _item(self, item: Item) -> Iterator[ListenerSettings]:
        if item.get("proto") == "tcp":
            self._findings.error(item.error("found the protocol 'tcp'", "wanted 'udp'", "proto"))
        ports = self._ports(item)
        targets = tuple(self._interface(item) if "iface" in item else self._address(item))
        transparent = item.row.name == "transparent"
        for address, device in targets:
            if not self._can_be_heard(item, address, device):
                continue
            for port in ports:
                first = self._taken.setdefault((address, port, transparent), item.position)
                if first is not item.position:
                    found = f"found port {port} of the same address again"
                    self._findings.error(item.error(found, f"wanted it once; the first is on line {first.line}"))
                    break
                yield ListenerSettings(address, port, transparent, device)

    def _can_be_heard(self, item: Item, address: Address, device: str | None) -> bool:
        """Report an address that says too little to be bound; warn of one to which no host sends its own datagrams."""
        if item.row.name == "transparent":
            return True
        shown, part = (
            hosts.show_address(address),
            next((name for name in ("addr", "sock", "iface") if name in item), ""),
        )
        if device is None and address.version == 6 and IPv6Address(address.value).is_link_local:
            wanted = "wanted 'iface' with an 'interface' section: its 'dev' says on which link the address is"
            self._findings.error(item.error(f"found the link-local address {shown}", wanted, part))
            return False
        if is_multicast(address):
            found = f"found the multicast address {shown}"
            self._findings.warn(item.error(found, "the proxy joins no group: nothing may ever arrive", part))
        elif address == ALL_HOSTS:
            found = f"found {shown}, which is no address of this machine"
            self._findings.warn(item.error(found, "[0.0.0.0] hears broadcasts, too", part))
        return True

    def _ports(self, item: Item) -> range:
        sock = item.get("sock")
        first = sock.port if sock is not None else item.get("port")
        last = item.get("to") or item.get("ports") or first
        if first is None:
            self._findings.error(item.error("found no port", "wanted a port from 1 to 65535", "sock"))
            return range(0)
        if last < first:
            part = "to" if "to" in item else "ports"
            self._findings.error(
                item.error(f"found the range {first} to {last}", "wanted its end after its start", part)
            )
        elif last > first and self._automatic is not None and self._meets_automatic(first, last):
            low, high = self._automatic
            found = f"ports {first} to {last} meet the system's automatic ports {low} to {high}"
            self._findings.warn(item.error(found, "another program may hold one of them by chance"))
        return range(first, last + 1)

    def _meets_automatic(self, first: int, last: int) -> bool:
        return self._automatic is not None and first <= self._automatic[1] and self._automatic[0] <= last

    def _address(self, item: Item) -> Iterator[Target]:
        sock, version = item.get("sock"), item.get("version")
        host = sock.host if sock is not None else item.get("addr")
        part = "sock" if sock is not None else "addr"
        if isinstance(host, HostName):
            yield from self._named(item, host.name, version, part)
            return
        if version not in (None, host.version):
            found = f"found version ipv{version} with an IPv{host.version} address"
            self._findings.error(item.error(found, "wanted them to agree", "version"))
        yield host, None

    def _named(self, item: Item, name: str, version: int | None, part: str) -> Iterator[Target]:
        """Yield the addresses of a name; only the hosts file has any before the first child is there."""
        found = [address for address in addresses_of(name) if version in (None, address.version)]
        if not found:
            family = f"IPv{version} address" if version else "address"
            text = f"found the name '{name}', for which {HOSTS} has no {family}"
            self._findings.error(item.error(text, "wanted an address: name servers are not asked for listeners", part))
        yield from ((address, None) for address in found)

    def _interface(self, item: Item) -> Iterator[Target]:
        """Yield the addresses of the item's interface section, or of the aliases that it names."""
        name = item.get("iface")
        section = self._interfaces.get(name)
        if section is None:
            hint = nearest(name, [known for known in self._interfaces if known])
            self._findings.error(
                item.error(f"found '{name}'", f"wanted the name of a section 'interface'{hint}", "iface")
            )
            return
        owners = list(self._aliases(item, section)) if item.get("alias") else [section]
        version = item.get("version") or (item.get("proto") if item.form >= len(item.row.forms) else None)
        found = [address for owner in owners for address in _addresses(owner, version)]
        if not found and owners:
            family = f"IPv{version} address" if version else "address"
            self._findings.error(item.error(f"found no address of '{name}'", f"wanted an {family} in it", "iface"))
        device = section.item("dev")
        for address in found:
            yield address, str(device.get("device")) if device is not None else str(name)

    def _aliases(self, item: Item, section: Section) -> Iterator[Section]:
        aliases = {alias.name: alias for alias in section.sections_of("alias")}
        for name in sorted(item.get("alias")):
            if name in aliases:
                yield aliases[name]
                continue
            hint = nearest(name, [known for known in aliases if known])
            wanted = f"wanted the name of an alias in 'interface {section.name}'{hint}"
            self._findings.error(item.error(f"found '{name}'", wanted, "alias"))


def _addresses(owner: Section, version: int | None) -> Iterator[Address]:
    for keyword, family in (("ipv4", 4), ("ipv6", 6)):
        item = owner.item(keyword)
        if item is not None and item.sound and version in (None, family):
            yield item.get("address").address
