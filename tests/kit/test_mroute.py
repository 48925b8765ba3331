"""The multicast router forwards from where it was told to, to where it was told to, and ages what it forwards."""

from __future__ import annotations

import socket
import struct
import sys

from tests.kit.machine import ROOT
from tests.kit.mroute import parse_routes
from tests.kit.place import Namespace
from tests.kit.requirement import requires_namespaces
from tests.kit.town import Plug, Town

GROUP = "230.4.4.1"
HOSTS = {
    "sender": {"eth0": Plug("here", "192.0.2.10/24")},
    "router": {"here": Plug("here", "192.0.2.1/24"), "there": Plug("there", "198.51.100.1/24")},
    "member": {"eth0": Plug("there", "198.51.100.20/24")},
}


def member(space: Namespace) -> socket.socket:
    sock = space.socket()
    index = space.call(lambda: socket.if_nametoindex("eth0"))
    sock.setsockopt(
        socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4s4si", socket.inet_aton(GROUP), bytes(4), index)
    )
    sock.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
    sock.bind((GROUP, 7000))
    sock.settimeout(20)
    return sock


@requires_namespaces
def test_multicast_crosses_the_router_one_hop_older() -> None:
    with Town(HOSTS, {"sender": "192.0.2.1"}) as town:
        router = town["router"].popen(
            [sys.executable, "-m", "tests.kit.mroute", "here:there"], {"PYTHONPATH": str(ROOT)}
        )
        router.wait_for("routes")
        with member(town["member"]) as listening, town["sender"].socket() as sending:
            sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 5)
            sending.sendto(b"hello", (GROUP, 7000))
            text, ancillary, _flags, source = listening.recvmsg(100, 100)
            assert (text, source[0]) == (b"hello", "192.0.2.10")
            assert [struct.unpack("=i", data)[0] for _level, kind, data in ancillary if kind == socket.IP_TTL] == [4]


def test_routes_are_read_from_words() -> None:
    assert parse_routes(["a:b,c", "b:a"]) == {"a": ["b", "c"], "b": ["a"]}
