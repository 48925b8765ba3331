"""Which private multicast groups the proxy is a member of: each is joined once, and left when nobody needs it.

The public groups are the caller's, from the beginning to the end. A client proxy hears its server by unicast and is a
member of nothing. Source: UFTP 4.10.2, observed.
"""

from __future__ import annotations

from collections import Counter

from workers.contract.uftp import Mode, UftpSettings
from workers.uftp.actions import Join, Leave
from workers.uftp.addresses import host_of
from workers.wire import sockaddr


class Memberships:
    """How many groups need each private address."""

    __slots__ = ("_member", "_public", "_users", "sources")

    def __init__(self, settings: UftpSettings) -> None:
        self._member = settings.mode is not Mode.CLIENT
        self._public = frozenset(map(host_of, settings.public_groups))
        servers = settings.servers or ()
        addresses = dict.fromkeys(entry.address for entry in servers) if settings.source_specific else {}
        self.sources = tuple(sockaddr.encode(address, 0) for address in addresses)
        """From whom groups are heard; none: from everybody."""
        self._users: Counter[bytes] = Counter()

    def need(self, private: bytes) -> Join | None:
        """Count one more group with this private address, raw; return what is to be done about it."""
        if not self._concerns(private):
            return None
        self._users[private] += 1
        return Join(private, self.sources) if self._users[private] == 1 else None

    def release(self, private: bytes) -> Leave | None:
        """Count one group less; return what is to be done about it."""
        if not self._concerns(private) or not self._users[private]:
            return None
        self._users[private] -= 1
        if self._users[private]:
            return None
        del self._users[private]
        return Leave(private, self.sources)

    def needs(self, private: bytes) -> bool:
        """Tell whether a group has this private address that the proxy is a member of."""
        return self._users[private] > 0

    def _concerns(self, private: bytes) -> bool:
        return self._member and bool(private) and host_of(private) not in self._public
