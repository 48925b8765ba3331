"""A compiled configuration: frozen data, made by the parent, read by every child.

Nothing here decides anything (see workers.policy) or knows the text it came from (see proxyd.config).
Addresses are plain integers beside their IP version (4 or 6), durations are nanoseconds, times of day
are minutes since midnight. Source: udp-proxy(8); the configuration language, udp-proxy.cfg(5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, TypeAlias


class Address(NamedTuple):
    """One IP address: version 4 or 6, value as an unsigned integer in host order."""

    version: int
    value: int

    def __str__(self) -> str:
        return str(self.native)

    @property
    def native(self) -> IPv4Address | IPv6Address:
        """The address as the library has it, which knows what it is for."""
        return (IPv4Address if self.version == 4 else IPv6Address)(self.value)


class SessionKind(Enum):
    """What a session lets through; the values are the configuration's words."""

    ONE_WAY = "one-way"
    NORMAL = "normal"
    ANY_PORT = "any-port"
    ANY_SOCK = "any-sock"
    BROADCAST = "broadcast"


class SourceFallback(Enum):
    """What to do when neither the client's nor a forced source address can be used."""

    CLUSTER = "cluster"
    PHYSICAL = "physical"
    NO_FALLBACK = "no-fallback"
    DEFAULT = "default"


class SourcePortMode(Enum):
    """Where a forced source port comes from."""

    CLIENT = "client"
    FORCE = "force"


class Obligation(Enum):
    """Whether a client without an out-of-band entry may go on to the ACL search."""

    OPTIONAL = "optional"
    MANDATORY = "mandatory"


class SyslogFailure(Enum):
    """What to do when syslog does not take a record."""

    IGNORE = "ignore"
    FILE = "file"
    STOP = "stop"


# --- hosts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnyHost:
    """The member `*`: every address of every version."""


@dataclass(frozen=True, slots=True)
class AddressRange:
    """first <= address <= last, both of one version; a single address and a prefix are ranges too."""

    version: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class MaskedAddress:
    """address & mask == value, for masks that are no prefix; value is masked already."""

    version: int
    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class HostName:
    """A name and all its addresses; lower case, no trailing dot."""

    name: str


@dataclass(frozen=True, slots=True)
class HostPattern:
    r"""Every host whose name the extended regular expression finds; text as between the slashes, `\/` undone."""

    pattern: str


@dataclass(frozen=True, slots=True)
class HostMember:
    """One member of a host list, `!` in front or not."""

    item: HostItem
    negated: bool = False


@dataclass(frozen=True, slots=True)
class HostList:
    """Members in the order of the file: the order decides (workers.policy.hostset)."""

    members: tuple[HostMember, ...]


HostItem: TypeAlias = AnyHost | AddressRange | MaskedAddress | HostName | HostPattern | HostList
Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Sorted, disjoint, inclusive (first, last) pairs."""


@dataclass(frozen=True, slots=True)
class HostCondition:
    """One `from`, `to` or `server` item: hosts, and ports unless None."""

    hosts: HostList
    ports: Ranges | None = None


@dataclass(frozen=True, slots=True)
class Sock:
    """A target: an address or a name, and a port; port None is the original destination's."""

    host: Address | HostName
    port: int | None


# --- other conditions --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UserCondition:
    """One `user` item. nobody: only without a user. names None: any user. Otherwise a name or a group must fit."""

    nobody: bool
    names: frozenset[str] | None = None
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TimeItem:
    """One `time` item; None is not checked. Weekdays 0 = Sunday; minutes are half-open [first, last) pairs."""

    days: frozenset[int] | None = None
    months: frozenset[int] | None = None
    weekdays: frozenset[int] | None = None
    minutes: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, slots=True)
class TimeSpec:
    """One `time-spec`: kinds are AND-ed, the items of a kind OR-ed, an empty kind is not checked.

    dates: ((from day, from month), (till day, till month)), inclusive, may run across New Year.
    weekdays: (from, till) inclusive, 0 = Sunday, may run across Saturday.
    hours: (from, till) minutes, till exclusive, may run across midnight.
    """

    name: str
    dates: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()
    weekdays: tuple[tuple[int, int], ...] = ()
    hours: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class TimePeriods:
    """`time-period-set`: the specs OR-ed, or the complement of that."""

    exclude: bool
    specs: tuple[TimeSpec, ...]


