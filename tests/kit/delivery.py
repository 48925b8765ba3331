"""Foreign datagrams to the lab's proxy: the routes, rules and nftables files of udp-proxy-transparent(7), set up there.

`rule`: a routing rule alone. `mark`: an nftables mark and a rule. `tproxy`: nftables' TPROXY and a rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.kit.lab import BACK, FRONT, PROXY_HOST, Lab
from tests.kit.place import Namespace

NFTABLES = Path(__file__).parents[2] / "etc" / "nftables.d"
WAYS = ("rule", "mark", "tproxy")
MARK = 0x7570_0001
TABLE = 7570
VERSIONS = ("-4", "-6")


def lead_through(lab: Lab) -> None:
    """Have client and server send to each other by way of the proxy's machine, which itself forwards nothing."""
    for place, near, far in ((lab.client, FRONT, BACK), (lab.server, BACK, FRONT)):
        place.configure(
            [
                f"route replace {far.address4(0)}/24 via {near.address4(PROXY_HOST)}",
                f"route replace {far.address6(0)}/64 via {near.address6(PROXY_HOST)}",
            ]
        )
        # The lab's machines have no link-local addresses, by which alone IPv6 neighbours are asked for when what is
        # to be sent has a foreign source.
        lab.proxy.configure([f"addr replace fe80::1/64 dev {near.name} nodad"])


def deliver(lab: Lab, way: str, ports: Sequence[int]) -> None:
    """Deliver what clients send to these ports of anybody to the proxy's machine itself."""
    _add_local_table(lab.proxy)
    if way == "rule":
        rules = [f"rule add iif {FRONT.name} ipproto udp dport {port} lookup {TABLE}" for port in ports]
        _in_both(lab.proxy, rules)
        return
    _add_mark_rule(lab.proxy, FRONT.name)
    _load(lab.proxy, f"udp-proxy-{way}.nft", {"clients": f'"{FRONT.name}"', "ports": ", ".join(map(str, ports))})


def deliver_answers(lab: Lab) -> None:
    """Deliver servers' answers to clients to the proxy's machine, where a socket of it waits for them."""
    _add_local_table(lab.proxy)
    _add_mark_rule(lab.proxy, BACK.name)
    _load(lab.proxy, "udp-proxy-answers.nft", {"servers": f'"{BACK.name}"'})


def _add_local_table(place: Namespace) -> None:
    _in_both(place, [f"route replace local default dev lo table {TABLE}"])


def _add_mark_rule(place: Namespace, interface: str) -> None:
    """Send what is marked and has come in by an interface to the table of local routes, once."""
    for version in VERSIONS:
        listed = place.run(["ip", version, "rule", "list", "table", str(TABLE)]).stdout
        if f"fwmark {MARK:#x} iif {interface}" not in listed:
            rule = f"rule add iif {interface} fwmark {MARK:#x} lookup {TABLE}"
            place.run(["ip", version, *rule.split()])


def _in_both(place: Namespace, commands: Sequence[str]) -> None:
    for version in VERSIONS:
        for command in commands:
            place.run(["ip", version, *command.split()])


def _load(place: Namespace, file: str, sets: dict[str, str]) -> None:
    """Load a file with the members of its sets put in, as an administrator would write them."""
    text = (NFTABLES / file).read_text()
    for name, members in sets.items():
        text, count = re.subn(rf"^define {name} = {{.*?}}", f"define {name} = {{ {members} }}", text, flags=re.M)
        assert count == 1, f"{file} defines no {name}"
    place.run(["nft", "-f", "-"], text=text)
