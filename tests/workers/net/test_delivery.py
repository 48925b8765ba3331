"""The kernel says which socket a datagram would come to: asked, and seen by sending one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.kit.traffic import let_arrive
from workers.net import cbpf
from workers.net.delivery import BATCH, Delivery, Flow, cookie_of
from workers.net.plain import from_python

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
ANY = {4: "0.0.0.0", 6: "::"}
CLIENTS = 40


class Place:
    """A reuseport group, and clients that write to it."""

    def __init__(self, stack: ExitStack, version: int, host: str, count: int) -> None:
        self.version = version
        self.stack = stack
        self.group: list[socket.socket] = []
        for _ in range(count):
            sock = self._open()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((host, self.port))
            self.group.append(sock)
        self.to = (LOOPBACK[version], self.port)

    @property
    def port(self) -> int:
        return int(self.group[0].getsockname()[1]) if self.group else 0

    def _open(self) -> socket.socket:
        sock = self.stack.enter_context(socket.socket(FAMILIES[self.version], socket.SOCK_DGRAM))
        sock.setblocking(False)
        return sock

    def flow(self, port: int) -> Flow:
        to = from_python(self.version, (*self.to, 0, 0) if self.version == 6 else self.to)
        return Flow(from_python(self.version, (LOOPBACK[self.version], port, 0, 0)), to)

    def send(self) -> tuple[Flow, int]:
        """Send from a port of its own; return the flow, and the number of the socket that has got it."""
        client = self._open()
        client.sendto(b"x", self.to)
        let_arrive()
        for number, sock in enumerate(self.group):
            try:
                sock.recv(10)
            except BlockingIOError:
                continue
            return self.flow(client.getsockname()[1]), number
        raise AssertionError("nobody has got it")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def delivery(stack: ExitStack) -> Delivery:
    delivery = Delivery()
    stack.callback(delivery.close)
    return delivery


@pytest.mark.parametrize("hosts", [LOOPBACK, ANY], ids=["address", "wildcard"])
@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_names_the_socket_that_its_hash_chooses(
    stack: ExitStack, delivery: Delivery, version: int, hosts: dict[int, str]
) -> None:
    place = Place(stack, version, hosts[version], 3)
    seen = [place.send() for _ in range(CLIENTS)]
    numbers = {cookie_of(sock): number for number, sock in enumerate(place.group)}
    found = delivery.takers([flow for flow, _ in seen])
    assert [numbers[cookie or 0] for cookie in found] == [number for _, number in seen]
    assert len(set(found)) > 1


@pytest.mark.parametrize("version", [4, 6])
def test_a_program_is_reckoned_after_and_can_be_taken_away_again(
    stack: ExitStack, delivery: Delivery, version: int
) -> None:
    place = Place(stack, version, LOOPBACK[version], 3)
    cbpf.attach_steering(place.group[0], cbpf.by_client(version, 3))
    seen = [place.send() for _ in range(CLIENTS)]
    assert [cbpf.socket_of(flow.source, 3) for flow, _ in seen] == [number for _, number in seen]
    cookies = [cookie_of(sock) for sock in place.group]
    asked = [cookies.index(cookie or 0) for cookie in delivery.takers([flow for flow, _ in seen])]
    assert asked != [number for _, number in seen], "the program is not asked"
    for _ in range(2):
        cbpf.detach_steering(place.group[1])
        flow, number = place.send()
        assert delivery.takers([flow]) == [cookies[number]]


def test_more_questions_than_fit_one_call_are_answered_in_their_order(stack: ExitStack, delivery: Delivery) -> None:
    place = Place(stack, 4, LOOPBACK[4], 2)
    flows = [place.flow(port) for port in range(1, 3 * BATCH)]
    together = delivery.takers(flows)
    assert together == [delivery.takers([flow])[0] for flow in flows]
    assert set(together) == {cookie_of(sock) for sock in place.group}


def test_a_place_where_nobody_listens_has_no_taker(stack: ExitStack, delivery: Delivery) -> None:
    place = Place(stack, 4, LOOPBACK[4], 1)
    flow = place.flow(9)
    here = cookie_of(place.group[0])
    place.group[0].close()
    found = delivery.takers([flow, flow])
    assert here not in found
    assert delivery.takers([]) == []


def test_the_more_particular_address_is_the_takers(stack: ExitStack, delivery: Delivery) -> None:
    place = Place(stack, 4, ANY[4], 1)
    other = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    other.bind((LOOPBACK[4], place.port))
    assert delivery.takers([place.flow(9)]) == [cookie_of(other)]
