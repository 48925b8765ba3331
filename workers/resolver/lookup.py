"""Addresses of configuration names, asked of name servers: both versions, search list, bounded time.

A name that has no addresses is a value with a reason, never an exception. The C library's resolver is not used: it
reads files when it is called, which have gone with the root directory by then. So is everything that dnspython would
import when it first meets a record imported here.
Source: RFC 1034, RFC 1035, RFC 3596; resolv.conf(5).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.DNAME
import dns.rdtypes.ANY.NS
import dns.rdtypes.ANY.OPT
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.resolver

from workers.contract.settings import Address, ResolverSettings
from workers.policy.hostset import normal_address
from workers.resolver.system import Prepared, prepare

MAX_PARALLEL = 32
"""Names asked for at a time; two sockets each."""
MAX_ADDRESSES = 64
"""Addresses believed of one name."""
MAX_LISTED = 2_000
"""Addresses of one name in the hosts table, which is the operator's: with its name they have to fit one message."""
BACKEND = dns.asyncbackend.get_backend("asyncio")
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


def make_resolver(prepared: Prepared) -> dns.asyncresolver.Resolver:
    """Return a resolver that asks the servers it is given, and searches the domains it is given, nothing else."""
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [
        dns.nameserver.Do53Nameserver(address_text(address), port) for address, port in prepared.servers
    ]
    resolver.lifetime = prepared.timeout_ns / 1e9
    resolver.ndots = prepared.ndots
    # Without this the machine's own domain would be searched, behind the administrator's back.
    resolver.domain = dns.name.root
    resolver.search = _domains(prepared.search)
    return resolver


class Lookup:
    """Asks the servers; at most MAX_PARALLEL names at a time, the others wait."""

    def __init__(self, prepared: Prepared) -> None:
        self._hosts = prepared.hosts
        self._room = asyncio.Semaphore(MAX_PARALLEL)
        self._resolver = make_resolver(prepared)

    async def look_up(self, name: str) -> Answer:
        """Return the addresses of a name (lower case, no trailing dot): from the hosts table, else from the servers."""
        listed = self._hosts.get(name)
        if listed:
            return Answer(frozenset(sorted(listed)[:MAX_LISTED]))
        async with self._room:
            return _merge(await asyncio.gather(*(self._ask(name, version) for version in _VERSIONS)))

    async def _ask(self, name: str, version: int) -> Answer:
        """Ask for the addresses of one version."""
        try:
            found = await self._resolver.resolve(
                name, _VERSIONS[version], raise_on_no_answer=False, search=True, backend=BACKEND
            )
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


def _domains(names: Iterable[str]) -> list[dns.name.Name]:
    """Return the search list, without what is no domain."""
    domains: list[dns.name.Name] = []
    for name in names:
        with contextlib.suppress(dns.exception.DNSException):
            domains.append(dns.name.from_text(name))
    return domains


def address_text(address: Address) -> str:
    """Return an address as people write it."""
    return str((IPv4Address if address.version == 4 else IPv6Address)(address.value))
