"""The server list and the client list (-S, -C) as questions: may this station take part?

They hold for every group, unless --compat-lists asks for 4.10.2's reading, which looks at them in encrypted ones only.
Source: uftpproxyd(8), -C and -S; UFTP 4.10.2, observed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from workers.contract.settings import Address
from workers.contract.uftp import ClientEntry, Mode, ServerEntry, UftpSettings
from workers.errors import DecodeError, PeerError
from workers.uftp.fingerprint import fingerprint
from workers.wire import sockaddr

_IPV4_BITS = 32
_MAPPED = 0xFFFF
"""What stands before an IPv4 address in IPv6. Source: RFC 4291 section 2.5.5.2."""
_Entry = TypeVar("_Entry", ServerEntry, ClientEntry)


class Lists:
    """Both lists, by UID. No list: everybody may."""

    __slots__ = ("_clients", "_compatible", "_mode", "_servers")

    def __init__(self, settings: UftpSettings) -> None:
        self._servers = _by_uid(settings.servers)
        self._clients = _by_uid(settings.clients)
        self._compatible = settings.compat_lists
        self._mode = settings.mode

    @property
    def has_clients(self) -> bool:
        """Whether there is a list of clients."""
        return self._clients is not None

    def check_server(self, uid: int, source: bytes, key_blob: bytes | None) -> None:
        """Return if a server may open a group. Raises PeerError, which says what does not fit.

        source: where its announcement came from, raw; key_blob: its public key, None in a plain group.
        """
        if self._servers is None or self._overlooked(key_blob):
            return
        entries = self._servers.get(uid)
        if not entries:
            raise PeerError("not in the list of servers")
        why = "in the list of servers with another address"
        for entry in entries:
            if not self._compatible and not _is_address(source, entry.address):
                continue
            if key_blob is None or entry.fingerprint is None or entry.fingerprint == fingerprint(key_blob):
                return
            why = "in the list of servers with another fingerprint"
        raise PeerError(why)

    def check_uid(self, uid: int) -> None:
        """Return if a client that has not shown its key yet may go on. Raises PeerError."""
        if self._clients is not None and uid not in self._clients:
            raise PeerError("not in the list of clients")

    def check_client(self, uid: int, key_blob: bytes | None) -> None:
        """Return if a client may register. Raises PeerError.

        key_blob: its public key, None where clients do not authenticate: then its UID alone counts.
        """
        if self._clients is None or (self._compatible and key_blob is None):
            return
        self.check_uid(uid)
        if key_blob is None or any(entry.fingerprint in (None, fingerprint(key_blob)) for entry in self._clients[uid]):
            return
        raise PeerError("in the list of clients with another fingerprint")

    def _overlooked(self, key_blob: bytes | None) -> bool:
        return self._compatible and (key_blob is None or self._mode is Mode.SERVER)


def _by_uid(entries: Iterable[_Entry] | None) -> dict[int, list[_Entry]] | None:
    if entries is None:
        return None
    found: dict[int, list[_Entry]] = {}
    for entry in entries:
        found.setdefault(entry.uid, []).append(entry)
    return found


def _is_address(source: bytes, address: Address) -> bool:
    """Tell whether a raw socket address has this IP address; an IPv4-mapped one is the IPv4 address it holds."""
    try:
        found, _ = sockaddr.decode(source)
    except DecodeError:
        return False
    if found.version == 6 and found.value >> _IPV4_BITS == _MAPPED:
        found = Address(4, found.value & ((1 << _IPV4_BITS) - 1))
    return found == address
