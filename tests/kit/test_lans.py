"""Stations on a LAN reach each other, by unicast and by multicast; those on another LAN do not."""

from __future__ import annotations

import socket

from tests.kit.lans import Lans
from tests.kit.readiness import is_readable
from tests.kit.requirement import requires_namespaces


@requires_namespaces
def test_a_lan_carries_unicast_and_multicast_and_ends_at_its_stations() -> None:
    with Lans({"one": {1: 1}, "both": {1: 2, 2: 2}, "other": {2: 3}}) as lans:
        near, far = lans["both"].socket(), lans["other"].socket()
        for sock, address in ((near, lans.address4("both", 1)), (far, lans.address4("other", 2))):
            sock.bind(("", 5000))
            member = socket.inet_aton("239.1.1.1") + socket.inet_aton(address)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        with lans["one"].socket() as sender:
            own = socket.inet_aton(lans.address4("one", 1))
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
            for to in (lans.address4("both", 1), "239.1.1.1"):
                sender.sendto(to.encode(), (to, 5000))
                assert near.recv(100) == to.encode()
        assert not is_readable(far)
        near.close()
        far.close()
