"""Names of addresses: asked of name servers, and believed only where the name has that address in turn.

No name is a value, never an exception. Whatever it takes, an answer is there within the time; the same address is
asked for once at a time, however many want it. Source: RFC 1035 section 3.5, RFC 3596 section 2.5; udp-proxy.cfg(5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename

from workers.contract.messages import MAX_NAME_CHARS, Looked, Lookup
from workers.contract.settings import Address, ResolverSettings
from workers.policy.hostset import normal_address, normal_name
from workers.resolver.asking import TURN_S, Asker
from workers.resolver.system import Prepared, prepare

MAX_PARALLEL = 128
"""Addresses asked for at a time; a socket each."""
MAX_NAMES = 8
"""Names of one address that are tried: the others are hardly ever meant for people."""
SHORTEST_S, LONGEST_S = 60, 3600
"""How long an answer is believed, at least and at most; no name is believed for the shortest time."""
_TYPES = {4: dns.rdatatype.A, 6: dns.rdatatype.AAAA}


class Found(NamedTuple):
    """What came of it: the name, lower case, without trailing dot, or None; and for how many seconds."""

    name: str | None
    ttl_s: int


NOTHING = Found(None, SHORTEST_S)
UNASKED = Found(None, 0)
"""So many were asked for at the time that this one came late, or never: it says nothing of the address."""


class Reverse:
    """Asks the servers; at most MAX_PARALLEL addresses at a time, the others wait within their time."""

    def __init__(self, prepared: Prepared) -> None:
        self._hosts = _names_of(prepared.hosts)
        self._room = asyncio.Semaphore(MAX_PARALLEL)
        self._timeout_s = prepared.reverse_timeout_ns / 1e9
        # Each server is asked within the time, though those before it are silent.
        self._asker = Asker(prepared, self._timeout_s, min(self._timeout_s / len(prepared.servers), TURN_S))
        self._running: dict[Address, asyncio.Task[Found]] = {}

    async def look_up(self, address: Address) -> Found:
        """Return the name of an address: from the hosts table, else from the servers."""
        address = normal_address(address)
        listed = self._hosts.get(address)
        if listed is not None:
            return Found(listed, SHORTEST_S)
        running = self._running.get(address)
        if running is None:
            running = self._running[address] = asyncio.create_task(self._ask(address))
            running.add_done_callback(lambda _: self._running.pop(address))
        return await running

    async def _ask(self, address: Address) -> Found:
        clock = asyncio.get_running_loop().time
        nothing, half = UNASKED, clock() + self._timeout_s / 2
        try:
            async with asyncio.timeout(self._timeout_s), self._room:
                if clock() < half:  # Whoever comes later has not been given the time.
                    nothing = NOTHING
                pointer = dns.reversename.from_address(str(address))
                names, ttl_s = await self._records(pointer, dns.rdatatype.PTR)
                for name in names[:MAX_NAMES]:
                    confirmed_s = await self._confirm(name, address)
                    if confirmed_s is not None:
                        return Found(_text(name), min(max(min(ttl_s, confirmed_s), SHORTEST_S), LONGEST_S))
        except TimeoutError:
            return nothing
        return nothing

    async def _confirm(self, name: dns.name.Name, address: Address) -> int | None:
        """Return how long the name is known to have the address, in seconds; None: it has it not, or is no name."""
        if not 0 < len(_text(name)) <= MAX_NAME_CHARS:
            return None
        values, ttl_s = await self._records(name, _TYPES[address.version])
        return ttl_s if address.value in {int.from_bytes(value.to_wire()) for value in values} else None

    async def _records(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> tuple[list[Any], int]:
        """Return what the servers have of a kind under a name, and its time to live; nothing where they fail."""
        began_s = asyncio.get_running_loop().time()
        try:
            found = await self._asker.ask(name, kind, search=False)
        except dns.resolver.NXDOMAIN:
            # Nobody says which server it was; where it was not the first one, that one was waited for in vain.
            if asyncio.get_running_loop().time() - began_s >= self._asker.turn_s:
                self._asker.postpone_first()
            return [], 0
        except dns.exception.DNSException:
            return [], 0
        self._asker.prefer(found)  # The time is too short to wait for silent ones.
        if found.rrset is None:
            return [], 0
        values = [record.target if kind == dns.rdatatype.PTR else record for record in found.rrset]
        return sorted(values), found.chaining_result.minimum_ttl


def find_name(address: Address, settings: ResolverSettings) -> str | None:
    """Return the name of an address, None for none, waiting for it; not to be called inside an event loop."""
    return asyncio.run(_look_up(address, prepare(settings))).name


def answer_now(question: Lookup, prepared: Prepared) -> Looked:
    """Answer a worker's question, waiting for it; not to be called inside an event loop."""
    address = Address(question.version, int.from_bytes(question.value))
    name, ttl_s = asyncio.run(_look_up(address, prepared))
    return Looked(question.worker, question.version, question.value, name, ttl_s)


async def _look_up(address: Address, prepared: Prepared) -> Found:
    return await Reverse(prepared).look_up(address)


def _names_of(hosts: Mapping[str, frozenset[Address]]) -> dict[Address, str]:
    """Return the first name that the hosts table has for each address."""
    names: dict[Address, str] = {}
    for name, addresses in hosts.items():
        for address in addresses:
            names.setdefault(address, name)
    return names


def _text(name: dns.name.Name) -> str:
    return normal_name(name.to_text(omit_final_dot=True))
