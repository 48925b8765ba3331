"""Which worker gets a client from now on: reckoned where a program decides, asked of the kernel where its hash does."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from proxyd.daemon.demands import Choice
from proxyd.daemon.homes import Caller, Home, Homes
from proxyd.daemon.sockets import bind_listeners
from tests.kit.traffic import let_arrive
from tests.proxyd.daemon.estates import own_listener
from workers.contract.settings import Address, ListenerSettings
from workers.net.cbpf import socket_of
from workers.net.delivery import Delivery, cookie_of
from workers.net.interfaces import Assigned, Table
from workers.net.plain import from_python

TABLE = Table([Assigned(2, 4, bytes((10, 0, 0, 1)), 24, None)])
WILD = ListenerSettings(Address(4, 0), 5300)
NOBODY: dict[int, int] = {}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def homes(
    stack: ExitStack,
    listeners: Sequence[ListenerSettings],
    choice: Choice,
    workers: int = 3,
    cookies: dict[int, int] = NOBODY,
    anew: Sequence[int] = (0, 1),
) -> Homes:
    delivery = Delivery()
    stack.callback(delivery.close)
    return Homes(listeners, [choice] * len(listeners), workers, cookies, delivery, TABLE, anew)


def caller(listener: int, to: str, port: int = 999, worker: int = 2) -> Caller:
    return Caller(listener, from_python(4, ("10.9.9.9", port)), from_python(4, (to, 5300)), worker)


def home(found: Homes, one: Caller) -> Home:
    found.learn([one])
    return found.of(one)


def test_where_the_first_worker_hears_everything_or_is_alone_it_is_home(stack: ExitStack) -> None:
    assert home(homes(stack, [WILD], Choice.FIRST), caller(0, "10.0.0.1")) == Home(0, 0)
    assert home(homes(stack, [WILD], Choice.KERNEL, workers=1), caller(0, "10.0.0.1")) == Home(0, 0)


def test_where_a_program_decides_it_is_reckoned(stack: ExitStack) -> None:
    callers = [caller(0, "10.0.0.1", port) for port in range(1, 40)]
    found = homes(stack, [WILD], Choice.CLIENT)
    found.learn(callers)
    assert [found.of(one).worker for one in callers] == [socket_of(one.source, 3) for one in callers]
    assert {found.of(one).worker for one in callers} == {0, 1, 2}


@pytest.mark.parametrize("to", ["255.255.255.255", "10.0.0.255"])
@pytest.mark.parametrize("choice", [Choice.KERNEL, Choice.CLIENT])
def test_who_wrote_to_everybody_is_the_first_workers(stack: ExitStack, to: str, choice: Choice) -> None:
    assert home(homes(stack, [WILD], choice), caller(0, to)) == Home(0, 0)


def test_where_the_hash_decides_the_kernel_is_asked_and_strangers_are_nobody(stack: ExitStack) -> None:
    listener = own_listener()
    group = [stack.enter_context(one[0]) for one in bind_listeners([listener], 3)]
    to, port = group[0].getsockname()
    listener = ListenerSettings(listener.address, port)
    seen: dict[Caller, int] = {}
    for _ in range(20):
        client = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        client.sendto(b"x", (to, port))
        let_arrive()
        for worker, sock in enumerate(group):
            try:
                sock.recv(10)
            except BlockingIOError:
                continue
            source = from_python(4, ("127.0.0.1", client.getsockname()[1]))
            seen[Caller(0, source, from_python(4, (to, port)), 0)] = worker
    known = {cookie_of(sock): worker for worker, sock in enumerate(group)}
    found = homes(stack, [listener], Choice.KERNEL, cookies=known)
    found.learn(seen)
    assert [found.of(one).worker for one in seen] == list(seen.values())
    stranger = homes(stack, [listener], Choice.KERNEL)
    assert home(stranger, next(iter(seen))) == Home(0, None)


def test_where_the_kernel_does_not_answer_nobody_knows_and_the_rest_is_known(stack: ExitStack) -> None:
    delivery = Delivery()
    delivery.close()
    found = Homes([WILD], [Choice.KERNEL], 3, NOBODY, delivery, TABLE, (0,))
    found.learn([caller(0, "10.0.0.1"), caller(0, "10.0.0.255")])
    assert found.of(caller(0, "10.0.0.1")) == Home(0, None)
    assert found.of(caller(0, "10.0.0.255")) == Home(0, 0)


def test_an_address_beside_a_wildcard_hears_its_own_by_itself(stack: ExitStack) -> None:
    narrow = ListenerSettings(Address(4, 0x0A00_0001), 5300)
    found = homes(stack, [WILD, narrow], Choice.FIRST)
    assert home(found, caller(0, "10.0.0.1")) == Home(1, 0)
    assert home(found, caller(0, "10.0.0.2")) == Home(0, 0)
    through = ListenerSettings(Address(4, 0), 5300, transparent=True)
    assert home(homes(stack, [through, narrow], Choice.FIRST), caller(0, "10.0.0.1")) == Home(0, 0)


def test_where_nobody_is_spread_anew_only_who_is_heard_by_another_listener_moves(stack: ExitStack) -> None:
    narrow = ListenerSettings(Address(4, 0x0A00_0001), 5300)
    found = homes(stack, [WILD, narrow], Choice.FIRST, anew=())
    assert home(found, caller(0, "10.0.0.2")) == Home(0, 2)
    assert home(found, caller(0, "10.0.0.1")) == Home(1, 0)


def test_of_who_was_not_asked_about_nobody_knows_the_worker(stack: ExitStack) -> None:
    assert homes(stack, [WILD], Choice.KERNEL).of(caller(0, "10.0.0.1")) == Home(0, None)


def test_a_device_that_has_gone_is_no_reason_to_fail(stack: ExitStack) -> None:
    gone = ListenerSettings(Address(4, 0), 1, device="nosuch0")
    assert home(homes(stack, [gone], Choice.KERNEL), caller(0, "10.0.0.1")) == Home(0, None)
