"""Three machines on one: client, proxy and server in network namespaces of their own, on two networks.

    client ── front (10.77.1.0/24, fd77:1::/64) ── proxy ── back (10.77.2.0/24, fd77:2::/64) ── server

Each network is a bridge in a fourth namespace, so that more hosts can be attached. Nothing routes between the
networks: what arrives on the other side went through a proxy.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.kit.place import Namespace

PREFIX = "pxd"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Network:
    """One network of the lab: its name and its number, from which the addresses follow."""

    name: str
    number: int

    def address4(self, host: int) -> str:
        """Return the IPv4 address of a host by its number."""
        return f"10.77.{self.number}.{host}"

    def address6(self, host: int) -> str:
        """Return the IPv6 address of a host by its number."""
        return f"fd77:{self.number}::{host:x}"


FRONT = Network("front", 1)
BACK = Network("back", 2)
PROXY_HOST, PEER_HOST = 1, 2


@dataclass
class Host:
    """One machine of the lab: a namespace with one interface a network, each named after its network."""

    namespace: Namespace
    addresses4: dict[str, str] = field(default_factory=dict)
    addresses6: dict[str, str] = field(default_factory=dict)

    @property
    def address4(self) -> str:
        """The IPv4 address on the first network."""
        return next(iter(self.addresses4.values()))

    @property
    def address6(self) -> str:
        """The IPv6 address on the first network."""
        return next(iter(self.addresses6.values()))


class Lab:
    """The three machines, from entering the context to leaving it, whatever happens in between.

    client, proxy, server: the namespaces; hosts: the same with their addresses, by name.
    name: where several labs must not meet, each has its own; by default one that nobody else has.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name or f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
        self.hosts: dict[str, Host] = {}
        self._switch = Namespace(f"{self.name}-switch")
        self._cleanup = contextlib.ExitStack()

    @property
    def client(self) -> Namespace:
        """Where requests come from."""
        return self.hosts["client"].namespace

    @property
    def proxy(self) -> Namespace:
        """Where the proxy runs: on both networks."""
        return self.hosts["proxy"].namespace

    @property
    def server(self) -> Namespace:
        """Where requests go to."""
        return self.hosts["server"].namespace

    def build(self) -> None:
        """Make namespaces, networks and addresses; on failure nothing of them is left. Needs root."""
        with self._cleanup:
            self._make(self._switch)
            for network in (FRONT, BACK):
                self._switch.configure(
                    [
                        f"link add br-{network.name} type bridge mcast_snooping 0",
                        f"link set br-{network.name} addrgenmode none up",
                    ]
                )
            self.attach("client", FRONT, PEER_HOST)
            self.attach("proxy", FRONT, PROXY_HOST)
            self.attach("proxy", BACK, PROXY_HOST)
            self.attach("server", BACK, PEER_HOST)
            self._cleanup = self._cleanup.pop_all()

    def attach(self, name: str, network: Network, host_number: int) -> Host:
        """Put a host, made now if it is new, on a network as its address number host_number (1 to 254)."""
        if name not in self.hosts:
            namespace = Namespace(f"{self.name}-{name}")
            self._make(namespace)
            self.hosts[name] = Host(namespace)
        host = self.hosts[name]
        address4, address6 = network.address4(host_number), network.address6(host_number)
        plug = f"{network.name}-{host_number}"
        self._switch.configure(
            [
                f"link add {plug} type veth peer name {network.name} netns {host.namespace.name}",
                f"link set {plug} addrgenmode none master br-{network.name} up",
            ]
        )
        host.namespace.configure(
            [
                f"link set {network.name} addrgenmode none up",
                f"addr add {address4}/24 brd + dev {network.name}",
                f"addr add {address6}/64 dev {network.name} nodad",
            ]
        )
        host.addresses4[network.name] = address4
        host.addresses6[network.name] = address6
        return host

    def _make(self, namespace: Namespace) -> None:
        """Create a namespace, to be deleted with the lab even if making it stopped half-way."""
        self._cleanup.callback(namespace.close)
        namespace.make()

    def remove(self) -> None:
        """Stop every program of the lab and delete its namespaces."""
        self._cleanup.close()
        self.hosts.clear()

    def __enter__(self) -> Lab:
        sweep()
        self.build()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def sweep(folder: Path = Path("/run/netns")) -> list[str]:
    """Delete the namespaces of labs whose test run was killed before it could; return their names."""
    swept = []
    for path in folder.glob(f"{PREFIX}-*"):
        owner = re.match(rf"{PREFIX}-(\d+)-\d+-", path.name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            with contextlib.suppress(AssertionError):  # Another test run may be sweeping the same.
                Namespace(path.name).close()
            swept.append(path.name)
    return swept
