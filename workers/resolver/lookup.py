"""Addresses of configuration names, asked of name servers: both versions, search list, bounded time.

A name that has no addresses is a value with a reason, never an exception.
Source: RFC 1034, RFC 1035, RFC 3596; resolv.conf(5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import dns.exception
import dns.rdatatype
import dns.resolver

from workers.contract.settings import Address, ResolverSettings
from workers.policy.hostset import normal_address
from workers.resolver.asking import Asker
from workers.resolver.system import Prepared, prepare

MAX_PARALLEL = 128
"""Names asked for at a time; two sockets each, four where the servers are silent: within 1024 descriptors."""
MAX_ADDRESSES = 2_000
"""Addresses of one name, of each version from servers, of both from the hosts table: they have to fit one message."""
_VERSIONS = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}
_REASONS: tuple[tuple[type[dns.exception.DNSException], str], ...] = (
    (dns.resolver.NXDOMAIN, "there is no such name"),
    (dns.resolver.LifetimeTimeout, "no answer in time"),
    (dns.resolver.NoNameservers, "no server has a usable answer"),
    (dns.exception.DNSException, "it cannot be asked for"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a look-up: addresses and their time to live in seconds, None where that is not known.

    reason: why there are no addresses, for the log; empty when there are. unanswered: IP versions of which nothing
    was learnt, because the servers failed.
    """

    addresses: frozenset[Address]
    ttl_s: int | None = None
    reason: str = ""
    unanswered: frozenset[int] = frozenset()


class Lookup:
    """Asks the servers; at most MAX_PARALLEL names at a time, the others wait."""

    def __init__(self, prepared: Prepared) -> None:
        self._hosts = prepared.hosts
        self._room = asyncio.Semaphore(MAX_PARALLEL)
        self._asker = Asker(prepared, prepared.timeout_ns / 1e9)

    async def look_up(self, name: str) -> Answer:
        """Return the addresses of a name (lower case, no trailing dot): from the hosts table, else from the servers."""
        listed = self._hosts.get(name)
        if listed:
            return Answer(frozenset(sorted(listed)[:MAX_ADDRESSES]))
        async with self._room:
            return _merge(await asyncio.gather(*(self._ask(name, version) for version in _VERSIONS)))

    async def _ask(self, name: str, version: int) -> Answer:
        """Ask for the addresses of one version."""
        try:
            found = await self._asker.ask(name, _VERSIONS[version], search=True)
        except dns.exception.DNSException as error:
            reason = next(text for kind, text in _REASONS if isinstance(error, kind))
            learnt = isinstance(error, dns.resolver.NXDOMAIN)
            return Answer(frozenset(), reason=reason, unanswered=frozenset() if learnt else frozenset((version,)))
        if found.rrset is None:
            return Answer(frozenset(), reason="it has no addresses")
        values = sorted(int.from_bytes(record.to_wire()) for record in found.rrset)[:MAX_ADDRESSES]
        addresses = frozenset(normal_address(Address(version, value)) for value in values)
        return Answer(addresses, found.chaining_result.minimum_ttl)


def resolve_names(names: Iterable[str], settings: ResolverSettings) -> dict[str, frozenset[Address]]:
    """Return the addresses of names; a name without any is not in the result.

    Takes at most the conf-timeout for each MAX_PARALLEL names. Not to be called inside an event loop.
    """
    answers = asyncio.run(_look_up_all(tuple(names), prepare(settings)))
    return {name: answer.addresses for name, answer in answers.items() if answer.addresses}


async def _look_up_all(names: tuple[str, ...], prepared: Prepared) -> dict[str, Answer]:
    lookup = Lookup(prepared)
    return dict(zip(names, await asyncio.gather(*map(lookup.look_up, names)), strict=True))


def _merge(answers: Iterable[Answer]) -> Answer:
    """Make one answer of those for each version."""
    answers = tuple(answers)
    addresses = frozenset[Address]().union(*(answer.addresses for answer in answers))
    unanswered = frozenset[int]().union(*(answer.unanswered for answer in answers))
    if addresses:
        times = [answer.ttl_s for answer in answers if answer.ttl_s is not None]
        return Answer(addresses, min(times), unanswered=unanswered)
    telling = next((answer for answer in answers if answer.unanswered), answers[0])
    return Answer(addresses, reason=telling.reason, unanswered=unanswered)
