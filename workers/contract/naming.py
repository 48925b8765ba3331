"""The table of host names' addresses as messages: cut into parts that each fit one, and put together again."""

from __future__ import annotations

from workers.contract.messages import MAX_MESSAGE_BYTES, Names
from workers.errors import ContractError

MAX_NAMES = 1 << 18
"""In one table: what a child can make its reader keep has a bound. Configurations have thousands at most."""
_ROOM = MAX_MESSAGE_BYTES - 64
Pairs = list[tuple[int, bytes]]


def split(names: Names) -> list[Names]:
    """Return the parts of a whole table; one at least."""
    batches: list[dict[str, Pairs]] = [{}]
    room = _ROOM
    for name, pairs in names.addresses.items():
        size = 8 + len(name.encode()) + sum(4 + len(value) for _, value in pairs)
        if size > room and batches[-1]:
            batches.append({})
            room = _ROOM
        room -= size
        batches[-1][name] = pairs
    last = len(batches) - 1
    return [Names(batch, number == 0, number == last) for number, batch in enumerate(batches)]


class Gathering:
    """Puts one table after the other together."""

    def __init__(self) -> None:
        self._gathered: dict[str, Pairs] | None = None

    def take(self, part: Names) -> Names | None:
        """Take one part; return the whole table with its last one, None before. Raises ContractError.

        A table that was begun and not ended is void with the first part of the next.
        """
        if part.first:
            self._gathered = {}
        if self._gathered is None:
            return None
        self._gathered |= part.addresses
        if len(self._gathered) > MAX_NAMES:
            self._gathered = None
            raise ContractError(f"a table of more than {MAX_NAMES} names")
        if not part.last:
            return None
        whole, self._gathered = Names(self._gathered), None
        return whole
