"""The fast path does what its plain twin does: whatever comes, whatever is sent, the same is seen of both."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tests.kit.examples import examples
from tests.kit.traffic import LARGEST4, UDP_GRO, let_arrive, receive, send_train, udp, waiting
from tests.workers.net.rig import KINDS, Heard, Rig, partition, raw_of
from workers.listener import usual_control
from workers.net import ancillary
from workers.net.ancillary import PacketInfo
from workers.net.arena import SLOTS
from workers.net.transport import Part

sizes = st.sampled_from((0, 1, 40, 100, 100, 100, 1_400, 9_000)) | st.integers(0, 2_000)


class Arrival(NamedTuple):
    """A client sends datagrams, as one train if there are several, to one of the host's addresses."""

    client: int
    address: int
    sizes: tuple[int, ...]


trains = st.builds(
    lambda size, count, last: (size,) * count + (min(size, last),),
    st.integers(1, 1_400),
    st.integers(1, 20),
    st.integers(1, 1_400),
)
arrivals = st.lists(
    st.builds(Arrival, st.integers(0, 2), st.integers(0, 2), trains | st.tuples(sizes) | st.just((LARGEST4,))),
    min_size=1,
    max_size=SLOTS,
).filter(lambda steps: sum(sum(step.sizes) for step in steps) < 500_000)


class Receiving(NamedTuple):
    """How a socket is made, and where it is reached: by address 0, 1, 2. options: set on it, each to 1."""

    version: int
    bound: str
    addresses: tuple[str, str, str]
    options: tuple[tuple[int, int], ...]


GRO = (socket.IPPROTO_UDP, UDP_GRO)
SOCKETS = (
    Receiving(4, "127.0.0.1", ("127.0.0.1",) * 3, ()),
    Receiving(4, "127.0.0.1", ("127.0.0.1",) * 3, (GRO,)),
    Receiving(4, "0.0.0.0", ("127.0.0.1", "127.0.0.2", "127.0.0.3"), (GRO, (socket.IPPROTO_IP, ancillary.IP_PKTINFO))),
    Receiving(6, "::1", ("::1",) * 3, ()),
    Receiving(6, "::", ("::1",) * 3, (GRO, (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO))),
)


class Seen(NamedTuple):
    """Everything a transport says about what it received; keys only as they group the datagrams."""

    heard: list[Heard]
    flows: list[int]
    flows_by_destination: list[int]
    extras: dict[int, ancillary.Control]


def receive_all(rig: Rig, how: Receiving, steps: Sequence[Arrival], clients: list[socket.socket]) -> Seen:
    """Send the datagrams to a new socket, and receive them in one call."""
    with udp(how.bound) as sock:
        for level, option in how.options:
            sock.setsockopt(level, option, 1)
        rig.adopt(sock)
        port = sock.getsockname()[1]
        for number, step in enumerate(steps):
            payloads = [bytes([number]) * size for size in step.sizes]
            target = (how.addresses[step.address], port)
            if len(payloads) > 1:
                send_train(clients[step.client], payloads, target)
            else:
                clients[step.client].sendto(payloads[0], target)
        heard = rig.hear(sock, how.version)
        count, transport = len(heard), rig.transport
        usual = usual_control(sock, how.version)
        seen = Seen(
            heard,
            partition(transport.keys(count, how.version)),
            partition(transport.flow_keys(count, how.version, usual)),
            transport.extras(0, count, usual),
        )
        transport.release(sock.fileno())
        return seen


@cache
def lasting_rigs() -> list[Rig]:
    """Return a rig a transport, the same for all examples: nothing of one may be seen in the next."""
    return [Rig(kind) for kind in KINDS]


@examples(75)
@given(st.sampled_from(SOCKETS), arrivals)
def test_the_same_is_received_and_the_same_is_said_of_it(how: Receiving, steps: list[Arrival]):
    with ExitStack() as stack:
        clients = [stack.enter_context(udp(how.addresses[0])) for _ in range(3)]
        fast, plain = (receive_all(rig, how, steps, clients) for rig in lasting_rigs())
        assert fast == plain
        if GRO in how.options:
            whole = [b"".join(bytes([number]) * size for size in step.sizes) for number, step in enumerate(steps)]
            assert [message.payload for message in fast.heard] == whole
            assert [message.source for message in fast.heard] == [raw_of(clients[step.client]) for step in steps]


@examples(60)
@given(st.lists(st.lists(sizes, max_size=40), min_size=1, max_size=8), st.booleans())
def test_the_same_is_received_side_by_side(waiting_sizes: list[list[int]], singly: bool):
    with udp() as server, ExitStack() as stack:
        found = []
        for rig in lasting_rigs():
            socks = [stack.enter_context(udp()) for _ in waiting_sizes]
            for number, (sock, wanted) in enumerate(zip(socks, waiting_sizes, strict=True)):
                sock.connect(server.getsockname())
                rig.adopt(sock)
                for size in wanted:
                    server.sendto(bytes([number]) * size, sock.getsockname())
            let_arrive()
            if singly:
                counts = rig.transport.receive_singles(socks)
                count = len(counts)
            else:
                counts = rig.transport.receive_each([sock.fileno() for sock in socks])
                count = sum(counts)
            got = rig.transport.sizes(0, count)
            payloads = [bytes(rig.arena.payload(slot, size)) for slot, size in enumerate(got)]
            found.append((counts, payloads, dict(rig.transport.errors)))
    assert found[0] == found[1]


