"""The hosts that each page of docs/ writes about, with its addresses, and what runs there before the page begins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.machine import ROOT
from tests.kit.peers import nsd
from tests.kit.town import Interfaces, Plug, Town

INSIDE, OUTSIDE = "192.0.2", "203.0.113"


@dataclass(frozen=True)
class Scene:
    """hosts: with their interfaces; gateways: default routes. furnished: hosts that have our programs at the beginning.

    prepare: starts what the page takes for granted; it is given an empty folder.
    """

    hosts: Mapping[str, Interfaces]
    gateways: Mapping[str, str] = field(default_factory=dict)
    furnished: frozenset[str] = frozenset()
    prepare: Callable[[Town, Path], None] = lambda _town, _folder: None


def _name_server(town: Town, folder: Path) -> None:
    folder.mkdir()
    nsd(town["nameserver"], folder, f"{OUTSIDE}.53", 53, {"www": "A 192.0.2.80"})


def _firewall(**more: Interfaces) -> dict[str, Interfaces]:
    """A firewall between a client and a name server."""
    return {
        "firewall": {"eth0": Plug("inside", f"{INSIDE}.1/24"), "eth1": Plug("outside", f"{OUTSIDE}.1/24")},
        "client": {"eth0": Plug("inside", f"{INSIDE}.7/24")},
        "nameserver": {"eth0": Plug("outside", f"{OUTSIDE}.53/24")},
        **more,
    }


def _station(network: str, prefix: str, host: int, bits: int = 24) -> Interfaces:
    return {"eth0": Plug(network, f"{prefix}.{host}/{bits}")}


def _router(forward: Mapping[str, tuple[str, ...]]) -> Callable[[Town, Path], None]:
    """Routers by their names, each with FROM:TO,TO words for multicast; unicast goes everywhere."""

    def prepare(town: Town, _folder: Path) -> None:
        for router, words in forward.items():
            town[router].run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
            if words:
                command = [sys.executable, "-m", "tests.kit.mroute", *words]
                town[router].popen(command, {"PYTHONPATH": str(ROOT)}).wait_for("routes")

    return prepare


B, C = "198.51.100", "203.0.113"
_A_B_C = {"a": Plug("a", f"{INSIDE}.1/24"), "b": Plug("b", f"{B}.1/24"), "c": Plug("c", f"{C}.1/24")}
_CLIENTS = {
    "client-b1": _station("b", B, 21),
    "client-b2": _station("b", B, 22),
    "client-c1": _station("c", C, 31),
    "client-c2": _station("c", C, 32),
}


def _gateways(hosts: Mapping[str, Interfaces]) -> dict[str, str]:
    """Return the first address of each host's network as its default route."""
    first = {host: plugs["eth0"].address.partition("/")[0] for host, plugs in hosts.items() if "eth0" in plugs}
    return {host: f"{address.rpartition('.')[0]}.1" for host, address in first.items()}


def _figure_1() -> Scene:
    hosts = {
        "server": _station("a", INSIDE, 10),
        "client-a": _station("a", INSIDE, 20),
        "sproxy-b": _station("a", INSIDE, 11),
        "sproxy-c": _station("a", INSIDE, 12),
        "cproxy-b": _station("b", B, 3),
        "cproxy-c": _station("c", C, 3),
        **_CLIENTS,
    }
    proxies = frozenset({"sproxy-b", "sproxy-c", "cproxy-b", "cproxy-c"})
    return Scene({**hosts, "router": _A_B_C}, _gateways(hosts), proxies, _router({"router": ()}))


def _figure_2() -> Scene:
    hosts = {
        "server": _station("a", INSIDE, 10),
        "rproxy-1": _station("a", INSIDE, 11),
        "rproxy-2": _station("a", INSIDE, 12),
        "client-1": _station("a", INSIDE, 21),
        "client-2": _station("a", INSIDE, 22),
    }
    return Scene(hosts, furnished=frozenset({"rproxy-1", "rproxy-2"}))


