"""Whom a client has written to, as the requirements' own example has it: 10.1.1.1 and 192.168.1.1 are the proxy's."""

from __future__ import annotations

import socket

import pytest

from tests.kit.traffic import address
from workers.net.interfaces import Assigned, Table
from workers.session.reach import Reach, can_answer, reach_of
from workers.wire import sockaddr

FRONT, BACK = 2, 3
TABLE = Table(
    Assigned(index, 4, socket.inet_aton(f"{network}.1"), 24, socket.inet_aton(f"{network}.255"))
    for index, network in ((FRONT, "10.1.1"), (BACK, "192.168.1"))
)
TABLE6 = Table([Assigned(FRONT, 6, socket.inet_pton(socket.AF_INET6, "fd00::1"), 64, None)])


@pytest.mark.parametrize(
    ("destination", "interface", "reach"),
    [
        ("10.1.1.1", FRONT, Reach.OWN),
        ("192.168.1.1", FRONT, Reach.OWN),
        ("127.0.0.1", 1, Reach.OWN),
        ("192.168.1.20", FRONT, Reach.FOREIGN),
        ("255.255.255.255", FRONT, Reach.NEAR),
        ("10.1.1.255", FRONT, Reach.NEAR),
        ("192.168.1.255", FRONT, Reach.FAR),
        ("192.168.1.255", BACK, Reach.NEAR),
        ("10.1.1.255", BACK, Reach.FAR),
        ("10.2.2.255", FRONT, Reach.FOREIGN),
        ("239.1.1.1", FRONT, Reach.GROUP),
        ("240.0.0.1", FRONT, Reach.GROUP),
        ("0.0.0.0", FRONT, Reach.GROUP),
    ],
)
def test_what_a_destination_is_depends_on_the_way_it_came_k57_k58_k93(
    destination: str, interface: int, reach: Reach
) -> None:
    assert reach_of(TABLE, interface, socket.inet_aton(destination)) is reach


@pytest.mark.parametrize(
    ("destination", "reach"),
    [("fd00::1", Reach.OWN), ("fd00::2", Reach.FOREIGN), ("2001:db8::1", Reach.FOREIGN), ("ff02::1", Reach.GROUP)],
)
def test_ipv6_has_no_broadcasts(destination: str, reach: Reach) -> None:
    assert reach_of(TABLE6, FRONT, socket.inet_pton(socket.AF_INET6, destination)) is reach


def test_what_is_for_others_is_transparent_k58_k93() -> None:
    assert {reach for reach in Reach if reach.transparent} == {Reach.FOREIGN, Reach.FAR}
    assert {reach for reach in Reach if reach.broadcast} == {Reach.NEAR, Reach.FAR}


@pytest.mark.parametrize(
    ("source", "possible"),
    [
        ("10.1.1.1", True),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("fd00::1", True),
        ("fe80::1", True),
        ("::1", True),
        ("::", False),
        ("::ffff:10.1.1.1", False),
    ],
)
def test_what_is_no_hosts_address_can_answer_nothing(source: str, possible: bool) -> None:
    assert can_answer(sockaddr.encode(address(source), 53)) is possible
