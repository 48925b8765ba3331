"""The table of out-of-band users on the worker's side: gathered from its parts, looked up by the engine.

The parent reads the file and sends the whole table whenever it changes (proxyd.daemon.oob); a table counts when its
last part is there, all of it at once. Source: udp-proxy.cfg(5), OOB-AUTH.
"""

from __future__ import annotations

from workers.contract.messages import Users
from workers.contract.settings import Address
from workers.policy.users import User


class Directory:
    """Gathers the parts of one table after the other."""

    def __init__(self) -> None:
        self._gathered: dict[Address, User] = {}
        self._begun = False

    def take(self, part: Users) -> dict[Address, User] | None:
        """Take one part; return the whole table with its last one, None before.

        A part without the first one of its table, which only a parent that lost count could send, changes nothing.
        """
        if part.first:
            self._gathered, self._begun = {}, True
        if not self._begun:
            return None
        for version, value, user, groups in part.entries:
            self._gathered[Address(version, int.from_bytes(value))] = User(user, frozenset(groups))
        if not part.last:
            return None
        table, self._gathered, self._begun = self._gathered, {}, False
        return table
