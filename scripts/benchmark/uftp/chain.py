"""The four hosts of a transfer, a network namespace each, with a veth pair between neighbours.

    server (10.99.1.1) ── lan1 ── above (.1.2, .2.2) ── lan2 ── below (.2.3, .3.3) ── lan3 ── client (10.99.3.11)

Nothing routes: what arrives at the client went through both proxies.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from ..errors import CannotMeasure

HOSTS = ("server", "above", "below", "client")
_LINKS = (
    ("server", "10.99.1.1", "above", "10.99.1.2"),
    ("above", "10.99.2.2", "below", "10.99.2.3"),
    ("below", "10.99.3.3", "client", "10.99.3.11"),
)
BELOW_ADDRESS = "10.99.2.3"


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotMeasure(f"ip {' '.join(words)}: {done.stderr.strip()} (network namespaces need root)")
    return done.stdout


class Chain:
    """The hosts, from with to the end of its block."""

    def __init__(self) -> None:
        self._name = f"bench-{os.getpid()}"
        self._made: list[str] = []

    def __enter__(self) -> Chain:
        try:
            for host in HOSTS:
                _ip("netns", "add", self._space(host))
                self._made.append(host)
                _ip("-n", self._space(host), "link", "set", "lo", "up")
            for number, link in enumerate(_LINKS, 1):
                self._connect(f"lan{number}", *link)
        except CannotMeasure:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Delete the namespaces, and the links with them."""
        while self._made:
            with contextlib.suppress(CannotMeasure):
                _ip("netns", "del", self._space(self._made.pop()))

    def inside(self, host: str, command: Sequence[str]) -> list[str]:
        """Return the command line that runs a command on a host; the process is the command's own."""
        return ["nsenter", f"--net=/run/netns/{self._space(host)}", "--", *command]

    def sent(self, host: str, interface: str) -> int:
        """Return how many datagrams have left through an interface; a train that is cut up later counts once."""
        told = json.loads(_ip("-n", self._space(host), "-s", "-j", "link", "show", "dev", interface))
        packets: int = told[0]["stats64"]["tx"]["packets"]
        return packets

    def _space(self, host: str) -> str:
        return f"{self._name}-{host}"

    def _connect(self, interface: str, left: str, left_address: str, right: str, right_address: str) -> None:
        ends = (self._space(left), self._space(right))
        _ip("link", "add", interface, "netns", ends[0], "type", "veth", "peer", "name", interface, "netns", ends[1])
        for space, address in zip(ends, (left_address, right_address), strict=True):
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", interface)
            _ip("-n", space, "link", "set", interface, "up")


def dropped(pid: int) -> int:
    """Return how many datagrams have found a receive buffer full on the host where this process runs."""
    text = Path(f"/proc/{pid}/net/snmp").read_text()
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Udp:"))
    return int(dict(zip(names, values, strict=True))["RcvbufErrors"])


def listens(pid: int, port: int) -> bool:
    """Tell whether somebody listens on a UDP port on the host where this process runs."""
    with contextlib.suppress(OSError):
        rows = Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]
        return any(row.split()[1].endswith(f":{port:04X}") for row in rows)
    return False
