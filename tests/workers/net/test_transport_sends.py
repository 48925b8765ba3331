"""What both transports promise of sending, call by call, over real sockets."""

from __future__ import annotations

import errno
import socket

import pytest

from tests.kit.requirement import requires_namespaces
from tests.kit.traffic import LARGEST4, let_arrive, network_of_its_own, receive, udp, waiting
from tests.workers.net.rig import Rig, each_transport
from workers.net import ancillary
from workers.net.ancillary import PacketInfo
from workers.net.arena import SLOTS
from workers.net.transport import Part

pytestmark = each_transport
LETTERS = [bytes([letter]) * 10 for letter in range(65, 91)]
FORBIDDEN = ("255.255.255.255", 9)
"""Nobody may send to broadcast without asking for it: a send that fails at once, whatever the network is like."""


def refusing() -> tuple[str, int]:
    """Return an address nobody listens on."""
    with udp() as sock:
        return sock.getsockname()


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize("to_target", [True, False], ids=["to a target", "connected"])
def test_a_run_leaves_as_it_is(kind, trains, to_target):
    rig = Rig(kind)
    payloads = [b"a" * 100, b"b" * 100, b"c" * 40, b"", b"d" * 100, b"e" * 9_000, b"f" * 9_000]
    with udp() as server:
        sock = rig.connected(server.getsockname()) if not to_target else udp()
        fd = rig.adopt(sock)
        rig.load([b"before", *payloads])
        target = rig.address(server.getsockname()) if to_target else -1
        sizes = rig.transport.sizes(1, len(payloads))
        assert rig.transport.send(fd, 1, sizes, target, trains=trains) == len(payloads)
        assert receive(server, len(payloads)) == payloads
        assert waiting(server) == []


def test_arranged_slots_leave_in_their_new_order(kind):
    rig = Rig(kind)
    with udp() as server:
        sock = rig.connected(server.getsockname())
        rig.load(LETTERS[:6])
        order = [3, 0, 5, 1]
        rig.transport.arrange(order, [10] * 4)
        assert rig.transport.send(sock.fileno(), SLOTS, [10, 10], -1, trains=False) == 2
        assert rig.transport.send(sock.fileno(), SLOTS + 2, [10, 10], -1, trains=True) == 2
        assert rig.transport.send_one(sock, SLOTS + 1, 10)
        assert rig.transport.send_part(sock.fileno(), Part(SLOTS + 2, 4, 3), -1, b"")
        assert receive(server, 6) == [*(LETTERS[slot] for slot in order), LETTERS[0], LETTERS[5][4:7]]


@pytest.mark.parametrize("trains", [True, False])
def test_a_run_stops_at_the_first_that_does_not_leave(kind, trains):
    rig = Rig(kind)
    with udp("::1") as server:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, 23, 2)  # IPV6_MTU_DISCOVER: never in fragments, and 65,507 needs them
        sock.connect(server.getsockname())
        fd = rig.adopt(sock)
        rig.load([b"a", b"b" * LARGEST4, b"c"])
        sizes = rig.transport.sizes(0, 3)
        assert rig.transport.send(fd, 0, sizes, -1, trains=trains) == 1
        assert rig.transport.send(fd, 1, sizes[1:], -1, trains=trains) == 0
        assert rig.transport.error == errno.EMSGSIZE
        assert rig.transport.send(fd, 2, sizes[2:], -1, trains=trains) == 1
        assert receive(server, 2) == [b"a", b"c"]


def test_a_socket_that_takes_no_more_keeps_what_it_took(kind):
    rig = Rig(kind)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        fd = rig.adopt(ours)
        # A UDP socket's datagrams leave its buffer at once on loopback; a unix socket's stay until they are read.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        payloads = [bytes([number]) for number in range(SLOTS)]
        rig.load(payloads)
        sizes = [1] * SLOTS
        sent = rig.transport.send(fd, 0, sizes, -1, trains=False)
        assert 0 < sent < SLOTS
        assert not rig.transport.send_one(ours, sent, 1)
        assert rig.transport.error == errno.EAGAIN
        assert not rig.transport.send_part(fd, Part(sent, 0, 1), -1, b"")
        assert rig.transport.error == errno.EAGAIN
        assert rig.transport.send_each([ours], sizes, sent) == [(sent, errno.EAGAIN)]
        assert [theirs.recv(10) for _ in range(sent)] == payloads[:sent]
        assert rig.transport.send(fd, sent, [1], -1, trains=False) == 1
        assert theirs.recv(10) == payloads[sent]


