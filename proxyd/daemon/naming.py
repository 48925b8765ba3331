"""How the session proxy resolves names: in a child of its own, or in the one process that does everything.

A program without names to resolve does not load this, nor the resolver's library.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from proxyd.daemon.roster import Child
from proxyd.daemon.spawn import Estate
from workers.boot import BootPlan, Serve
from workers.contract.channel import ChildEnd
from workers.contract.messages import Looked, Lookup, Names
from workers.contract.settings import Address
from workers.resolver import child as resolver
from workers.resolver import lookup, reverse, system

LOOK_NS = 1_000_000_000
"""How often the machine's tables are looked at."""


class DnsNaming:
    """See proxyd.daemon.spawn.Naming. resolv_conf, hosts: where the machine's tables are."""

    def __init__(self, resolv_conf: Path = system.RESOLV_CONF, hosts: Path = system.HOSTS) -> None:
        self._tables = resolv_conf, hosts
        self._given: system.Prepared | None = None
        self._stamps: tuple[tuple[int, ...], ...] = ()
        self._settling: tuple[tuple[int, ...], ...] = ()
        self._due_ns = 0

    def plan(self, estate: Estate, child: Child, channel: ChildEnd, known: Names | None) -> tuple[BootPlan, Serve]:
        """Return how the resolver's child begins, and its work. known: what is resolved already."""
        # Read anew for each replacement, and while it can be read: the resolver has another root.
        self._stamps = self._settling = system.stamps(*self._tables)
        prepared = self._given = system.prepare(estate.settings.resolver, *self._tables)
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

    def outdated(self, estate: Estate, now_ns: int) -> bool:
        """Tell whether the machine's tables say something else than to the resolver's child when it began.

        They are looked at once a second, and what has changed only just is left to settle first.
        """
        if self._given is None or now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + LOOK_NS
        stamps, before = system.stamps(*self._tables), self._settling
        self._settling = stamps
        if stamps == self._stamps or stamps != before:
            return False
        if system.prepare(estate.settings.resolver, *self._tables) != self._given:
            return True
        self._stamps = stamps
        return False

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
