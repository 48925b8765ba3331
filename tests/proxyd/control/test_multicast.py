"""Multicast memberships of a namespace, and what they mean for a proxy."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from pathlib import Path

import pytest

from proxyd.control.multicast import Multicast, examine, parse_igmp, parse_igmp6, read_multicast
from tests.kit.requirement import requires_namespaces
from tests.kit.traffic import network_of_its_own

IGMP = """Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
4\teth0      :     2      V3
\t\t\t\t010404E6     1 0:00000000\t\t0
\t\t\t\t010000E0     1 0:00000000\t\t0
"""
IGMP6 = """1    lo              ff020000000000000000000000000001     1 0000000C 0
4    eth0            ff1e0000000000000000000000000004     1 00000004 0
4    eth0            ff0200000000000000000001ff3a04a1     1 00000004 0
4    eth0            ff020000000000000000000000000002     1 00000004 0
"""
FIT = Multicast((("eth0", "230.4.4.1"),), ("eth0",), 1 << 20, ())


def subjects(facts: Multicast) -> dict[str, tuple[str, str | None]]:
    return {finding.subject: (finding.verdict, finding.remedy) for finding in examine(facts, 1 << 20)}


def test_memberships_are_read_with_their_interfaces() -> None:
    assert parse_igmp(IGMP) == [("lo", "224.0.0.1"), ("eth0", "230.4.4.1"), ("eth0", "224.0.0.1")]
    assert parse_igmp6(IGMP6)[:2] == [("lo", "ff02::1"), ("eth0", "ff1e::4")]


def test_a_namespace_is_read_without_what_the_kernel_joins_by_itself(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    for path, text in (
        ("7/net/igmp", IGMP),
        ("7/net/igmp6", IGMP6),
        ("sys/net/core/rmem_max", "4711\n"),
        ("sys/net/ipv4/conf/all/rp_filter", "0\n"),
        ("sys/net/ipv4/conf/eth0/rp_filter", "1\n"),
    ):
        (proc / path).parent.mkdir(parents=True, exist_ok=True)
        (proc / path).write_text(text)
    found = read_multicast(7, proc)
    assert (found.joined, found.receive_bytes) == ((("eth0", "230.4.4.1"), ("eth0", "ff1e::4")), 4711)
    assert found.strict == ("eth0",)


@requires_namespaces
def test_interfaces_are_those_that_are_up_and_carry_multicast() -> None:
    code = (
        "import json, os; from proxyd.control.multicast import read_multicast as read; "
        "print(json.dumps(read(os.getpid()).able))"
    )
    ways = ("link add mc0 type veth peer name mc1", "link add mc2 type veth peer name mc3")
    with network_of_its_own(*ways, "link set mc0 up multicast on", "link set mc1 up multicast off") as place:
        assert json.loads(place.run([sys.executable, "-c", code]).stdout) == ["mc0"]


def test_a_group_that_is_joined_here_is_found() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("=4s4s", socket.inet_aton("239.77.66.55"), socket.inet_aton("127.0.0.1"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        assert ("lo", "239.77.66.55") in read_multicast(os.getpid()).joined


def test_a_fit_machine_has_nothing_to_mend() -> None:
    assert {verdict for verdict, _ in subjects(FIT).values()} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "subject", "verdict", "remedy"),
    [
        ((0, ()), "multicast membership", "warning", "uftpproxyd -M"),
        ((1, ()), "interfaces", "error", "ip link set dev"),
        ((2, 1000), "receive buffers", "warning", "sysctl -w net.core.rmem_max=1048576"),
        ((3, ("eth0",)), "reverse path", "warning", "sysctl -w net.ipv4.conf.eth0.rp_filter=2"),
    ],
)
def test_what_is_missing_is_told_with_what_mends_it(
    changes: tuple[int, object], subject: str, verdict: str, remedy: str
) -> None:
    names = Multicast.__struct_fields__
    values = {name: getattr(FIT, name) for name in names} | {names[changes[0]]: changes[1]}
    found = subjects(Multicast(**values))
    assert found[subject][0] == verdict
    assert (found[subject][1] or "").startswith(remedy)


def test_a_client_proxy_needs_no_group() -> None:
    found = examine(Multicast((), ("eth0",), 1 << 20, ()), 1 << 20, joins=False)
    assert {finding.verdict for finding in found} == {"ok"}


def test_many_groups_are_not_all_named() -> None:
    many = Multicast(tuple(("eth0", f"230.4.4.{number}") for number in range(20)), ("eth0",), 1 << 20, ())
    (finding,) = (finding for finding in examine(many, 1) if finding.subject == "multicast membership")
    assert finding.text.endswith("230.4.4.7 on eth0 and 12 more")