# --- sending ---------------------------------------------------------------------------------------------------------


class Departure(NamedTuple):
    """One way of sending some of the slots; numbers are taken modulo what there is."""

    way: str
    first: int
    count: int
    trains: bool
    client: int


WAYS = ("send", "send to a target", "send arranged", "send_one", "send_each", "reply", "queue", "send_part")
departures = st.lists(
    st.builds(
        Departure, st.sampled_from(WAYS), st.integers(0, SLOTS), st.integers(1, SLOTS), st.booleans(), st.integers(0, 1)
    ),
    min_size=1,
    max_size=6,
)


class Shipping:
    """One transport with loaded slots, two clients and a connected socket to send them by."""

    def __init__(self, rig: Rig, payloads: list[bytes], stack: ExitStack) -> None:
        self.rig = rig
        self.payloads = payloads
        rig.load(payloads)
        self.clients = [stack.enter_context(udp()) for _ in range(2)]
        self.listener, self.sock = stack.enter_context(udp("0.0.0.0")), stack.enter_context(udp())
        self.sock.connect(self.clients[0].getsockname())
        self.fds = [rig.adopt(self.listener), rig.adopt(self.sock)]
        self.at = [rig.address(client.getsockname()) for client in self.clients]

    def ship(self, step: Departure) -> object:
        """Carry out one step; return what the transport said."""
        total, transport = len(self.payloads), self.rig.transport
        first = step.first % total
        count = min(step.count, total - first)
        sizes = [len(payload) for payload in self.payloads[first : first + count]]
        listener, sock = self.fds
        match step.way:
            case "send":
                return transport.send(sock, first, sizes, -1, trains=step.trains)
            case "send to a target":
                return transport.send(listener, first, sizes, self.at[step.client], trains=step.trains)
            case "send arranged":
                order = list(range(first, first + count))[::-1]
                transport.arrange(order, sizes[::-1])
                return transport.send(sock, SLOTS, sizes[::-1], -1, trains=step.trains)
            case "send_one":
                return transport.send_one(self.sock, first, sizes[0])
            case "send_each":
                every = [len(payload) for payload in self.payloads]
                return transport.send_each([self.sock] * count, every, first)
            case "reply":
                return transport.reply(listener, first, [self.at[(step.client + slot) % 2] for slot in range(count)])
            case "queue":
                return self._queue(first, sizes, step)
        part = Part(first, sizes[0] // 3, sizes[0] // 2)
        return transport.send_part(listener, part, self.at[step.client], b"")

    def _queue(self, first: int, sizes: list[int], step: Departure) -> object:
        """Line up a message a slot, the last two slots as a train where that is one, and send them."""
        source = ancillary.reply_from(PacketInfo(1, bytes([127, 0, 0, 4]), bytes(4)))
        transport, client = self.rig.transport, self.at[step.client]
        pair = step.trains and len(sizes) > 1 and 0 < sizes[-1] <= sizes[-2]
        alone = len(sizes) - 2 * pair
        said: list[object] = [transport.queue(first + slot, 1, 0, client, source) for slot in range(alone)]
        if pair:
            said.append(transport.queue(first + alone, 2, sizes[alone], client, source))
        return [*said, transport.flush(self.fds[0], 0)]

    def arrived(self) -> list[list[tuple[bytes, str]]]:
        """Return what each client has received, with the address it came from."""
        let_arrive()
        found = []
        for client in self.clients:
            got: list[tuple[bytes, str]] = []
            client.setblocking(False)
            while True:
                try:
                    payload, peer = client.recvfrom(65_536)
                except BlockingIOError:
                    break
                got.append((payload, peer[0]))
            found.append(got)
        return found


@examples(75)
@given(st.lists(sizes, min_size=1, max_size=SLOTS), departures)
def test_the_same_is_sent_and_the_same_is_said_of_it(wanted: list[int], steps: list[Departure]):
    payloads = [bytes([number]) * size for number, size in enumerate(wanted)]
    with ExitStack() as stack:
        fast, plain = (Shipping(Rig(kind), payloads, stack) for kind in KINDS)
        for step in steps:
            assert fast.ship(step) == plain.ship(step)
            assert fast.arrived() == plain.arrived()


@examples(60)
@given(st.lists(sizes, min_size=1, max_size=SLOTS), st.booleans())
def test_what_is_sent_as_runs_arrives_datagram_by_datagram(wanted: list[int], trains: bool):
    payloads = [bytes([number]) * size for number, size in enumerate(wanted)]
    for kind in KINDS:
        with ExitStack() as stack:
            shipping = Shipping(Rig(kind), payloads, stack)
            assert shipping.ship(Departure("send", 0, len(wanted), trains, 0)) == len(wanted)
            assert receive(shipping.clients[0], len(wanted)) == payloads
            assert waiting(shipping.clients[0]) == []