def _figure_3() -> Scene:
    hosts = {
        "server": _station("a", INSIDE, 10),
        "rproxy-b": _station("a", INSIDE, 11),
        "rproxy-c": _station("a", INSIDE, 12),
        **_CLIENTS,
    }
    routers = _router({"router": ("a:b,c",)})
    return Scene({**hosts, "router": _A_B_C}, _gateways(hosts), frozenset({"rproxy-b", "rproxy-c"}), routers)


def _figure_4() -> Scene:
    hosts = {
        "server": _station("a", INSIDE, 10),
        "rproxy-b": _station("b1", B, 11, 25),
        "rproxy-c": _station("c1", C, 11, 25),
        "client-b1": _station("b2", B, 141, 25),
        "client-b2": _station("b2", B, 142, 25),
        "client-c1": _station("c2", C, 141, 25),
        "client-c2": _station("c2", C, 142, 25),
    }
    routers = {
        "core": {"a": Plug("a", f"{INSIDE}.1/24"), "b1": Plug("b1", f"{B}.1/25"), "c1": Plug("c1", f"{C}.1/25")},
        "edge-b": {"b1": Plug("b1", f"{B}.2/25"), "b2": Plug("b2", f"{B}.129/25")},
        "edge-c": {"c1": Plug("c1", f"{C}.2/25"), "c2": Plug("c2", f"{C}.129/25")},
    }
    forward = _router({"core": ("a:b1,c1",), "edge-b": ("b1:b2",), "edge-c": ("c1:c2",)})

    def prepare(town: Town, folder: Path) -> None:
        town["core"].configure([f"route add {B}.128/25 via {B}.2", f"route add {C}.128/25 via {C}.2"])
        forward(town, folder)

    gateways = {host: f"{B}.129" if host in {"client-b1", "client-b2"} else f"{C}.129" for host in _CLIENTS}
    gateways |= {"server": f"{INSIDE}.1", "rproxy-b": f"{B}.1", "rproxy-c": f"{C}.1"}
    gateways |= {"edge-b": f"{B}.1", "edge-c": f"{C}.1"}
    return Scene({**hosts, **routers}, gateways, frozenset({"rproxy-b", "rproxy-c"}), prepare)


def _getting_started() -> Scene:
    firewall = _firewall(
        branch={"eth0": Plug("outside", f"{OUTSIDE}.3/24"), "eth1": Plug("branch", f"{B}.3/24")},
        receiver={"eth0": Plug("branch", f"{B}.21/24")},
    )

    return Scene(firewall, {"client": f"{INSIDE}.1"}, frozenset({"branch"}), _name_server)


def _readme() -> Scene:
    hosts = {
        **_firewall(),
        "sproxy": _station("a", INSIDE, 2),
        "sender": _station("a", INSIDE, 10),
        "cproxy": _station("b", B, 3),
        "receiver": _station("b", B, 21),
        "router": {"a": Plug("a", f"{INSIDE}.1/24"), "b": Plug("b", f"{B}.1/24")},
    }
    gateways = {"sproxy": f"{INSIDE}.1", "cproxy": f"{B}.1"}
    return Scene(hosts, gateways, frozenset({"firewall", "sproxy", "cproxy"}), _router({"router": ()}))


_WITH_FIREWALL = frozenset({"firewall"})
_NAMES = Scene(_firewall(), {"client": f"{INSIDE}.1"}, _WITH_FIREWALL, _name_server)
SCENES: dict[str, Scene] = {
    "README.md": _readme(),
    "getting-started.md": _getting_started(),
    "transparent-proxying.md": _NAMES,
    "tuning-max-sessions.md": _NAMES,
    "production.md": _NAMES,
    "monitoring.md": _NAMES,
    "uftp-topologies.md Figure 1": _figure_1(),
    "uftp-topologies.md Figure 2": _figure_2(),
    "uftp-topologies.md Figure 3": _figure_3(),
    "uftp-topologies.md Figure 4": _figure_4(),
}
"""By page, or by page and the part of it that begins with such a heading."""
