"""What of this machine matters to a proxy, read from /proc: limits, ports, memory, filters, addresses. Changes nothing.

Source: proc(5); ip(7), ip_local_port_range; ip-sysctl(7) of the kernel's documentation, rp_filter, udp_mem.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from proxyd.daemon import routing
from workers.contract.settings import Settings

PROC = Path("/proc")
LIST_RULES = ("nft", "list", "ruleset")
_LISTING_S = 10.0


@dataclass(frozen=True)
class Facts:
    """A machine, and a process of it: the proxy's where it runs, else our own.

    capabilities: the numbers of those that we hold. files: how many descriptors the process may open at most;
    files_raised: with the right to raise that; files_machine: all processes together. ports: how many source ports the
    system chooses from. memory_bytes: what could be used now. strict: the interfaces that drop what comes in by another
    way than it would go out (rp_filter 1). conntrack: how many connections are tracked at most, None where nothing is
    tracked. addresses: the machine's own. missing_routes: what diagnose of proxyd.daemon.routing says.
    shortcuts: nftables rules that give datagrams to whichever transparent socket has their destination's address.
    """

    capabilities: frozenset[int]
    files: int
    files_raised: int
    files_machine: int
    port_first: int
    port_last: int
    ports: int
    receive_bytes: int
    memory_bytes: int
    strict: tuple[str, ...]
    conntrack: int | None
    addresses: frozenset[str]
    missing_routes: tuple[str, ...]
    shortcuts: tuple[str, ...]


def read_facts(settings: Settings, process: int | None, held: frozenset[int], proc: Path = PROC) -> Facts:
    """Read the machine. process: the running proxy's parent, None: it does not run. held: our own capabilities."""
    net = proc / "sys/net"
    limits = (proc / ("self" if process is None else str(process)) / "limits").read_text()
    first, last = (int(word) for word in (net / "ipv4/ip_local_port_range").read_text().split())
    return Facts(
        capabilities=held,
        files=_limit(limits),
        files_raised=_number(proc / "sys/fs/nr_open"),
        files_machine=_number(proc / "sys/fs/file-max"),
        port_first=first,
        port_last=last,
        ports=last - first + 1 - reserved_within((net / "ipv4/ip_local_reserved_ports").read_text(), first, last),
        receive_bytes=_number(net / "core/rmem_max"),
        memory_bytes=_available(proc / "meminfo"),
        strict=strict_interfaces(net / "ipv4/conf"),
        conntrack=_conntrack(net / "netfilter"),
        addresses=frozenset(
            entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries
        ),
        missing_routes=tuple(routing.diagnose(settings)),
        shortcuts=find_shortcuts(LIST_RULES),
    )


def find_shortcuts(command: Sequence[str]) -> tuple[str, ...]:
    """Return the rules with `socket transparent` that a command lists; none where it is not there or not permitted."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_LISTING_S)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if "socket transparent" in line)


def reserved_within(text: str, first: int, last: int) -> int:
    """Return how many ports from first to last are reserved. text: as `8080,9000-9010`."""
    count = 0
    for span in filter(None, text.strip().split(",")):
        low, _, high = span.partition("-")
        count += max(0, min(int(high or low), last) - max(int(low), first) + 1)
    return count


def _number(path: Path) -> int:
    return int(path.read_text())


def _limit(text: str) -> int:
    """Return the hard limit of open files; where there is none, more than any machine has."""
    found = re.search(r"^Max open files\s+\S+\s+(\d+|unlimited)", text, re.MULTILINE)
    return 1 << 62 if found is None or found[1] == "unlimited" else int(found[1])


def _available(path: Path) -> int:
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", path.read_text(), re.MULTILINE)
    return 0 if found is None else int(found[1]) * 1024


def strict_interfaces(folder: Path) -> tuple[str, ...]:
    """Return the interfaces that filter strictly: the larger of an interface's own setting and that of all counts."""
    values = {entry.name: _number(entry / "rp_filter") for entry in folder.iterdir()}
    everywhere = values.pop("all", 0)
    values.pop("default", None)
    values.pop("lo", None)
    return tuple(sorted(name for name, value in values.items() if max(value, everywhere) == 1))


def _conntrack(folder: Path) -> int | None:
    """Return the limit of connection tracking, None where it is not loaded or has nothing to do."""
    try:
        return _number(folder / "nf_conntrack_max") if _number(folder / "nf_conntrack_count") else None
    except FileNotFoundError:
        return None
