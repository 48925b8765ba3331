"""How many sessions a machine and a configuration can hold together, what limits it, and what to change.

Only judges: the machine is read by proxyd.control.facts. Source: proxyctl(8), capacity.
"""

from __future__ import annotations

import msgspec

from proxyd.control.facts import Facts
from proxyd.daemon import demands, descriptors
from workers.contract.settings import Settings

SESSION_BYTES = 4_400
"""1,354 of a worker (scripts/bench), 208 shared, 2,750 of the kernel for a connected socket (2026-11, Linux 6.18)."""
CAP_SYS_RESOURCE = 24
_WIDE_PORTS = 65_535 - 1024 + 1


class Limit(msgspec.Struct, frozen=True):
    """One thing that limits sessions. sessions None: it does not, here. change: how to have more."""

    what: str
    sessions: int | None
    change: str


def limits(facts: Facts, settings: Settings) -> list[Limit]:
    """Return what limits sessions, the tightest first."""
    found = [
        Limit("max-sessions", settings.max_sessions, "max-sessions in the section udpserver"),
        _descriptors(facts, settings),
        _ports(facts, settings),
        Limit("memory", facts.memory_bytes // SESSION_BYTES, f"{SESSION_BYTES} bytes a session: add memory"),
    ]
    if facts.conntrack is not None:
        change = "sysctl -w net.netfilter.nf_conntrack_max=N, two for each session"
        found.append(Limit("connection tracking", facts.conntrack // 2, change))
    return sorted(found, key=lambda limit: float("inf") if limit.sessions is None else limit.sessions)


def _descriptors(facts: Facts, settings: Settings) -> Limit:
    """One worker may happen to have all sessions: the kernel spreads clients, it does not count them."""
    permitted = facts.files_raised if CAP_SYS_RESOURCE in facts.capabilities else min(facts.files, facts.files_raised)
    others = descriptors.needed(settings, 1) - settings.max_sessions
    change = "ulimit -n N before it starts, or LimitNOFILE=N; sysctl -w fs.nr_open=N"
    return Limit("descriptors", max(min(permitted, facts.files_machine) - others, 0), change)


def _ports(facts: Facts, settings: Settings) -> Limit:
    """Return how many sessions have a source port: so many towards each server, where servers and source are known."""
    rules = [acl for acl in settings.acls if acl.accept]
    sources = [demands.effective_source(acl, settings) for acl in rules]
    if any(acl.plug_to is None for acl in rules) or any(source is not None and source.client for source in sources):
        return Limit("source ports", None, "as many for each server or client as there are source ports")
    servers = len({acl.plug_to for acl in rules})
    change = "more servers, or source-address for some rules"
    if facts.ports < _WIDE_PORTS:
        change = f'sysctl -w net.ipv4.ip_local_port_range="1024 65535"; {change}'
    return Limit(f"source ports ({facts.ports} towards each of {servers})", facts.ports * servers, change)
