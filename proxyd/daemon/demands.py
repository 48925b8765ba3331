"""What a configuration asks of the machine: capabilities for the parent and for the workers, options of sockets. Pure.

Each demand names the item it comes from, so that whoever is told that something is missing knows why it is wanted.
Source: capabilities(7), CAP_NET_RAW and CAP_NET_BIND_SERVICE; ip(7), IP_TRANSPARENT; socket(7), SO_MARK, SO_PRIORITY.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, IntEnum
from typing import NamedTuple

from workers.contract.settings import (
    AclSettings,
    ListenerSettings,
    QueueSettings,
    SessionKind,
    Settings,
    SourceAddress,
    SourcePortMode,
)

FREE_PRIORITY = 6
"""The highest priority that needs no capability."""


class Capability(IntEnum):
    """The capabilities that matter here, by their number in linux/capability.h."""

    CAP_CHOWN = 0
    CAP_DAC_OVERRIDE = 1
    CAP_DAC_READ_SEARCH = 2
    CAP_KILL = 5
    CAP_SETGID = 6
    CAP_SETUID = 7
    CAP_SETPCAP = 8
    CAP_NET_BIND_SERVICE = 10
    CAP_NET_ADMIN = 12
    CAP_NET_RAW = 13
    CAP_SYS_CHROOT = 18
    CAP_SYS_RESOURCE = 24
    CAP_BPF = 39


class Need(NamedTuple):
    """A capability a configuration needs, and for what."""

    capability: Capability
    purpose: str


class Choice(Enum):
    """Who among the workers gets a client's datagrams."""

    KERNEL = "whoever the hash of both ends gives"
    CLIENT = "whoever the client's address and port give"
    FIRST = "the first one"


class Wishes(NamedTuple):
    """What the rules want of listening sockets.

    forged: answers leave from other machines' addresses, and broadcasts are looked at for their time to live.
    tos: datagrams come with their type of service. shared: workers bind sockets of their own to the listeners' ports.
    transparent, direct: who gets what comes to a transparent listener, and to any other.
    """

    forged: bool = False
    tos: bool = False
    shared: bool = False
    transparent: Choice = Choice.KERNEL
    direct: Choice = Choice.KERNEL


def item_of(listener: ListenerSettings) -> str:
    """Return a listener as its item of listen-on says it: `transparent [10.0.0.1] port 69`."""
    mode = "transparent" if listener.transparent else "non-transparent"
    place = "" if listener.device is None else f" iface {listener.device}"
    return f"{mode}{place} [{listener.address}] port {listener.port}"


def effective_source(acl: AclSettings, settings: Settings) -> SourceAddress | None:
    """Return the source-address that counts for a rule: its own stands above the proxy's."""
    return acl.source_address or settings.source_address


def wishes(settings: Settings) -> Wishes:
    """Return what the rules want of the listening sockets.

    With a forced source port, answers may come to a transparent listener and must meet their session in one worker;
    with any-sock, a client answers to an address that its session did not begin with.
    """
    broadcast = _first(settings, lambda acl: acl.kind is SessionKind.BROADCAST)
    any_sock = _first(settings, lambda acl: acl.kind is SessionKind.ANY_SOCK)
    forced = _first(settings, lambda acl: acl.source_port is not None)
    direct = _first(settings, lambda acl: acl.source_port is not None and acl.transparent is not True)
    spread = Choice.KERNEL if any_sock is None else Choice.CLIENT
    return Wishes(
        forged=broadcast is not None,
        tos=any(acl.tos is not None for acl in settings.acls),
        shared=forced is not None,
        transparent=spread if forced is None else Choice.FIRST,
        direct=Choice.KERNEL if direct is None else Choice.FIRST,
    )


def of_workers(settings: Settings, first_free_port: int) -> list[Need]:
    """Return what workers need all the time they serve. first_free_port: the lowest that anybody may bind."""
    return [*_sources(settings), *_source_ports(settings, first_free_port), *_queues(settings)]


def of_listeners(settings: Settings, first_free_port: int) -> list[Need]:
    """Return what is needed to make the listening sockets."""
    found = []
    low = next((listener for listener in settings.listeners if 0 < listener.port < first_free_port), None)
    if low is not None:
        found.append(Need(Capability.CAP_NET_BIND_SERVICE, f"port {low.port}"))
    foreign = next((listener for listener in settings.listeners if listener.transparent), None)
    broadcast = _first(settings, lambda acl: acl.kind is SessionKind.BROADCAST)
    if foreign is not None:
        found.append(Need(Capability.CAP_NET_RAW, f"'{item_of(foreign)}' in listen-on"))
    elif broadcast is not None:
        found.append(Need(Capability.CAP_NET_RAW, f"'session-type broadcast' in session-acl {broadcast.name}"))
    return found


def _first(settings: Settings, holds: Callable[[AclSettings], bool]) -> AclSettings | None:
    return next((acl for acl in settings.acls if acl.accept and holds(acl)), None)


def _sources(settings: Settings) -> Iterator[Need]:
    def pretends(acl: AclSettings) -> bool:
        source = effective_source(acl, settings)
        return source is not None and source.client

    acl = _first(settings, pretends)
    if acl is not None:
        place = "the proxy" if acl.source_address is None else f"session-acl {acl.name}"
        yield Need(Capability.CAP_NET_RAW, f"'source-address client' in {place}")


def _source_ports(settings: Settings, first_free_port: int) -> Iterator[Need]:
    def is_low(acl: AclSettings) -> bool:
        forced = acl.source_port
        if forced is None or first_free_port == 0:
            return False
        return forced.mode is SourcePortMode.CLIENT or 0 < (forced.port or 0) < first_free_port

    acl = _first(settings, is_low)
    if acl is not None:
        yield Need(Capability.CAP_NET_BIND_SERVICE, f"'source-port' in session-acl {acl.name}")


def _queues(settings: Settings) -> Iterator[Need]:
    queues = {queue.name: queue for queue in settings.queues}
    used = (name for acl in settings.acls if acl.accept for name in (acl.queue_to_client, acl.queue_to_server))
    for name in used:
        item = _privileged_item(queues.get(name or ""))
        if item is not None:
            yield Need(Capability.CAP_NET_RAW, f"'{item}' in queue {name}")
            return


def _privileged_item(queue: QueueSettings | None) -> str | None:
    if queue is None:
        return None
    if queue.mark is not None:
        return f"mark {queue.mark}"
    return f"priority {queue.priority}" if (queue.priority or 0) > FREE_PRIORITY else None
