"""Which address a session's datagrams to its server leave from: a decision on addresses alone. Sans-I/O.

The order is the client's address, where its IP version is the server's, the forced address of the server's version, and
then the system's choice, unless the rule says no-fallback. Source: udp-proxy.cfg(5), SOURCE-ADDRESS; K-50 to K-55.
"""

from __future__ import annotations

from typing import NamedTuple

from workers.contract.settings import AclSettings, Address, SessionKind, SourceFallback, SourcePort, SourcePortMode
from workers.wire.sockaddr import V4_BYTES, encode

_PORT = slice(2, 4)
"""Where the port lies in a raw socket address of either version."""


class Source(NamedTuple):
    """What a server-side socket is bound to before it is connected.

    local: a raw socket address, whose port may be 0; empty: all is left to the system. foreign: it is the client's
    address, not one of ours. forced: its port is the client's, or the rule's, so that sessions may have the same one.
    shared: several sessions have this one socket, and its datagrams are told apart by their senders (K-51).
    """

    local: bytes = b""
    foreign: bool = False
    forced: bool = False
    shared: bool = False


SYSTEMS = Source()


def choose(rule: AclSettings, client: bytes, target: bytes) -> Source | None:
    """Return what a session of this rule is bound to; None: nothing that the rule permits fits the server (K-54).

    client, target: raw socket addresses.
    """
    wanted = rule.source_address
    if wanted is None:
        return SYSTEMS
    if wanted.client and client[:2] == target[:2]:
        local = client[:2] + _port(rule.source_port, client) + client[4:]
        forced = rule.source_port is not None
        return Source(local, foreign=True, forced=forced, shared=forced and rule.kind is not SessionKind.NORMAL)
    version = 4 if len(target) == V4_BYTES else 6
    value = wanted.addr4 if version == 4 else wanted.addr6
    if value is not None:
        return Source(encode(Address(version, value), 0))
    return None if wanted.fallback is SourceFallback.NO_FALLBACK else SYSTEMS


def _port(wanted: SourcePort | None, client: bytes) -> bytes:
    if wanted is None:
        return bytes(2)
    if wanted.mode is SourcePortMode.CLIENT or wanted.port is None:
        return client[_PORT]
    return wanted.port.to_bytes(2, "big")
