"""The settings of one uftpproxyd: frozen data, made by the parent from the command line, read by every worker.

What every program of this house has (workers, user, root, logs) is in workers.contract.settings.Settings beside it.
Everything is resolved: host names are addresses, interfaces have an index. A peer's address is a raw socket address
(workers.wire.sockaddr) in the family of the proxy's socket: on an IPv6 socket an IPv4 peer is an IPv4-mapped address,
as the kernel shows it. Durations are nanoseconds. Source: uftpproxyd(8).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple

from workers.contract.settings import Address
from workers.wire import sockaddr

DEFAULT_PORT = 1044
DEFAULT_BUFFER_BYTES = 1_048_576
"""Sixteen times that of 4.10.2: the kernel charges only what is queued, and bursts find room."""
DEFAULT_HEARTBEAT_NS = 20_000_000_000
DEFAULT_GROUPS = 10_000
DEFAULT_CLIENTS = 10_000


class Mode(Enum):
    """Which of the three proxies it is."""

    SERVER = "server"
    """Near the server: takes its multicast, passes it on to one address (-s)."""
    CLIENT = "client"
    """Near the clients: takes unicast, multicasts it, gathers what the clients answer (-c)."""
    RESPONSE = "response"
    """Passes nothing on; gathers what the clients answer (-r)."""


class Interface(NamedTuple):
    """One address of a network interface of this host; number: the interface's, as the kernel counts them."""

    name: str
    number: int
    address: Address


class ServerEntry(NamedTuple):
    """One line of a server list (-S). fingerprint: 20 bytes (SHA-1 of the key blob), None: any key."""

    uid: int
    address: Address
    fingerprint: bytes | None


class ClientEntry(NamedTuple):
    """One line of a client list (-C). fingerprint: 20 bytes, None: any key, or none at all."""

    uid: int
    fingerprint: bytes | None


@dataclass(frozen=True, slots=True)
class CryptoSettings:
    """Keys and what is asked of them.

    keys: the private keys in the order of -k or -K, each in PEM; empty: throw-away keys are made on demand. ecdh_curve:
    the number of a response proxy's curve (-e) in the protocol, None: no ECDH. min_rsa_bits: shorter RSA keys of peers
    are refused, 0: none is. strong_only: DES, 3DES, SHA-1 and RSA under 2048 bits are refused.
    """

    keys: tuple[bytes, ...] = ()
    ecdh_curve: int | None = None
    min_rsa_bits: int = 0
    strong_only: bool = False


@dataclass(frozen=True, slots=True)
class HeartbeatSettings:
    """Where heartbeats go (raw addresses), and how often."""

    targets: tuple[bytes, ...] = ()
    interval_ns: int = DEFAULT_HEARTBEAT_NS


@dataclass(frozen=True, slots=True)
class UftpSettings:
    """One proxy.

    uid: its own, 1 to 2**32 - 2. version: IP version of its one socket; 6 takes IPv4 peers too. port: where it listens.
    target_port: of the downstream proxy (server mode) or of the clients' groups. own: its own address on the outgoing
    interface with its port, raw: what comes from there is its own. downstream: a server proxy's, raw, None: not known
    before a heartbeat is signed with the key of downstream_fingerprint (SHA-1 of the key blob, 20 bytes).
    public_groups: multicast addresses listened to from the beginning, raw, with target_port. interfaces: where groups
    are joined, one entry an interface. servers, clients: the lists, None: there is none. source_specific: groups are
    joined for the listed servers only, and must be such that can be (-S, server and response mode).
    compat_lists: lists are read as 4.10.2 reads them. open_upstream: a server proxy passes on to the server what comes
    from anybody, not only from its downstream.
    max_groups, max_clients: at once in the whole proxy, and in one group. log_level: 0 to 5.
    """

    mode: Mode
    uid: int
    version: int
    port: int
    target_port: int
    own: bytes
    out_interface: Interface
    interfaces: tuple[Interface, ...] = ()
    public_groups: tuple[bytes, ...] = ()
    downstream: bytes | None = None
    downstream_fingerprint: bytes | None = None
    servers: tuple[ServerEntry, ...] | None = None
    clients: tuple[ClientEntry, ...] | None = None
    source_specific: bool = False
    compat_lists: bool = False
    open_upstream: bool = False
    crypto: CryptoSettings = CryptoSettings()
    heartbeats: HeartbeatSettings = HeartbeatSettings()
    ttl: int = 1
    dscp: int = 0
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    max_groups: int = DEFAULT_GROUPS
    max_clients: int = DEFAULT_CLIENTS
    log_level: int = 2

    @property
    def group_sources(self) -> tuple[bytes, ...]:
        """Return the sources, raw, that groups are joined for; none: anybody."""
        addresses = (entry.address for entry in self.servers or ()) if self.source_specific else ()
        return tuple(sockaddr.encode(address, 0) for address in dict.fromkeys(addresses))


class DropReason(IntEnum):
    """Why a machine did nothing with a datagram, or not all it asked for.

    `machine.drops[reason]` counts each, and its region by Counter.UFTP_DROPS.
    """

    VERSION = 0
    SHORT = 1
    FROM_SELF = 2
    MALFORMED = 3
    NO_DOWNSTREAM = 4
    NO_GROUP = 5
    NOT_ALLOWED = 6
    """A sender that the lists, or the rule for relaying upstream, do not let through."""
    WRONG_SOURCE_ID = 7
    UNKNOWN_CLIENT = 8
    IN_THE_CLEAR = 9
    """A message that must be encrypted in this group."""
    NOT_AUTHENTIC = 10
    """A signature, a tag or a decryption that does not fit."""
    NOT_FOR_US = 11
    """A message with nothing to do here: a KEYINFO without our UID, a PROXY_KEY, an unasked heartbeat answer."""
    GROUP_REFUSED = 12
    """An announcement that was refused a moment ago, or is refused now."""
    TOO_MANY_GROUPS = 13
    TOO_MANY_CLIENTS = 14
    CLIENT_REFUSED = 15
    RATE_LIMITED = 16
    UNKNOWN_FUNCTION = 17
    TOO_LARGE = 18
    """What was to be sent does not fit its message."""


class Fact(IntEnum):
    """What else is counted: `machine.facts[fact]`, and in its region by Counter.UFTP_FACTS.

    GROUPS and CLIENTS are those of now, all others only grow.
    """

    GROUPS = 0
    WEAK_GROUPS = 1
    CLIENTS = 2
    ABORTS_UP = 3
    ABORTS_DOWN = 4
    GROUPS_TIMED_OUT = 5
