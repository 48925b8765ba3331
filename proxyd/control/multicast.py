"""Which multicast groups a process's network namespace has joined, and on which interfaces it could. Changes nothing.

Source: proc_pid_net(5), /proc/PID/net/igmp and igmp6; the kernel's net/ipv4/igmp.c, whose addresses are words of
network order printed as the machine's own; netdevice(7), flags.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import msgspec
import psutil

from proxyd.control.doctor import Finding
from proxyd.control.facts import strict_interfaces

PROC = Path("/proc")
_KERNELS = frozenset(
    ("224.0.0.1", "ff01::1", "ff02::1", "ff01::2", "ff02::2", "ff05::2", "224.0.0.2", "224.0.0.106", "ff02::6a")
)
_SOLICITED_NODE = "ff02::1:ff"
"""What the kernel itself joins: all hosts, all routers where it forwards, all snoopers where it bridges, and the group
that neighbours ask for each IPv6 address. Source: RFC 4291, 2.7.1; RFC 4286.
"""


class Multicast(msgspec.Struct, frozen=True):
    """A namespace. joined: (interface, group) pairs; able: the interfaces that are up and carry multicast, lo aside.

    receive_bytes: the largest receive buffer without privileges.
    strict: the interfaces that drop what does not come in by the way it would go out (rp_filter 1).
    """

    joined: tuple[tuple[str, str], ...]
    able: tuple[str, ...]
    receive_bytes: int
    strict: tuple[str, ...]


def read_multicast(process: int, proc: Path = PROC) -> Multicast:
    """Read the namespace of a process; of interfaces and limits our own, which is the same where both are in it."""
    net = proc / str(process) / "net"
    joined = parse_igmp((net / "igmp").read_text())
    if (net / "igmp6").exists():
        joined += parse_igmp6((net / "igmp6").read_text())
    flags = {name: stats.flags.split(",") for name, stats in sorted(psutil.net_if_stats().items())}
    return Multicast(
        joined=tuple(pair for pair in joined if not _is_kernels(pair[1])),
        able=tuple(name for name, words in flags.items() if {"up", "multicast"} <= set(words) and name != "lo"),
        receive_bytes=int((proc / "sys/net/core/rmem_max").read_text()),
        strict=strict_interfaces(proc / "sys/net/ipv4/conf"),
    )


def _is_kernels(group: str) -> bool:
    return group in _KERNELS or group.startswith(_SOLICITED_NODE)


def parse_igmp(text: str) -> list[tuple[str, str]]:
    """Return the (interface, group) pairs of /proc/net/igmp."""
    found, interface = [], ""
    for line in text.splitlines()[1:]:
        words = line.split()
        if words and not line.startswith("\t\t"):
            interface = words[1].rstrip(":")
        elif words:
            raw = int(words[0], 16).to_bytes(4, sys.byteorder)
            found.append((interface, socket.inet_ntop(socket.AF_INET, raw)))
    return found


def parse_igmp6(text: str) -> list[tuple[str, str]]:
    """Return the (interface, group) pairs of /proc/net/igmp6."""
    rows = (line.split() for line in text.splitlines() if line.strip())
    return [(words[1], socket.inet_ntop(socket.AF_INET6, bytes.fromhex(words[2]))) for words in rows]


def examine(facts: Multicast, wanted_bytes: int, *, joins: bool = True) -> list[Finding]:
    """Return what was found, for a proxy whose socket wants so large a receive buffer. joins: groups, as all but client
    proxies do.
    """
    found = []
    groups = ", ".join(f"{group} on {interface}" for interface, group in facts.joined[:8])
    if facts.joined:
        more = len(facts.joined) - 8
        rest = f" and {more} more" if more > 0 else ""
        found.append(Finding("ok", "multicast membership", f"joined: {groups}{rest}"))
    elif not joins:
        found.append(
            Finding("ok", "multicast membership", "none is needed: a client proxy hears server proxies by unicast")
        )
    else:
        text = "no group is joined on this machine: announcements reach a proxy by unicast only"
        found.append(Finding("warning", "multicast membership", text, "uftpproxyd -M with the servers' public group"))
    if facts.able:
        found.append(Finding("ok", "interfaces", f"multicast goes in and out by {', '.join(facts.able)}"))
    else:
        text = "no interface but lo is up and carries multicast"
        found.append(Finding("error", "interfaces", text, "ip link set dev INTERFACE up multicast on"))
    for name in facts.strict:
        text = f"{name} drops multicast of servers to which it has no route (rp_filter 1)"
        found.append(Finding("warning", "reverse path", text, f"sysctl -w net.ipv4.conf.{name}.rp_filter=2"))
    if facts.receive_bytes >= wanted_bytes:
        found.append(Finding("ok", "receive buffers", f"the socket gets the {wanted_bytes} bytes it wants"))
    else:
        text = f"the socket wants {wanted_bytes} bytes to hold bursts, and may get {facts.receive_bytes}"
        found.append(Finding("warning", "receive buffers", text, f"sysctl -w net.core.rmem_max={wanted_bytes}"))
    return found
