"""Checks of source-address, source-port and of what broadcasts need of listeners and targets.

Source: udp-proxy(8), Server connection and Broadcasts; udp-proxy.cfg(5), SESSION-ACL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from proxyd.config.defaults import setting
from proxyd.config.findings import Findings
from proxyd.config.rows.acl import SESSION_TYPE
from proxyd.config.tree import Item, Section
from proxyd.config.values import hosts
from workers.contract.settings import Address, HostName, ListenerSettings, SessionKind

ALL_HOSTS = Address(4, 0xFFFF_FFFF)
_MULTICAST = {4: (28, 0xE), 6: (120, 0xFF)}
"""By version: how many bits the rest of an address has, and what stands before them. Source: RFC 5771, RFC 4291."""
_NEVER_FROM_A_GROUP = frozenset((SessionKind.NORMAL, SessionKind.ANY_PORT))
"""Kinds whose answers must come from the target's address, which no host has that is in a group."""
ADDRESSES = (("addr4", 4), ("addr6", 6))


def check_sources(proxy: Section, listeners: tuple[ListenerSettings, ...], findings: Findings) -> None:
    """Check the rules that accept. listeners: those without mistakes."""
    _check_fallback(proxy.item("source-address"), findings)
    for acl in proxy.sections_of("session-acl"):
        if not acl.has("accept"):
            continue
        _check_fallback(acl.item("source-address"), findings)
        _check_source_port(acl, proxy, listeners, findings)
        _check_broadcast(acl, listeners, findings)
        _check_group_target(acl, findings)


def check_own_addresses(proxy: Section, is_own: Callable[[Address], bool], findings: Findings) -> None:
    """Warn of forced source addresses that this machine does not have."""
    for item in _source_addresses(proxy):
        for part, version in ADDRESSES:
            value = item.get(part)
            if value is not None and not is_own(Address(version, value)):
                found = f"this machine has no address {hosts.show_address(Address(version, value))}"
                findings.warn(item.error(found, "sessions would fail here", part))


def _source_addresses(proxy: Section) -> Iterator[Item]:
    for owner in (proxy, *proxy.sections_of("session-acl")):
        item = owner.item("source-address")
        if item is not None and item.sound:
            yield item


def _check_fallback(item: Item | None, findings: Findings) -> None:
    if item is None or not item.sound or "no-fallback" not in item:
        return
    if not any(part in item for part in ("client", "addr4", "addr6")):
        found = "'no-fallback' with neither 'client' nor an address"
        findings.warn(item.error(found, "every session would be rejected", "no-fallback"))


def _check_source_port(
    acl: Section, proxy: Section, listeners: tuple[ListenerSettings, ...], findings: Findings
) -> None:
    item = acl.item("source-port")
    if item is None or not item.sound:
        return
    address = acl.item("source-address") or proxy.item("source-address")
    if address is None or (address.sound and "client" not in address):
        wanted = "wanted 'source-address client' with it: replies to several clients could not be told apart"
        findings.error(item.error("found 'source-port'", wanted))
    port = item.get("port")
    if "client" in item:
        found = "'source-port client' needs a listener on the outgoing side for every port that clients use"
        findings.warn(item.error(found, "this cannot be checked"))
        return
    there = [listener for listener in listeners if listener.port == port]
    if not there:
        wanted = "wanted a 'listen-on' item that covers this port, for the replies"
        findings.error(item.error(f"found 'source-port force {port}'", wanted, "port"))
    elif not any(listener.transparent for listener in there):
        found = f"no 'transparent' listener covers port {port}"
        findings.warn(
            item.error(found, "replies are sent to clients' addresses, which no other listener hears", "port")
        )


def _check_broadcast(acl: Section, listeners: tuple[ListenerSettings, ...], findings: Findings) -> None:
    if setting(acl, SESSION_TYPE) is not SessionKind.BROADCAST:
        return
    item = acl.item(SESSION_TYPE) or next(acl.all("accept"))
    # There are no broadcasts in IPv6, so neither are there listeners for them.
    hearing = [listener for listener in listeners if listener.address.version == 4]
    if not any(listener.transparent or listener.address.value == 0 for listener in hearing):
        found = "found 'session-type broadcast'"
        findings.error(item.error(found, "wanted a listener on [0.0.0.0] or a transparent one for it"))
    double = _heard_twice(hearing)
    if double is not None:
        found = f"broadcasts to port {double} reach both a listener on [0.0.0.0] and a transparent one on an interface"
        findings.warn(item.error(found, "'transparent [0.0.0.0]' alone would hear them once"))
    if acl.has("source-port"):
        found = "'session-type broadcast' with 'source-port' rejects sessions that stay on one interface"
        findings.warn(item.error(found, "the proxy could not tell its own datagrams there"))
    plug_to = acl.item("plug-to")
    if plug_to is not None and plug_to.sound:
        host = plug_to.get("sock").host
        if isinstance(host, Address) and host.version == 6:
            found = f"found {hosts.show_address(host)} as the target of broadcasts"
            findings.error(plug_to.error(found, "wanted an IPv4 address: IPv6 has no broadcasts", "sock"))


def _heard_twice(hearing: list[ListenerSettings]) -> int | None:
    """Return a port on which two sockets hear the same broadcasts; a transparent one for all needs no other."""
    on_one = {listener.port for listener in hearing if listener.transparent and listener.address.value}
    on_all = [listener for listener in hearing if listener.address.value == 0]
    covered = {listener.port for listener in on_all if listener.transparent}
    return min((listener.port for listener in on_all if listener.port in on_one - covered), default=None)


def _check_group_target(acl: Section, findings: Findings) -> None:
    """Warn where a session's target is no host, and its kind waits for one, or may not send to it."""
    plug_to, kind = acl.item("plug-to"), setting(acl, SESSION_TYPE)
    if plug_to is None or not plug_to.sound or kind in (None, SessionKind.BROADCAST):
        return
    host = plug_to.get("sock").host
    if isinstance(host, HostName):
        return
    found = f"found {hosts.show_address(host)} in a rule of 'session-type {kind.value}'"
    if host == ALL_HOSTS:
        findings.warn(plug_to.error(found, "only 'session-type broadcast' may send to a broadcast address", "sock"))
    elif is_multicast(host) and kind in _NEVER_FROM_A_GROUP:
        findings.warn(plug_to.error(found, "no answer ever comes from a multicast address", "sock"))


def is_multicast(address: Address) -> bool:
    """Tell whether this is a multicast address."""
    rest, prefix = _MULTICAST[address.version]
    return address.value >> rest == prefix
