"""Whether this machine's routing brings foreign datagrams to transparent listeners, and what is missing if not.

Only the routing rules and the routes of type local are looked at: what nftables marks is not known here, and routes may
come later. So what is found is a warning, never an error.
Source: rtnetlink(7); linux/fib_rules.h; ip-rule(8), ip-route(8); udp-proxy-transparent(7).
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from workers.contract.settings import AclSettings, AddressRange, SessionKind, Settings
from workers.errors import DecodeError
from workers.wire import netlink

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_BITS = {4: 32, 6: 128}
_RECEIVE_BYTES = 65_536
_WAIT_S = 2.0
_SOL_NETLINK, _NETLINK_GET_STRICT_CHK = 270, 12

_FIXED = struct.Struct("=BBBBBBBBI")
"""The fixed part of both: family, prefix lengths, TOS, table, protocol, scope, type (or action), flags."""
_TO_TABLE, _LOCAL = 1, 2
_WISHES = {netlink.GET_RULE: bytes(11), netlink.GET_ROUTE: bytes((0, 0, 0, 0, 0, 0, _LOCAL, 0, 0, 0, 0))}
"""The fixed parts of requests: all rules, the local ones of all routes."""
_LOCAL_TABLE = 255
_DESTINATION, _INTERFACE, _OUT_BY, _MARK, _TABLE = 1, 3, 4, 10, 15
_STRICT = 1
_MOST = 100
"""Networks of clients that are looked at: the start must not wait for a long list."""
_LARGEST = 1 << 16
"""Of larger networks nobody can say by looking at some hosts where they are."""
_LOOPBACK4 = b"\x7f"
_SETTINGS = Path("/proc/sys/net/ipv4/conf")

Found = TypeVar("Found")


class Rule(NamedTuple):
    """A routing rule that leads to a table. interface: where what it holds for comes in, None: anywhere."""

    table: int
    interface: str | None = None
    marked: bool = False


class Routing(NamedTuple):
    """The rules of one IP version, and the tables that have a route of type local for more than one own address."""

    rules: tuple[Rule, ...]
    local_tables: frozenset[int]

    def delivering(self, device: str | None) -> list[Rule]:
        """Return the rules that make the machine take foreign datagrams that come in by a device; None: by any."""
        return [
            rule
            for rule in self.rules
            if rule.table in self.local_tables and (device is None or rule.interface in (None, device))
        ]


def decode_rule(body: bytes) -> Rule | None:
    """Decode a rule; None for one that does not lead to a table. Raises DecodeError."""
    fields, found = _split(body)
    if fields[7] != _TO_TABLE:
        return None
    interface = found.get(_INTERFACE, b"").rstrip(b"\0").decode(errors="replace")
    return Rule(_table(fields[4], found), interface or None, _number(found.get(_MARK, b"")) != 0)


def decode_local_table(body: bytes) -> int | None:
    """Return the table of a route of type local for addresses that are not this machine's anyway, None for others.

    The local table has a route for each own address, and one for all of 127.0.0.0/8. Raises DecodeError.
    """
    fields, found = _split(body)
    family, prefix, kind = fields[0], fields[1], fields[7]
    table = _table(fields[4], found)
    bits = _BITS[4 if family == socket.AF_INET else 6]
    usual = table == _LOCAL_TABLE and (prefix == bits or found.get(_DESTINATION, b"")[:1] == _LOOPBACK4)
    return None if kind != _LOCAL or usual else table


def read_routing(version: int) -> Routing | None:
    """Ask the kernel; None where it does not answer."""
    family = _FAMILIES[version]
    try:
        rules = tuple(_dump(netlink.GET_RULE, family, netlink.NEW_RULE, decode_rule))
        tables = frozenset(_dump(netlink.GET_ROUTE, family, netlink.NEW_ROUTE, decode_local_table))
    except (OSError, DecodeError):
        return None
    return Routing(rules, tables)


class Checks(NamedTuple):
    """How this machine checks the sources of IPv4 datagrams, by the device that they come in by.

    marks: marks count. strict: the answers must leave by the same device. way: the device by which an address is
    reached, None for none.
    """

    marks: Callable[[str], bool]
    strict: Callable[[str], bool]
    way: Callable[[int], str | None]


def marks_count(device: str, folder: Path = _SETTINGS) -> bool:
    """Tell whether marks count where the source of an IPv4 datagram is checked (src_valid_mark)."""
    try:
        return any(int((folder / name / "src_valid_mark").read_text()) for name in ("all", device))
    except (OSError, ValueError):
        return False


def is_strict(device: str, folder: Path = _SETTINGS) -> bool:
    """Tell whether datagrams are dropped whose answers would leave by another device (rp_filter). Source: ip-sysctl."""
    try:
        return max(int((folder / name / "rp_filter").read_text()) for name in ("all", device)) == _STRICT
    except (OSError, ValueError):
        return False


def way_to(address: int) -> str | None:
    """Return the device by which an IPv4 address is reached; None where it is not, or the kernel does not say."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
            sock.settimeout(_WAIT_S)
            sock.send(netlink.route_request(socket.AF_INET, address.to_bytes(4, "big"), 1))
            message = next(netlink.messages(sock.recv(_RECEIVE_BYTES)))
        if message.kind != netlink.NEW_ROUTE:
            return None
        return socket.if_indextoname(_number(_split(message.body)[1].get(_OUT_BY, b"")))
    except (OSError, DecodeError):
        return None


