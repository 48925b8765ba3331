"""How the session proxy resolves names: in a child of its own, or in the one process that does everything.

A program without names to resolve does not load this, nor the resolver's library.
"""

from __future__ import annotations

from dataclasses import replace

from proxyd.daemon.roster import Child
from proxyd.daemon.spawn import Estate
from workers.boot import BootPlan, Serve
from workers.contract.channel import ChildEnd
from workers.contract.messages import Looked, Lookup, Names
from workers.contract.settings import Address
from workers.resolver import child as resolver
from workers.resolver import lookup, reverse, system


class DnsNaming:
    """See proxyd.daemon.spawn.Naming."""

    def plan(self, estate: Estate, child: Child, channel: ChildEnd, known: Names | None) -> tuple[BootPlan, Serve]:
        """Return how the resolver's child begins, and its work. known: what is resolved already."""
        # Read anew for each replacement, and while it can be read: the resolver has another root.
        prepared = system.prepare(estate.settings.resolver)
        plan = BootPlan(
            child=child.name,
            proxy=estate.settings.name,
            channel=channel,
            keep=frozenset((channel.fileno(),)),
            confinement=replace(estate.confinement, capabilities=frozenset()),
            foreign=estate.regions,
            program=estate.settings.program,
        )
        log, book = resolver.channel_log(channel), None if known is None else _as_book(known)
        return plan, lambda wakeup: resolver.serve(estate.names, prepared, channel, wakeup, log, book)

    def own(self, estate: Estate) -> OwnResolver:
        """Return the resolver's work for one process that does everything. To be called before it is confined."""
        return OwnResolver(estate)


class OwnResolver:
    """The resolver's work where one process does everything: it waits for each answer. Made before it is confined."""

    def __init__(self, estate: Estate) -> None:
        self._names = estate.names
        self._settings = estate.settings.resolver
        self._prepared = system.prepare(self._settings)

    def resolve_names(self) -> Names:
        """Resolve the configuration's names; may take as long as conf-timeout."""
        if not self._names:
            return Names({})
        return resolver.as_names(lookup.resolve_names(self._names, self._settings))

    def answer(self, question: Lookup) -> Looked:
        """Find the name of an address; may take as long as initial-timeout."""
        return reverse.answer_now(question, self._prepared)


def _as_book(names: Names) -> dict[str, frozenset[Address]]:
    return {
        name: frozenset(Address(version, int.from_bytes(value)) for version, value in addresses)
        for name, addresses in names.addresses.items()
    }