TimeCondition: TypeAlias = tuple[TimeItem, ...] | TimePeriods


# --- what a session gets -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """Where the server side's source address comes from, in the order client, addr4/addr6, fallback."""

    client: bool = False
    addr4: int | None = None
    addr6: int | None = None
    fallback: SourceFallback = SourceFallback.DEFAULT


@dataclass(frozen=True, slots=True)
class SourcePort:
    """A forced source port; port only with mode FORCE."""

    mode: SourcePortMode
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a session; None is unlimited. Datagrams, payload bytes, nanoseconds.

    in: server to client; out: client to server; both: neither direction.
    """

    max_dgrams_in: int | None = None
    max_dgrams_out: int | None = None
    max_bytes_in: int | None = None
    max_bytes_out: int | None = None
    session_ns: int | None = None
    in_ns: int | None = None
    out_ns: int | None = None
    both_ns: int | None = None


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What a queue name means here; None is left alone. rate in bits a second, burst in bytes."""

    name: str
    mark: int | None = None
    priority: int | None = None
    rate_bps: int | None = None
    burst_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class AclSettings:
    """One session-acl. Conditions: an empty tuple or None is not checked. Actions matter only where accept is true."""

    name: str
    accept: bool
    sources: tuple[HostCondition, ...] = ()
    destinations: tuple[HostCondition, ...] = ()
    servers: tuple[HostCondition, ...] = ()
    transparent: bool | None = None
    users: tuple[UserCondition, ...] = ()
    time: TimeCondition | None = None
    tos: frozenset[int] | None = None
    plug_to: Sock | None = None
    kind: SessionKind = SessionKind.NORMAL
    source_address: SourceAddress | None = None
    source_port: SourcePort | None = None
    limits: Limits = field(default_factory=Limits)
    queue_to_client: str | None = None
    queue_to_server: str | None = None
    tos_to_client: int | None = None
    tos_to_server: int | None = None


# --- the proxy -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One socket to bind, once a worker: a port range and an interface's aliases are spread out already.

    address 0 is the wildcard. device: the interface of an `iface` item, where one was named.
    """

    address: Address
    port: int
    transparent: bool = False
    device: str | None = None


@dataclass(frozen=True, slots=True)
class LogSettings:
    """One log. file and facility exclude each other; rotate_bytes None: never rolled. level: 3 to 9."""

    level: int = 6
    facility: int | None = None
    file: str | None = None
    rotate_bytes: int | None = None
    rotate_count: int = 0
    json: bool = False
    syslog_failure: SyslogFailure = SyslogFailure.IGNORE
    data_limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Out-of-band users: the file, and how much of it is believed."""

    name: str
    file: str
    obligation: Obligation = Obligation.OPTIONAL
    short_names: bool = False
    max_sessions: int = 1000
    max_user_chars: int = 64
    max_groups: int = 256


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """Name servers (address, port) and search domains; empty: the system's. Times in nanoseconds."""

    servers: tuple[tuple[Address, int], ...] = ()
    search: tuple[str, ...] = ()
    conf_timeout_ns: int = 15_000_000_000
    initial_timeout_ns: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """The monitoring section. The extension `http`: listen, an address and a port, or path, of a Unix socket."""

    listen: tuple[Address, int] | None = None
    comm_dir: str = "/tmp"
    interval_s: int = 5
    path: str | None = None


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """The control socket. path None: beside the pidfile. group: whose members may use it, None: of no group."""

    path: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """One udp-proxy section with all it refers to; generation counts reloads from 1. program: as ps names it."""

    name: str
    listeners: tuple[ListenerSettings, ...]
    max_sessions: int
    workers: int
    acls: tuple[AclSettings, ...]
    generation: int = 1
    respawn_count: int = 30
    respawn_ns: int = 60_000_000_000
    single_process: bool = False
    foreground: bool = False
    fast_path: bool = True
    offload: bool = False
    app_user: str | None = None
    app_group: str | None = None
    chroot_dir: str | None = None
    debug_log: LogSettings = LogSettings()
    stats_log: LogSettings = LogSettings()
    source_address: SourceAddress | None = None
    auth: AuthSettings | None = None
    queues: tuple[QueueSettings, ...] = ()
    resolver: ResolverSettings = ResolverSettings()
    resolve_names: bool = True
    monitor: MonitorSettings | None = None
    control: ControlSettings | None = ControlSettings()
    program: str = "udp-proxy"