def diagnose(settings: Settings) -> list[str]:
    """Return what stands between other machines' datagrams and the transparent listeners, each with what mends it."""
    wanted = _wanted(settings)
    if not wanted and not _pretends(settings):
        return []
    routing = {version: read_routing(version) for version in _FAMILIES}
    known = {version: found for version, found in routing.items() if found is not None}
    return judge(settings, known, Checks(marks_count, is_strict, way_to))


def judge(settings: Settings, routing: dict[int, Routing], checks: Checks) -> list[str]:
    """Judge settings, whose listeners are settled, by the routing of each IP version."""
    found: list[str] = []
    for (version, device), ports in _wanted(settings).items():
        if version not in routing:
            continue
        rules = routing[version].delivering(device)
        if not rules:
            found.append(_nothing_arrives(version, device, ports))
        elif (
            version == 4
            and all(rule.marked and rule.interface is None for rule in rules)
            and checks.marks(device or "all")
        ):
            found.append(_marked_sources_are_dropped(device))
    return [*found, *_answers(settings, routing), *_strictly(settings, checks)]


def _strictly(settings: Settings, checks: Checks) -> Iterator[str]:
    """Say which clients' datagrams would be dropped because their answers leave by an interface without a listener."""
    devices = [device for version, device in _wanted(settings) if version == 4 and device is not None]
    if not devices or (4, None) in _wanted(settings) or not all(checks.strict(device) for device in devices):
        return
    rules = [acl for acl in settings.acls if acl.accept and acl.transparent is not False]
    for name, hosts in islice(((acl.name, hosts) for acl in rules for hosts in _clients(acl)), _MOST):
        ways = [checks.way(host) for host in hosts]
        if not set(ways) & set(devices):
            leaves = "by nothing" if ways[-1] is None else f"by {ways[-1]}"
            yield (
                f"'from' of session-acl {name}: answers to {IPv4Address(hosts[-1])} leave {leaves}, so that "
                f"net.ipv4.conf.{devices[0]}.rp_filter, which is 1, has its datagrams dropped on {devices[0]}; "
                "2 lets them in"
            )


