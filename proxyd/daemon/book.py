"""The addresses of the configuration's host names, as the parent knows them."""

from __future__ import annotations

from workers.contract.messages import NO_NAMES, Names
from workers.contract.naming import Gathering


class Book:
    """names: the addresses known now, None: not known yet, and workers wait. resolved: whether a resolver will tell.

    anew: whether a resolver is to tell all names afresh, because others are wanted than before.
    """

    def __init__(self, *, resolved: bool) -> None:
        self.names: Names | None = None if resolved else NO_NAMES
        self.anew = resolved
        self._gathering = Gathering()

    @property
    def told(self) -> Names | None:
        """What a resolver need not be asked for again, None: everything is wanted of it."""
        return None if self.anew else self.names

    def expect(self, *, resolved: bool) -> None:
        """Wait for what the next resolver tells, or, where none will be, for nothing any more."""
        self.anew = resolved
        if not resolved:
            self.names = NO_NAMES

    def take(self, part: Names) -> Names | None:
        """Take what a resolver tells; return what is known with the last part of it, None before.

        A name that it has not found after it was asked for all of them keeps the addresses that it had.
        Raises ContractError for more than a resolver can have to say.
        """
        message = self._gathering.take(part)
        if message is None:
            return None
        if self.anew and self.names is not None:
            message = Names({**self.names.addresses, **message.addresses})
        self.anew = False
        self.names = message
        return message
