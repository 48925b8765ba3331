"""scripts/lab: the laboratory of the tests (tests/kit/lab.py) by hand, from `up` to `down`.

LAB_NAME in the environment: a name of one's own, for a second one beside it.
"""

from __future__ import annotations

import os
import sys

from tests.kit import delivery
from tests.kit.lab import Host, Lab
from tests.kit.place import Namespace
from tests.kit.process import ProcessError
from tests.kit.requirement import CAP_NET_ADMIN, CAP_SYS_ADMIN, has_capabilities

NAME = os.environ.get("LAB_NAME", "pxd-hand")
HOSTS = ("client", "proxy", "server")

USAGE = """usage:
       scripts/lab up                                  make client, proxy and server, each with its addresses
       scripts/lab client|proxy|server COMMAND ...     run a command there
       scripts/lab deliver rule|mark|tproxy PORT ...   have the proxy's machine take what the client sends to anybody's
                                                       ports, for transparent listeners
       scripts/lab deliver answers                     and what servers answer to the client, for source-address client
       scripts/lab down                                stop all that runs there, delete everything
Needs root."""

HINT = """
For example, each in a terminal of its own:
    scripts/lab server iperf3 -s
    scripts/lab proxy .venv/bin/udp-proxy -f FILE
    scripts/lab client dig @10.77.1.1 www.example
Nothing but a proxy leads from the client to the server. Done: scripts/lab down"""


def up() -> int:
    """Make the three machines and leave them."""
    lab = Lab(NAME)
    lab.build()
    for name, host in lab.hosts.items():
        addresses = " ".join((*host.addresses4.values(), *host.addresses6.values()))
        print(f"{name:8}{addresses}")
    print(HINT)
    return 0


def down() -> int:
    """Delete whatever is there."""
    for name in (*HOSTS, "switch"):
        Namespace(f"{NAME}-{name}").close()
    return 0


def run(host: str, argv: list[str]) -> int:
    """Become a command inside. Returns only when that was not possible."""
    namespace = Namespace(f"{NAME}-{host}")
    if namespace.path.exists():
        command = namespace.argv(argv)
        os.execvp(command[0], command)
    return missing()


def deliver(what: str, ports: list[int]) -> int:
    """Set up one way of udp-proxy-transparent(7) in the laboratory that is there."""
    lab = Lab(NAME)
    lab.hosts = {name: Host(Namespace(f"{NAME}-{name}")) for name in HOSTS}
    if not lab.proxy.path.exists():
        return missing()
    delivery.lead_through(lab)
    if what == "answers":
        delivery.deliver_answers(lab)
    else:
        delivery.deliver(lab, what, ports)
    return 0


def missing() -> int:
    """Say that there is nothing to act in."""
    print("there is no laboratory: scripts/lab up", file=sys.stderr)
    return 1


def main(argv: list[str]) -> int:
    """Carry out one word of the command line."""
    match argv[1:]:
        case ["up"] | ["down"] | ["deliver", *_] if not has_capabilities(CAP_NET_ADMIN, CAP_SYS_ADMIN):
            print("network namespaces are root's", file=sys.stderr)
            return 1
        case ["up"]:
            return up()
        case ["down"]:
            return down()
        case ["deliver", "answers"]:
            return deliver("answers", [])
        case ["deliver", way, *ports] if way in delivery.WAYS and ports and all(port.isdigit() for port in ports):
            return deliver(way, list(map(int, ports)))
        case [host, *command] if host in HOSTS and command:
            return run(host, command)
    print(USAGE, file=sys.stderr)
    return 64


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except ProcessError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