def _clients(acl: AclSettings) -> Iterator[list[int]]:
    """Yield some hosts of each IPv4 network or range that a rule names for its clients.

    Some, because one may be this machine itself, and none of a large one, which may be anywhere in part.
    """
    for condition in acl.sources:
        for member in condition.hosts.members:
            item = member.item
            if isinstance(item, AddressRange) and item.version == 4 and not member.negated:
                first, last = item.first, item.last
                if last - first < _LARGEST:
                    yield sorted({min(first + 1, last), (first + last) // 2, max(last - 1, first)})


def _answers(settings: Settings, routing: dict[int, Routing]) -> Iterator[str]:
    """Say where servers' answers to clients' addresses do not come back: they come in by another interface."""
    if not _pretends(settings):
        return
    for version in sorted({listener.address.version for listener in settings.listeners}):
        devices = {listener.device for listener in settings.listeners if listener.transparent}
        only = next(iter(devices)) if len(devices) == 1 else None
        if version not in routing:
            continue
        rules = routing[version].delivering(None)
        if not any(only is None or rule.interface != only for rule in rules):
            yield (
                f"'source-address client': no routing rule brings servers' answers to IPv{version} clients to this "
                f"machine; load nftables.d/udp-proxy-answers.nft, and: {_commands(version, 'fwmark 0x75700001')}"
            )


def _wanted(settings: Settings) -> dict[tuple[int, str | None], list[int]]:
    """Return the ports of the transparent listeners by IP version and device, where routing must help.

    A broadcast to a network of this machine comes without: where no rule makes any other session, nothing is missing.
    """
    unicast = any(
        acl.accept and acl.transparent is not False and acl.kind is not SessionKind.BROADCAST for acl in settings.acls
    )
    found: dict[tuple[int, str | None], list[int]] = {}
    for listener in settings.listeners if unicast else ():
        if listener.transparent:
            found.setdefault((listener.address.version, listener.device), []).append(listener.port)
    return found


def _pretends(settings: Settings) -> bool:
    sources = (acl.source_address or settings.source_address for acl in settings.acls if acl.accept)
    return any(source is not None and source.client for source in sources)


def _nothing_arrives(version: int, device: str | None, ports: Sequence[int]) -> str:
    first, last = min(ports), max(ports)
    span = f"{first}" if first == last else f"{first}-{last}"
    where = "" if device is None else f" of {device}"
    selector = f"{'' if device is None else f'iif {device} '}ipproto udp dport {span}"
    return (
        f"'transparent' port {span}{where}: no routing rule brings what is sent to other machines by IPv{version} "
        f"to this one; wanted, for example: {_commands(version, selector)}; see udp-proxy-transparent(7)"
    )


def _commands(version: int, selector: str) -> str:
    rule, route = f"ip -{version} rule add {selector} lookup 7570", "local default dev lo table 7570"
    return f"'{rule}' and 'ip -{version} route add {route}'"


def _marked_sources_are_dropped(device: str | None) -> str:
    name = device or "all"
    return (
        f"'transparent': net.ipv4.conf.{name}.src_valid_mark is 1, so that what is marked for this machine is dropped: "
        f"by its mark the client's address looks like an own one; add 'iif' with the interface to the rule for the mark"
    )


def _dump(kind: int, family: int, answer: int, decode: Callable[[bytes], Found | None]) -> Iterator[Found]:
    """Yield what a list from the kernel decodes to. Raises OSError or DecodeError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(_WAIT_S)
        with suppress(OSError):  # kernels before 4.20 send the whole routing table
            sock.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        sock.send(netlink.dump_request(kind, family, 1, _WISHES[kind]))
        while True:
            for message in netlink.messages(sock.recv(_RECEIVE_BYTES)):
                if message.kind in (netlink.DONE, netlink.ERROR):
                    return
                entry = decode(message.body) if message.kind == answer else None
                if entry is not None:
                    yield entry


def _split(body: bytes) -> tuple[tuple[int, ...], dict[int, bytes]]:
    if len(body) < _FIXED.size:
        raise DecodeError("routing message", 0, f"{len(body)} bytes")
    return _FIXED.unpack_from(body), netlink.attributes(body, _FIXED.size)


def _table(short: int, found: dict[int, bytes]) -> int:
    return _number(found[_TABLE]) if _TABLE in found else short


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, sys.byteorder)
