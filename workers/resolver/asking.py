"""Questions to name servers, asked with patience: a slow server is heard out, and keeps no other from being asked.

The first server may take all the time there is. When it has not answered after a turn, the others are asked as well,
and it once more, a turn each: datagrams get lost, servers are down. The first answer counts.
The C library's resolver is not used: it reads files when it is called, which have gone with the root directory by then.
So is everything that dnspython would import when it first meets a record imported here.
Source: RFC 1035 section 4.2.1; RFC 1123 section 6.1.3.3.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

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
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.resolver

from workers.resolver.system import Prepared

TURN_S = 2.0
"""How long one server is waited for before the next one is asked as well."""
_BACKEND = dns.asyncbackend.get_backend("asyncio")


class Asker:
    """Asks the servers it is given, and searches the domains it is given, nothing else.

    lifetime_s: how long a question may take, with everything. turn_s: instead of TURN_S.
    """

    def __init__(self, prepared: Prepared, lifetime_s: float, turn_s: float = TURN_S) -> None:
        self.turn_s = turn_s
        self._lifetime_s = lifetime_s
        self._servers = [dns.nameserver.Do53Nameserver(str(address), port) for address, port in prepared.servers]
        self._patient = _make_resolver(prepared, lifetime_s)
        self._eager = _make_resolver(prepared, turn_s)

    async def ask(
        self, name: str | dns.name.Name, kind: dns.rdatatype.RdataType, *, search: bool
    ) -> dns.resolver.Answer:
        """Return what the servers have of a kind under a name, which may be nothing. Raises DNSException."""
        left_s = self._lifetime_s - self.turn_s
        first = self._resolve(self._patient, self._servers, name, kind, self._lifetime_s, search=search)
        tasks = {asyncio.create_task(first)}
        try:
            done, waiting = await asyncio.wait(tasks, timeout=self.turn_s)
            if waiting and left_s > 0:
                others = self._servers[1:] + self._servers[:1]
                again = self._resolve(self._eager, others, name, kind, left_s, search=search)
                waiting.add(asyncio.create_task(again))
                tasks = waiting
            while waiting and not any(map(_is_final, done)):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return max(done, key=_is_final).result()
        finally:
            for task in tasks:
                task.cancel()

    @staticmethod
    async def _resolve(
        resolver: dns.asyncresolver.Resolver,
        servers: list[dns.nameserver.Do53Nameserver],
        name: str | dns.name.Name,
        kind: dns.rdatatype.RdataType,
        lifetime_s: float,
        *,
        search: bool,
    ) -> dns.resolver.Answer:
        resolver.nameservers = [*servers]
        return await resolver.resolve(
            name, kind, raise_on_no_answer=False, lifetime=lifetime_s, search=search, backend=_BACKEND
        )

    def prefer(self, answer: dns.resolver.Answer) -> None:
        """Ask the server that gave an answer before the others from now on."""
        given = (answer.nameserver, answer.port)
        self._servers.sort(key=lambda server: (server.address, server.port) != given)

    def postpone_first(self) -> None:
        """Ask the first server after the others from now on."""
        self._servers.append(self._servers.pop(0))


def _is_final(task: asyncio.Task[dns.resolver.Answer]) -> bool:
    """Tell whether a question that is over was answered, if only with no."""
    error = task.exception()
    return error is None or isinstance(error, dns.resolver.NXDOMAIN)


def _make_resolver(prepared: Prepared, turn_s: float) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.timeout = turn_s
    resolver.ndots = prepared.ndots
    # Without this the machine's own domain would be searched, behind the administrator's back.
    resolver.domain = dns.name.root
    resolver.search = _domains(prepared.search)
    return resolver


def _domains(names: Iterable[str]) -> list[dns.name.Name]:
    """Return the search list, without what is no domain."""
    domains: list[dns.name.Name] = []
    for name in names:
        with contextlib.suppress(dns.exception.DNSException):
            domains.append(dns.name.from_text(name))
    return domains
