"""Whether a machine is fit for a configuration: what is missing, each with the command that mends it.

Only judges: the machine is read by proxyd.control.facts. Source: udp-proxy(8), Privileges; proxyctl(8), doctor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from proxyd.control.capacity import SESSION_BYTES
from proxyd.control.facts import Facts
from proxyd.control.tables import counted
from proxyd.daemon import capabilities, demands, descriptors, sockets
from workers.contract.settings import Settings

CAP_NET_ADMIN = 12
CAP_SYS_RESOURCE = 24
MEMORY_SHARE = 0.8
"""How much of what is available the sessions may take."""
WIDE_PORTS = "1024 65535"


class Finding(msgspec.Struct, frozen=True):
    """What was found of one subject. verdict: ok, warning (it will serve, but not all that is configured) or error.

    remedy: the command that mends it, or what else to do.
    """

    verdict: str
    subject: str
    text: str
    remedy: str | None = None


def examine(facts: Facts, settings: Settings) -> list[Finding]:
    """Return the findings, at least one for every subject that matters to this configuration."""
    return [finding for check in _CHECKS for finding in check(facts, settings)]


def _capabilities(facts: Facts, settings: Settings) -> Iterator[Finding]:
    wanted = capabilities.needs(settings, changes_user=settings.app_user is not None)
    missing = [need for need in wanted if need.capability not in facts.capabilities]
    for need in missing:
        text = f"{need.capability.name} is needed for {need.purpose}, and whoever asks here has not got it"
        yield Finding(
            "error", "capabilities", text, f"start it as root, or with AmbientCapabilities={need.capability.name}"
        )
    if not missing:
        names = ", ".join(dict.fromkeys(need.capability.name for need in wanted))
        yield Finding("ok", "capabilities", f"{names}: needed, and held here" if names else "none is needed")


def _addresses(facts: Facts, settings: Settings) -> Iterator[Finding]:
    fixed = [listener for listener in settings.listeners if not listener.transparent and listener.address.value]
    missing = sorted({text for listener in fixed if (text := str(listener.address)) not in facts.addresses})
    for text in missing:
        if not text.startswith("127."):
            yield Finding("error", "addresses", f"{text} is not this machine's", f"ip address add {text} dev INTERFACE")
    if not missing:
        yield Finding("ok", "addresses", f"{counted(len(settings.listeners), 'listener')} can be bound")


def _descriptors(facts: Facts, settings: Settings) -> Iterator[Finding]:
    wanted = descriptors.needed(settings, settings.workers)
    limit = max(facts.files, facts.files_raised) if CAP_SYS_RESOURCE in facts.capabilities else facts.files
    if wanted > facts.files_raised:
        text = f"{wanted} open files may be needed, the system permits {facts.files_raised} a process"
        yield Finding("warning", "descriptors", text, f"sysctl -w fs.nr_open={wanted}")
    elif wanted > limit:
        text = f"{wanted} open files may be needed for max-sessions {settings.max_sessions}, {limit} are permitted"
        yield Finding("warning", "descriptors", text, f"ulimit -n {wanted} before it starts, or LimitNOFILE={wanted}")
    if wanted > facts.files_machine:
        text = f"{wanted} open files may be needed, all programs of the machine may have {facts.files_machine}"
        yield Finding("warning", "descriptors", text, f"sysctl -w fs.file-max={2 * wanted}")
    if wanted <= min(limit, facts.files_raised, facts.files_machine):
        yield Finding("ok", "descriptors", f"{wanted} may be needed, {limit} are permitted")


def _ports(facts: Facts, settings: Settings) -> Iterator[Finding]:
    if settings.max_sessions <= facts.ports:
        yield Finding("ok", "source ports", f"{facts.ports} a server, for max-sessions {settings.max_sessions}")
        return
    text = f"towards one server there are {facts.ports} source ports, fewer than max-sessions {settings.max_sessions}"
    yield Finding("warning", "source ports", text, f'sysctl -w net.ipv4.ip_local_port_range="{WIDE_PORTS}"')


def _receive(facts: Facts, _settings: Settings) -> Iterator[Finding]:
    wanted = sockets.BUFFER_BYTES
    if facts.receive_bytes >= wanted or CAP_NET_ADMIN in facts.capabilities:
        yield Finding("ok", "receive buffers", f"listeners get the {wanted} bytes they want")
        return
    text = f"listeners want {wanted} bytes to hold bursts, and get {facts.receive_bytes}"
    yield Finding("warning", "receive buffers", text, f"sysctl -w net.core.rmem_max={wanted}")


def _filters(facts: Facts, settings: Settings) -> Iterator[Finding]:
    transparent = any(listener.transparent for listener in settings.listeners)
    sources = (demands.effective_source(acl, settings) for acl in settings.acls if acl.accept)
    if not transparent and not any(source is not None and source.client for source in sources):
        return
    for name in facts.strict:
        text = f"{name} drops what comes in by another way than it would go out (rp_filter 1)"
        remedy = f"sysctl -w net.ipv4.conf.{name}.rp_filter=2"
        yield Finding("warning", "reverse path", text, remedy)
    if not facts.strict:
        yield Finding("ok", "reverse path", "no interface filters strictly")
    for text in facts.missing_routes:
        commands = re.findall(r"'(ip -[^']*)'", text)
        yield Finding("warning", "routing", text, " && ".join(commands) or "see udp-proxy-transparent(7)")
    for rule in facts.shortcuts:
        text = f"nftables: '{rule}' gives clients' datagrams to sockets that only send answers"
        yield Finding("warning", "routing", text, "take the rule out; nft -a list ruleset shows its handle")
    if not (facts.missing_routes or facts.shortcuts):
        yield Finding("ok", "routing", "foreign datagrams are brought to this machine")


def _memory(facts: Facts, settings: Settings) -> Iterator[Finding]:
    wanted = settings.max_sessions * SESSION_BYTES
    share = int(facts.memory_bytes * MEMORY_SHARE)
    if wanted <= share:
        yield Finding("ok", "memory", f"max-sessions needs {wanted >> 20} MiB of {facts.memory_bytes >> 20} available")
        return
    text = f"max-sessions {settings.max_sessions} needs {wanted >> 20} MiB, {facts.memory_bytes >> 20} are available"
    yield Finding("warning", "memory", text, f"max-sessions {share // SESSION_BYTES}; in the section udpserver")


def _tracking(facts: Facts, settings: Settings) -> Iterator[Finding]:
    wanted = 2 * settings.max_sessions
    if facts.conntrack is None:
        return
    if wanted <= facts.conntrack:
        yield Finding("ok", "connection tracking", f"{facts.conntrack} entries, two a session")
        return
    text = f"the kernel tracks {facts.conntrack} connections, and a session is two: beyond that it drops datagrams"
    yield Finding("warning", "connection tracking", text, f"sysctl -w net.netfilter.nf_conntrack_max={wanted}")


_CHECKS: tuple[Callable[[Facts, Settings], Iterator[Finding]], ...] = (
    _capabilities,
    _addresses,
    _descriptors,
    _ports,
    _receive,
    _filters,
    _memory,
    _tracking,
)