def test_a_refused_peer_is_told_of_once_and_the_next_datagram_leaves(kind):
    rig = Rig(kind)
    target = refusing()
    sock = rig.connected(target)
    rig.load([b"lost", b"next", b"more"])
    assert rig.transport.send_one(sock, 0, 4)
    with udp(port=target[1]) as server:
        let_arrive()
        assert not rig.transport.send_one(sock, 1, 4)
        assert rig.transport.error == errno.ECONNREFUSED
        assert rig.transport.send_one(sock, 1, 4)
        assert receive(server, 1) == [b"next"]


def test_each_slot_leaves_on_its_own_socket_and_failures_are_told_by_slot(kind):
    rig = Rig(kind)
    target = refusing()
    with udp() as server:
        socks = [rig.connected(server.getsockname()), rig.connected(target), rig.connected(server.getsockname())]
        socks[1].send(b"refused")
        rig.load(LETTERS[:5])
        sizes = rig.transport.sizes(0, 5)
        let_arrive()
        assert rig.transport.send_each(socks, sizes, 2) == [(3, errno.ECONNREFUSED)]
        assert receive(server, 2) == [LETTERS[2], LETTERS[4]]


def test_slots_are_answers_to_a_client_each(kind):
    rig = Rig(kind)
    with udp() as listener, udp() as one, udp() as other:
        fd = rig.adopt(listener)
        rig.load([*LETTERS[:4], b""])
        at = [rig.address(client.getsockname()) for client in (one, other)]
        assert rig.transport.reply(fd, 1, [at[0], at[1], at[0], at[1]]) == 4
        assert receive(one, 2) == [LETTERS[1], LETTERS[3]]
        assert receive(other, 2) == [LETTERS[2], b""]


def test_answers_stop_at_the_first_that_does_not_leave(kind):
    rig = Rig(kind)
    with udp() as listener, udp() as client:
        fd = rig.adopt(listener)
        rig.load(LETTERS[:3])
        good, bad = rig.address(client.getsockname()), rig.address(FORBIDDEN)
        assert rig.transport.reply(fd, 0, [good, bad, good]) == 1
        assert rig.transport.reply(fd, 1, [bad, good]) == 0
        assert rig.transport.error == errno.EACCES
        assert rig.transport.reply(fd, 2, [good]) == 1
        assert receive(client, 2) == [LETTERS[0], LETTERS[2]]


def test_messages_lined_up_leave_with_their_trains_and_their_source_addresses(kind):
    rig = Rig(kind)
    source = ancillary.reply_from(PacketInfo(1, bytes([127, 0, 0, 5]), bytes(4)))
    with udp("0.0.0.0") as listener, udp() as one, udp() as other:
        fd = rig.adopt(listener)
        rig.load([b"a" * 100, b"b" * 100, b"c" * 10, b"d" * 100, b"efg"])
        at = [rig.address(client.getsockname()) for client in (one, other)]
        assert rig.transport.queue(0, 3, 100, at[0], source) == 1
        assert rig.transport.queue(3, 1, 0, at[1], b"") == 2
        assert rig.transport.queue(4, 1, 1, at[1], source) == 3
        assert rig.transport.flush(fd, 0) == 3
        found = [one.recvfrom(200) for _ in range(3)] + [other.recvfrom(200) for _ in range(4)]
    assert [payload for payload, _ in found] == [b"a" * 100, b"b" * 100, b"c" * 10, b"d" * 100, b"e", b"f", b"g"]
    ours, default = ("127.0.0.5", found[0][1][1]), ("127.0.0.1", found[0][1][1])
    assert [peer for _, peer in found] == [ours, ours, ours, default, ours, ours, ours]


