"""A listener's sockets while their number changes: what is sent meanwhile is in one of them, and their order stays."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from proxyd.daemon.demands import Choice, Wishes
from proxyd.daemon.membership import Group
from proxyd.daemon.sockets import bind_listeners, open_more
from tests.kit.traffic import let_arrive
from tests.proxyd.daemon.estates import own_listener
from workers.net.cbpf import socket_of
from workers.net.delivery import Delivery, Flow, cookie_of
from workers.net.plain import from_python

CLIENTS = 30


class Town:
    """A group, and clients that write to it."""

    def __init__(self, stack: ExitStack, count: int, choice: Choice) -> None:
        self.stack = stack
        self.wishes = Wishes(direct=choice)
        listener = own_listener()
        self.group = Group(listener, choice, [one[0] for one in bind_listeners([listener], count, self.wishes)])
        stack.callback(self.group.dismiss, 0)
        self.to = self.group.sockets[0].getsockname()
        self.clients = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(CLIENTS)]

    def send(self) -> None:
        """Let each client send one datagram."""
        for client in self.clients:
            client.sendto(b"x", self.to)
        let_arrive()

    def heard(self) -> list[int]:
        """Return how many datagrams waited in each socket."""
        return [len(ports) for ports in self.ports()]

    def ports(self) -> list[set[int]]:
        """Return from which ports datagrams waited in each socket."""
        found: list[set[int]] = []
        for sock in self.group.sockets:
            found.append(set())
            with suppress(BlockingIOError):
                while True:
                    found[-1].add(sock.recvfrom(10)[1][1])
        return found

    def change(self, count: int) -> None:
        """Let there be so many sockets, and clients send all the time; what the first one had before is read."""
        group = self.group
        more = open_more(group.listener, max(count - len(group.sockets), 0), self.wishes)
        group.hold()
        self.send()
        heard = self.heard()
        assert sum(heard) == heard[0] == CLIENTS
        group.admit(more)
        self.send()
        assert self.heard() == [CLIENTS] + [0] * (len(group.sockets) - 1)
        group.dismiss(count)
        self.send()
        assert self.heard() == [CLIENTS] + [0] * (count - 1)
        group.release()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(("before", "count"), [(1, 3), (4, 2), (3, 1)])
def test_while_sockets_come_and_go_the_first_one_has_everything_and_then_the_hash_decides(
    stack: ExitStack, before: int, count: int
) -> None:
    town = Town(stack, before, Choice.KERNEL)
    kept = town.group.sockets[: min(before, count)]
    town.change(count)
    assert town.group.sockets[: len(kept)] == kept
    assert len(town.group.sockets) == count
    cookies = [cookie_of(sock) for sock in town.group.sockets]
    town.send()
    found = town.ports()
    delivery = Delivery()
    stack.callback(delivery.close)
    for worker, ports in enumerate(found):
        flows = [Flow(_raw("127.0.0.1", port), _raw(*town.to)) for port in ports]
        assert set(delivery.takers(flows)) <= {cookies[worker]}
    assert sum(map(bool, found)) > min(count, 2) - 1


@pytest.mark.parametrize(("before", "count"), [(2, 3), (3, 2), (1, 2), (2, 1)])
def test_a_program_chooses_by_the_client_among_those_that_there_are(stack: ExitStack, before: int, count: int) -> None:
    town = Town(stack, before, Choice.CLIENT)
    town.change(count)
    town.send()
    for worker, ports in enumerate(town.ports()):
        assert {socket_of(_raw("127.0.0.1", port), count) for port in ports} <= {worker}


def test_where_the_first_one_hears_everything_the_others_are_bound_to_nothing(stack: ExitStack) -> None:
    town = Town(stack, 2, Choice.FIRST)
    town.change(3)
    town.send()
    assert town.heard() == [CLIENTS, 0, 0]
    assert [sock.getsockname()[1] > 0 for sock in town.group.sockets] == [True, False, False]
    town.change(1)
    town.send()
    assert town.heard() == [CLIENTS]


def test_where_the_first_one_is_to_hear_everything_the_others_go_and_deaf_ones_take_their_places(
    stack: ExitStack,
) -> None:
    town = Town(stack, 3, Choice.KERNEL)
    group = town.group
    first, *others = group.sockets
    group.choice = Choice.FIRST
    town.send()
    group.hold()
    group.admit(open_more(group.listener, 1, Wishes(direct=Choice.FIRST)))
    assert sum(town.heard()) == CLIENTS
    group.dismiss(2)
    group.release()
    assert [sock.fileno() for sock in others] == [-1, -1]
    assert group.sockets[0] is first
    town.send()
    assert town.heard() == [CLIENTS, 0]


def test_where_the_others_are_to_hear_something_again_they_join(stack: ExitStack) -> None:
    town = Town(stack, 3, Choice.FIRST)
    group = town.group
    group.choice = Choice.KERNEL
    group.hold()
    group.admit([])
    town.send()
    assert town.heard() == [CLIENTS, 0, 0]
    group.dismiss(3)
    group.release()
    town.send()
    assert sum(map(bool, town.heard())) > 1


def test_a_socket_that_cannot_be_bound_leaves_those_before_it_in_the_group(stack: ExitStack) -> None:
    town = Town(stack, 1, Choice.KERNEL)
    more = open_more(town.group.listener, 2, town.wishes)
    more[1].close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        town.group.admit(more)
    assert town.group.sockets[1:] == more[:1]


def _raw(host: str, port: int) -> bytes:
    return from_python(4, (host, port))
