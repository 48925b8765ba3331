from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.kit.lab import BACK, FRONT, Lab, sweep
from tests.kit.place import Namespace
from tests.kit.process import ProcessError
from tests.kit.requirement import requires_namespaces

WAIT_S = 5.0


def exchange(sender: Namespace, receiver: Namespace, address: str) -> tuple[bytes, str]:
    """Send one datagram to an address of the receiver; return the payload that arrived and its source address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with sender.socket(family) as out, receiver.socket(family) as into:
        into.bind((address, 4000))
        into.settimeout(WAIT_S)
        out.sendto(b"hello", (address, 4000))
        payload, source = into.recvfrom(100)
        return payload, str(source[0])


@requires_namespaces
def test_neighbours_reach_each_other_at_once_over_both_versions(lab: Lab) -> None:
    front, back = lab.hosts["proxy"].addresses4["front"], lab.hosts["server"].addresses4["back"]
    assert exchange(lab.client, lab.proxy, front) == (b"hello", "10.77.1.2")
    assert exchange(lab.proxy, lab.server, back) == (b"hello", "10.77.2.1")
    assert exchange(lab.client, lab.proxy, lab.hosts["proxy"].addresses6["front"]) == (b"hello", "fd77:1::2")
    assert exchange(lab.proxy, lab.server, lab.hosts["server"].address6) == (b"hello", "fd77:2::1")


@requires_namespaces
def test_client_and_server_have_no_way_past_the_proxy(lab: Lab) -> None:
    with lab.client.socket() as out, pytest.raises(OSError, match="unreachable"):
        out.sendto(b"x", (lab.hosts["server"].address4, 4000))


@requires_namespaces
def test_another_client_joins_the_network(lab: Lab) -> None:
    second = lab.attach("client2", FRONT, 3)
    assert exchange(second.namespace, lab.proxy, lab.hosts["proxy"].address4) == (b"hello", FRONT.address4(3))


@requires_namespaces
def test_two_labs_side_by_side_do_not_meet(lab: Lab) -> None:
    with Lab() as other:
        assert exchange(other.client, other.proxy, FRONT.address4(1)) == (b"hello", "10.77.1.2")
        assert not {place.namespace.name for place in lab.hosts.values()} & {
            place.namespace.name for place in other.hosts.values()
        }


@requires_namespaces
def test_nothing_is_left_after_an_error_inside() -> None:
    lab = Lab()

    def use() -> None:
        with lab:
            lab.server.popen(["sleep", "600"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert not list(Path("/run/netns").glob(f"{lab.name}-*"))


@requires_namespaces
def test_nothing_is_left_when_building_fails_half_way() -> None:
    name = f"pxd-{os.getpid()}-0"
    in_the_way = Namespace(f"{name}-proxy")
    in_the_way.make()
    try:
        with pytest.raises(ProcessError, match="exists"):
            Lab(name).build()
        left = {path.name for path in Path("/run/netns").glob(f"{name}-*")}
    finally:
        if in_the_way.path.exists():
            in_the_way.close()
    assert left <= {in_the_way.name}


@requires_namespaces
def test_labs_of_dead_test_runs_are_swept_and_living_ones_are_not(lab: Lab) -> None:
    dead = Namespace("pxd-4194999-1-client")  # Above the largest process id there can be (2**22).
    dead.make()
    assert dead.name in sweep()
    assert not dead.path.exists()
    assert lab.client.path.exists()


def test_addresses_follow_from_network_and_host() -> None:
    assert BACK.address4(2) == "10.77.2.2"
    assert BACK.address6(17) == "fd77:2::11"