def test_the_line_goes_on_behind_a_message_that_does_not_leave(kind):
    rig = Rig(kind)
    with udp() as listener, udp() as client:
        fd = rig.adopt(listener)
        rig.load(LETTERS[:5])
        good, bad = rig.address(client.getsockname()), rig.address(FORBIDDEN)
        for slot, to in enumerate((good, bad, bad, good)):
            rig.transport.queue(slot, 1, 0, to, b"")
        assert rig.transport.flush(fd, 0) == 1
        assert rig.transport.flush(fd, 1) == 0
        assert rig.transport.error == errno.EACCES
        assert rig.transport.flush(fd, 3) == 1
        assert rig.transport.queue(4, 1, 0, good, b"") == 1, "what left is no longer in the line"
        assert rig.transport.flush(fd, 0) == 1
        assert receive(client, 3) == [LETTERS[0], LETTERS[3], LETTERS[4]]


def test_a_forgotten_line_does_not_leave(kind):
    rig = Rig(kind)
    with udp() as listener, udp() as client:
        fd = rig.adopt(listener)
        rig.load(LETTERS[:2])
        to = rig.address(client.getsockname())
        rig.transport.queue(0, 1, 0, to, b"")
        rig.transport.forget()
        assert rig.transport.queue(1, 1, 0, to, b"") == 1
        rig.transport.flush(fd, 0)
        assert receive(client, 1) == [LETTERS[1]]
        assert waiting(client) == []


def test_trains_in_one_place_are_cut_each_as_it_is_to_be(kind):
    rig = Rig(kind)
    with udp() as listener, udp() as client:
        fd = rig.adopt(listener)
        rig.load([b"abcdef"])
        to = rig.address(client.getsockname())
        source = ancillary.reply_from(PacketInfo(1, bytes([127, 0, 0, 1]), bytes(4)))
        for segment, control in ((3, b""), (3, b""), (0, b""), (3, b""), (2, b""), (2, source), (2, b"")):
            rig.transport.queue(0, 1, segment, to, control)
            assert rig.transport.flush(fd, 0) == 1
        halves, thirds = [b"abc", b"def"], [b"ab", b"cd", b"ef"]
        assert receive(client, 16) == [*halves, *halves, b"abcdef", *halves, *thirds, *thirds, *thirds]


def test_a_train_is_followed_by_messages_without_control_data(kind):
    rig = Rig(kind)
    with udp() as listener, udp() as client:
        fd = rig.adopt(listener)
        rig.load([b"a" * 10, b"b" * 10, b"c" * 10, b"d" * 25])
        to = rig.address(client.getsockname())
        for first, count, size in ((0, 3, 10), (3, 1, 0)):
            rig.transport.queue(first, count, size, to, b"")
            assert rig.transport.flush(fd, 0) == 1
        assert receive(client, 4) == [b"a" * 10, b"b" * 10, b"c" * 10, b"d" * 25]


@pytest.mark.parametrize("control", [b"", ancillary.reply_from(PacketInfo(1, bytes([127, 0, 0, 6]), bytes(4)))])
def test_a_part_of_a_slot_leaves_alone(kind, control):
    rig = Rig(kind)
    with udp("0.0.0.0") as listener, udp() as client:
        fd = rig.adopt(listener)
        rig.load([b"before", b"0123456789", b""])
        to = rig.address(client.getsockname())
        for part in (Part(1, 0, 10), Part(1, 4, 3), Part(1, 9, 1), Part(1, 10, 0), Part(2, 0, 0)):
            assert rig.transport.send_part(fd, part, to, control)
        assert not rig.transport.send_part(fd, Part(0, 0, 1), rig.address(FORBIDDEN), b"")
        assert rig.transport.error == errno.EACCES
        found = [client.recvfrom(100) for _ in range(5)]
    assert [payload for payload, _ in found] == [b"0123456789", b"456", b"9", b"", b""]
    assert {peer[0] for _, peer in found} == {"127.0.0.6" if control else "127.0.0.1"}


@requires_namespaces
def test_a_train_of_datagrams_longer_than_the_path_carries_is_refused_whole_and_leaves_one_by_one(kind):
    rig = Rig(kind)
    payloads = [b"a" * 1380, b"b" * 1380]
    with network_of_its_own("link set lo mtu 1400") as place, udp(place=place) as server, udp(place=place) as sock:
        sock.connect(server.getsockname())
        fd = rig.adopt(sock)
        rig.load(payloads)
        assert rig.transport.send(fd, 0, [1380, 1380], -1, trains=True) == 0
        assert rig.transport.error in (errno.EINVAL, errno.EMSGSIZE)
        assert rig.transport.send(fd, 0, [1380, 1380], -1, trains=False) == 2
        assert receive(server, 2) == payloads
