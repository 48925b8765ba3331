"""What both transports promise of receiving, call by call, over real sockets. Sending is in test_transport_sends."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from tests.kit.traffic import LARGEST4, LARGEST6, UDP_GRO, let_arrive, send_train, udp
from tests.workers.net.rig import Rig, each_transport, partition, raw_of
from workers.net import ancillary
from workers.net.ancillary import PacketInfo
from workers.net.arena import SLOTS

pytestmark = each_transport
LETTERS = [bytes([letter]) * 10 for letter in range(65, 91)]
PACKET_BYTES = {4: 32, 6: 40}
"""How much control data packet information is."""


def test_a_stored_datagram_comes_back_as_it_was_received(kind):
    rig = Rig(kind)
    with udp() as plain, udp() as telling, udp() as client:
        telling.setsockopt(socket.IPPROTO_IP, 8, 1)
        for sock in (plain, telling):
            rig.adopt(sock)
        client.sendto(b"first of all", telling.getsockname())
        (heard,) = rig.hear(telling)
        stored = rig.transport.store(0, len(heard.payload))
        for _ in range(2):
            client.sendto(b"x", plain.getsockname())
            rig.hear(plain)
            rig.transport.restore(stored)
            assert rig.transport.sizes(0, 1) == [len(heard.payload)]
            assert bytes(rig.arena.payload(0, 12)) == heard.payload
            assert (rig.transport.source(0, 4), rig.transport.control(0)) == (raw_of(client), heard.control)
        # What was restored does no harm to what comes next, though that has more to tell.
        assert rig.hear(plain) == []
        rig.transport.restore(stored)
        telling.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        send_train(client, [b"22", b"2"], telling.getsockname())
        (again,) = rig.hear(telling)
        assert (again.payload, again.control) == (b"222", heard.control._replace(train_bytes=2))


def test_where_nothing_waits_nothing_is_received_and_nothing_is_wrong(kind):
    rig = Rig(kind)
    with udp() as sock:
        fd = rig.adopt(sock)
        assert rig.transport.receive(fd, 4) == 0
        assert rig.transport.error == 0
        assert rig.transport.receive_each([fd]) == [0]
        assert rig.transport.errors == {}
        assert rig.transport.receive_singles([sock]) == []
        assert rig.transport.errors == {0: 0}


@pytest.mark.parametrize(("host", "version", "largest"), [("127.0.0.1", 4, LARGEST4), ("::1", 6, LARGEST6)])
def test_datagrams_of_every_size_arrive_whole_in_order_and_with_their_senders(kind, host, version, largest):
    rig = Rig(kind)
    payloads = [b"", b"x", bytes(1400), b"\xff" * largest, b"", b"last"]
    with udp(host) as sock, udp(host) as one, udp(host) as other:
        rig.adopt(sock)
        for number, payload in enumerate(payloads):
            (one, other)[number % 2].sendto(payload, sock.getsockname())
        heard = rig.hear(sock, version)
        assert [message.payload for message in heard] == payloads
        assert [message.source for message in heard] == [raw_of(one), raw_of(other)] * 3
        assert partition(rig.transport.keys(len(heard), version)) == [0, 1] * 3


def test_a_burst_longer_than_the_slots_is_received_in_turns(kind):
    rig = Rig(kind)
    payloads = [struct.pack("=I", number) for number in range(SLOTS + 6)]
    with udp() as sock, udp() as peer:
        rig.adopt(sock)
        for payload in payloads:
            peer.sendto(payload, sock.getsockname())
        first, second = rig.hear(sock), rig.hear(sock)
    assert (len(first), len(second)) == (SLOTS, 6)
    assert [message.payload for message in first + second] == payloads


def test_no_more_is_received_than_is_asked_for(kind):
    rig = Rig(kind)
    with udp() as sock, udp() as peer:
        fd = rig.adopt(sock)
        for payload in LETTERS[:5]:
            peer.sendto(payload, sock.getsockname())
        let_arrive()
        assert rig.transport.receive(fd, 4, 3) == 3
        assert [message.payload for message in rig.hear(sock)] == LETTERS[3:5]


def test_one_arena_serves_both_versions_in_turn(kind):
    rig = Rig(kind)
    with udp() as four, udp("::1") as six, udp() as peer4, udp("::1") as peer6:
        rig.adopt(four)
        rig.adopt(six)
        for _ in range(2):
            for sock, peer, version in ((four, peer4, 4), (six, peer6, 6)):
                peer.sendto(b"x", sock.getsockname())
                (message,) = rig.hear(sock, version)
                assert message.source == raw_of(peer)


def test_control_data_is_that_of_the_datagram_and_never_an_earlier_ones(kind):
    rig = Rig(kind)
    with udp("0.0.0.0") as told, udp() as untold, udp() as peer:
        told.setsockopt(socket.IPPROTO_IP, ancillary.IP_PKTINFO, 1)
        rig.adopt(told)
        rig.adopt(untold)
        for _ in range(2):
            peer.sendto(b"x", ("127.0.0.9", told.getsockname()[1]))
            (message,) = rig.hear(told)
            assert message.control.packet == PacketInfo(1, bytes([127, 0, 0, 9]), bytes([127, 0, 0, 9]))
            peer.sendto(b"x", untold.getsockname())
            (message,) = rig.hear(untold)
            assert message.control == ancillary.Control()


@pytest.mark.parametrize(
    ("version", "option", "hosts"),
    [
        (4, (socket.IPPROTO_IP, ancillary.IP_PKTINFO), ("0.0.0.0", "127.0.0.1", "127.0.0.2")),
        (6, (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO), ("::", "::1", "::1")),
    ],
)
def test_a_flow_is_a_sender_and_the_address_it_wrote_to(kind, version, option, hosts):
    rig = Rig(kind)
    anywhere, first, second = hosts
    with udp(anywhere) as sock, udp(first) as one, udp(first) as other:
        sock.setsockopt(*option, 1)
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        rig.adopt(sock)
        port = sock.getsockname()[1]
        for peer, host in ((one, first), (one, second), (other, first), (one, first)):
            peer.sendto(b"x", (host, port))
        usual = partition(rig.transport.flow_keys(len(rig.hear(sock, version)), version, PACKET_BYTES[version]))
        keys = rig.transport.flow_keys(4, version, PACKET_BYTES[version])
        # A train in the batch makes control data longer: the keys must not change with it.
        send_train(one, [b"xx", b"x"], (first, port))
        one.sendto(b"x", (second, port))
        rig.hear(sock, version)
        assert list(rig.transport.flow_keys(2, version, PACKET_BYTES[version])) == [keys[0], keys[1]]
    assert usual == ([0, 1, 2, 0] if version == 4 else [0, 0, 2, 0])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_key_is_the_same_whether_it_was_received_or_made_of_an_address(kind, host):
    rig = Rig(kind)
    version = 6 if ":" in host else 4
    with udp(host) as sock, udp(host) as peer:
        rig.adopt(sock)
        peer.sendto(b"x", sock.getsockname())
        rig.hear(sock, version)
        source = rig.transport.source(0, version)
        assert list(rig.transport.keys(1, version)) == [rig.transport.key(source)]
        assert source == raw_of(peer)


def test_a_train_comes_as_one_message_that_says_its_size(kind):
    rig = Rig(kind)
    with udp() as sock, udp() as peer:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        rig.adopt(sock)
        peer.sendto(b"single", sock.getsockname())
        send_train(peer, [b"a" * 100, b"b" * 100, b"c" * 30], sock.getsockname())
        heard = rig.hear(sock)
        extras = rig.transport.extras(0, len(heard), 0)
    assert [message.payload for message in heard] == [b"single", b"a" * 100 + b"b" * 100 + b"c" * 30]
    assert {slot: extra.train_bytes for slot, extra in extras.items()} == {1: 100}


def test_a_queue_that_overflowed_says_how_much_it_lost(kind):
    rig = Rig(kind)
    with udp() as sock, udp() as peer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.setsockopt(socket.SOL_SOCKET, ancillary.SO_RXQ_OVFL, 1)
        rig.adopt(sock)
        for _ in range(20):
            peer.sendto(bytes(500), sock.getsockname())
        survivors = len(rig.hear(sock))
        assert rig.transport.extras(0, survivors, 0) == {}
        peer.sendto(b"x", sock.getsockname())
        rig.hear(sock)
        assert rig.transport.extras(0, 1, 0)[0].overflow == 20 - survivors > 0


def test_what_a_socket_reports_is_told_once_and_hides_no_datagram(kind):
    rig = Rig(kind)
    with udp() as server:
        target = server.getsockname()
        sock = rig.connected(target)
    sock.send(b"refused")
    with sock, udp(port=target[1]) as server:
        server.sendto(b"answer", sock.getsockname())
        let_arrive()
        assert rig.transport.receive(sock.fileno(), 4) == 0
        assert rig.transport.error == errno.ECONNREFUSED
        assert rig.transport.receive(sock.fileno(), 4) == 1
        assert rig.transport.receive(sock.fileno(), 4) == 0
        assert rig.transport.error == 0


def test_several_sockets_are_emptied_side_by_side(kind):
    rig = Rig(kind)
    with udp() as server:
        target = server.getsockname()
        socks = [rig.connected(target) for _ in range(4)]
        for index, count in enumerate((2, 0, 3, 1)):
            for number in range(count):
                server.sendto(f"{index}{number}".encode(), socks[index].getsockname())
    socks[1].send(b"refused")
    let_arrive()
    assert rig.transport.receive_each([sock.fileno() for sock in socks]) == [2, 0, 3, 1]
    assert rig.transport.errors == {1: errno.ECONNREFUSED}
    payloads = [bytes(rig.arena.payload(slot, size)) for slot, size in enumerate(rig.transport.sizes(0, 6))]
    assert payloads == [b"00", b"01", b"20", b"21", b"22", b"30"]


def test_sockets_for_which_there_are_no_slots_left_wait(kind):
    rig = Rig(kind)
    with udp() as server:
        socks = [rig.connected(server.getsockname()) for _ in range(3)]
        for sock, count in zip(socks, (SLOTS - 1, 5, 1), strict=True):
            for _ in range(count):
                server.sendto(b"x", sock.getsockname())
        fds = [sock.fileno() for sock in socks]
        let_arrive()
        assert rig.transport.receive_each(fds) == [SLOTS - 1, 1]
        assert rig.transport.receive_each(fds[1:]) == [4, 1]


def test_one_datagram_of_each_socket_is_taken(kind):
    rig = Rig(kind)
    with udp() as server:
        target = server.getsockname()
        socks = [rig.connected(target) for _ in range(4)]
        for sock, payload in ((socks[0], b"one"), (socks[0], b"two"), (socks[3], b"")):
            server.sendto(payload, sock.getsockname())
    socks[1].send(b"refused")
    let_arrive()
    assert rig.transport.receive_singles(socks) == [3, 0]
    assert rig.transport.errors == {1: errno.ECONNREFUSED, 2: 0}
    assert bytes(rig.arena.payload(0, 3)) == b"one"
    assert rig.transport.sizes(0, 2) == [3, 0]
    assert rig.transport.receive_singles(socks) == [3]
    assert rig.transport.errors == {1: 0, 2: 0, 3: 0}
