from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests.kit.ports import free_port

ROOT = Path(__file__).parents[2]


def test_no_port_is_handed_out_twice() -> None:
    ports = [free_port() for _ in range(5)]
    assert len(set(ports)) == 5


def test_a_range_is_free_from_end_to_end() -> None:
    first = free_port(4)
    for port in range(first, first + 4):
        for family in (socket.AF_INET, socket.AF_INET6):
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind(("", port))


def test_a_reserved_or_bound_port_is_passed_over_by_everybody() -> None:
    reserved = free_port()
    bound = free_port()
    code = (
        "import itertools\nfrom tests.kit import ports\n"
        f"ports.FIRST, ports.LAST = {min(reserved, bound)}, {max(reserved, bound) + 20}\n"
        "ports._candidates = itertools.count()\n"
        "print(*[ports.free_port() for _ in range(3)])\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", bound))
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    got = {int(word) for word in done.stdout.split()}
    assert len(got) == 3
    assert not got & {reserved, bound}
