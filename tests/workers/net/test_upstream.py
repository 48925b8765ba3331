"""Server-side sockets: opened, rested, used again."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import select
import socket
from pathlib import Path

import pytest

from tests.kit.ports import free_port
from tests.kit.requirement import requires_namespaces
from tests.kit.traffic import address, let_arrive, network_of_its_own, udp, waiting
from tests.workers.forked import in_child
from tests.workers.net.rig import Rig, each_transport, raw_of
from workers.net.ancillary import UDP_GRO
from workers.net.mmsg import MmsgTransport
from workers.net.plain import PlainTransport
from workers.net.upstream import (
    BARE,
    REST_NS,
    RESTING_SOCKETS,
    Setup,
    Upstreams,
    cookie_of,
    delivers_trains,
    lost_since,
    target_address,
)
from workers.wire import sockaddr

SEVEN = Setup(local=sockaddr.encode(address("127.0.0.7"), 0))


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Shore:
    """Upstreams with their epoll, and a server to reach."""

    def __init__(self, kind=MmsgTransport, host: str = "127.0.0.1", reuse: bool = True, doubled: bool = False) -> None:
        self.poll = select.epoll()
        self.rig = Rig(kind)
        self.version = 6 if ":" in host else 4
        self.server = udp(host)
        self.now_ns = 0
        self.upstreams = Upstreams(self.poll, self.rig.transport, reuse=reuse, doubled=doubled)

    def open(self) -> tuple[socket.SocketType, int]:
        return self.upstreams.open(self.version, BARE, raw_of(self.server), self.now_ns)

    def rest(self, now_ns: int = 0) -> int:
        """Open a socket and close it at an instant; return its descriptor."""
        sock, fd = self.open()
        self.upstreams.close([sock], [fd], self.version, now_ns)
        return fd


@each_transport
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_socket_is_connected_known_and_watched(kind, host):
    shore = Shore(kind, host)
    sock, fd = shore.open()
    assert sock.getpeername() == shore.server.getsockname()
    assert not sock.getblocking()
    assert not os.get_inheritable(fd)
    shore.server.sendto(b"x", sock.getsockname())
    assert shore.poll.poll(10) == [(fd, select.EPOLLIN)]
    assert shore.rig.transport.receive_each([fd]) == [1]


@pytest.mark.parametrize(
    ("host", "option"), [("127.0.0.1", (socket.IPPROTO_IP, 10)), ("::1", (socket.IPPROTO_IPV6, 23))]
)
def test_routers_may_cut_what_leaves_into_fragments(host, option):
    sock, _ = Shore(host=host).open()
    assert sock.getsockopt(*option) == 0  # PMTUDISC_DONT


def test_an_unconnected_socket_hears_everybody():
    shore = Shore()
    sock, fd = shore.upstreams.open(4, BARE, None, shore.now_ns)
    sock.sendto(b"x", shore.server.getsockname())
    _, where = shore.server.recvfrom(10)
    with udp() as other:
        other.sendto(b"y", ("127.0.0.1", where[1]))
    assert shore.poll.poll(10) == [(fd, select.EPOLLIN)]


def test_a_forced_source_is_where_datagrams_leave_from():
    shore = Shore()
    sock, _ = shore.upstreams.open(4, SEVEN, raw_of(shore.server), shore.now_ns)
    assert sock.getsockname()[0] == "127.0.0.7"


def test_a_socket_is_used_again_only_when_it_has_rested():
    shore = Shore()
    fd = shore.rest(1_000)
    shore.now_ns = 1_000 + REST_NS - 1
    assert shore.open()[1] != fd, "it has not rested"
    shore.now_ns = 1_000 + REST_NS
    sock, again = shore.open()
    assert again == fd
    sock.send(b"new")
    assert shore.server.recvfrom(10) == (b"new", sock.getsockname())
    assert shore.open()[1] != fd


@requires_namespaces
@pytest.mark.parametrize(("first", "other"), [("127.0.0.1", "127.0.0.2"), ("::1", "fd00::2")])
def test_an_unconnected_socket_hears_everybody_whomever_the_last_one_was_connected_to(first, other):
    def look() -> None:
        shore = Shore(host=first)
        shore.rest()
        shore.now_ns = REST_NS
        sock, _ = shore.upstreams.open(shore.version, BARE, None, shore.now_ns)
        sock.sendto(b"question", shore.server.getsockname())
        _, where = shore.server.recvfrom(10)
        with udp(other) as stranger:
            stranger.sendto(b"answer", (first, where[1]))
            assert waiting(sock) == [b"answer"]

    with network_of_its_own("addr add fd00::2/128 dev lo nodad") as place:
        place.call(look)


def test_a_socket_used_again_is_watched_still():
    shore = Shore()
    fd = shore.rest()
    shore.now_ns = REST_NS
    sock, _ = shore.open()
    shore.server.sendto(b"x", sock.getsockname())
    assert shore.poll.poll(10) == [(fd, select.EPOLLIN)]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_late_answer_reaches_no_resting_socket(host):
    shore = Shore(host=host)
    sock, fd = shore.open()
    late = sock.getsockname()
    shore.upstreams.close([sock], [fd], shore.version, 0)
    shore.server.sendto(b"late", late)
    let_arrive()
    assert shore.poll.poll(0) == []
    shore.now_ns = REST_NS
    again, _ = shore.open()
    assert waiting(again) == []


def test_what_waited_when_a_session_ended_is_drained_before_its_socket_serves_again():
    shore = Shore()
    sock, fd = shore.open()
    shore.server.sendto(b"answer", sock.getsockname())
    let_arrive()
    shore.upstreams.close([sock], [fd], 4, 0)
    assert shore.poll.poll(10) == [(fd, select.EPOLLIN)]
    shore.now_ns = REST_NS
    again, _ = shore.open()
    assert again is sock
    assert waiting(again) == []


def test_no_more_than_so_many_rest():
    shore = Shore()
    opened = [shore.open() for _ in range(RESTING_SOCKETS + 2)]
    for sock, fd in opened:
        shore.upstreams.close([sock], [fd], 4, 0)
    assert [sock.fileno() for sock, _ in opened[-2:]] == [-1, -1]
    assert all(sock.fileno() == fd for sock, fd in opened[:-2])


def test_each_version_rests_by_itself():
    shore, other = Shore(), udp("::1")
    shore.rest()
    shore.now_ns = REST_NS
    sock, _ = shore.upstreams.open(6, BARE, raw_of(other), shore.now_ns)
    assert sock.family == socket.AF_INET6


def test_a_socket_with_a_source_of_its_own_is_not_a_rested_one():
    shore = Shore()
    fd = shore.rest()
    shore.now_ns = REST_NS
    assert shore.upstreams.open(4, SEVEN, raw_of(shore.server), shore.now_ns)[1] != fd


@pytest.mark.parametrize("resting", [4, 6])
def test_where_descriptors_have_run_out_a_resting_socket_is_given_up(resting):
    def open_with_none_left() -> list[object]:
        shore, other = Shore(host={4: "127.0.0.1", 6: "::1"}[resting]), Shore()
        fd = shore.rest()
        resource.setrlimit(resource.RLIMIT_NOFILE, (fd + 1, fd + 1))
        with contextlib.suppress(OSError):
            while True:
                os.dup(fd)
        _, given = shore.upstreams.open(4, BARE, raw_of(other.server), shore.now_ns)
        with pytest.raises(OSError, match="Too many open files") as failure:
            shore.upstreams.open(4, BARE, raw_of(other.server), shore.now_ns)
        return [given == fd, failure.value.filename]

    assert in_child(open_with_none_left) == "[True, 'socket']"


@each_transport
def test_without_reuse_a_socket_is_closed_at_once(kind):
    shore = Shore(kind, reuse=False)
    sock, fd = shore.open()
    shore.upstreams.close([sock], [fd], 4, 0)
    assert sock.fileno() == -1
    sock, fd = shore.open()
    shore.upstreams.close_for_good(sock)
    assert sock.fileno() == -1


@pytest.mark.parametrize(
    ("source", "target", "step", "code"),
    [
        (Setup(local=sockaddr.encode(address("192.0.2.250"), 0)), ("127.0.0.1", 9), "bind", errno.EADDRNOTAVAIL),
        (BARE, ("255.255.255.255", 9), "connect", errno.EACCES),
    ],
)
def test_what_cannot_be_had_says_at_which_step_and_leaves_nothing_open(source, target, step, code):
    shore = Shore()
    gc.collect()  # What earlier tests left must not be closed in between.
    before = open_descriptors()
    with pytest.raises(OSError, match=r"denied|assign") as failure:
        shore.upstreams.open(4, source, sockaddr.encode(address(target[0]), target[1]), shore.now_ns)
    assert (failure.value.filename, failure.value.errno) == (step, code)
    assert open_descriptors() == before


@requires_namespaces
def test_when_ports_have_run_out_connecting_fails_and_a_port_given_back_serves_again():
    with network_of_its_own() as place:
        shore = place.call(lambda: Shore(reuse=False))
        place.call(lambda: Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("20000 20001"))
        opened = [place.call(shore.open) for _ in range(2)]
        with pytest.raises(BlockingIOError) as failure:
            place.call(shore.open)
        assert failure.value.filename == "connect"
        sock, fd = opened[0]
        shore.upstreams.close([sock], [fd], 4, 0)
        assert place.call(shore.open)


def test_a_socket_that_cannot_be_watched_is_not_had():
    def open_unwatched() -> str | None:
        shore = Shore(PlainTransport)
        os.close(shore.poll.fileno())
        with pytest.raises(OSError, match=r"descriptor|argument") as failure:
            shore.open()
        return failure.value.filename

    assert in_child(open_unwatched) == "socket"


def test_an_address_is_read_once():
    raw = sockaddr.encode(address("127.0.0.1"), 53)
    assert target_address(raw) == ("127.0.0.1", 53)
    assert target_address(raw) is target_address(raw)


@pytest.mark.parametrize(
    ("drops", "before", "lost"), [(5, 3, 2), (3, 3, 0), (1, 2**32 - 1, 2), (3, 5, 0), (2**32 - 1, 1, 0)]
)
def test_losses_only_grow_though_a_reading_may_be_behind_the_last(drops, before, lost):
    assert lost_since(drops, before) == lost


# --- where the parent holds duplicates -------------------------------------------------------------------------------


@each_transport
@pytest.mark.parametrize("setup", [BARE, SEVEN, None], ids=["unbound", "own address", "own port"])
@pytest.mark.parametrize("connected", [True, False])
def test_a_socket_that_is_open_elsewhere_too_is_out_of_epoll_and_takes_nothing_any_more(kind, setup, connected):
    shore = Shore(kind, doubled=True)
    port = free_port()
    setup = Setup(local=sockaddr.encode(address("127.0.0.7"), port)) if setup is None else setup
    target = raw_of(shore.server) if connected else None
    sock, fd = shore.upstreams.open(4, setup, target, shore.now_ns)
    sock.sendto(b"x", shore.server.getsockname())
    _, where = shore.server.recvfrom(10)
    with socket.socket(fileno=os.dup(fd)) as double:
        shore.upstreams.close_for_good(sock)
        assert sock.fileno() == -1
        with udp() as other:
            for sender in (shore.server, other):
                sender.sendto(b"late", where)
            let_arrive()
        assert not waiting(double)
        assert shore.poll.poll(0) == []


def test_a_chosen_port_serves_the_next_socket_though_the_last_one_is_open_elsewhere():
    shore = Shore(doubled=True)
    setup = Setup(
        ((socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)),
        sockaddr.encode(address("127.0.0.7"), free_port()),
    )
    sock, fd = shore.upstreams.open(4, setup, None, shore.now_ns)
    where = sock.getsockname()
    with socket.socket(fileno=os.dup(fd)):
        shore.upstreams.close_for_good(sock)
        later, _ = shore.upstreams.open(4, setup, None, shore.now_ns)
        with contextlib.ExitStack() as stack:
            senders = [stack.enter_context(udp()) for _ in range(16)]  # the kernel spreads senders over such sockets
            for sender in senders:
                sender.sendto(b"x", where)
            let_arrive()
        assert len([later.recv(10) for _ in senders]) == len(senders)


def test_a_resumed_socket_is_known_and_watched():
    shore = Shore(PlainTransport)
    made = socket.SocketType(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.connect(shore.server.getsockname())
    shore.upstreams.resume(made)
    shore.server.sendto(b"x", made.getsockname())
    assert shore.poll.poll(10) == [(made.fileno(), select.EPOLLIN)]
    assert shore.rig.transport.receive_each([made.fileno()]) == [1]


def test_a_cookie_tells_sockets_apart_whatever_their_descriptors():
    with udp() as one, udp() as other, socket.socket(fileno=os.dup(one.fileno())) as double:
        assert cookie_of(one) == cookie_of(double) != cookie_of(other)


def test_a_socket_says_whether_it_delivers_trains():
    with udp() as sock:
        assert not delivers_trains(sock)
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        assert delivers_trains(sock)


def rested_shore(*ends: int) -> tuple[Shore, list[int]]:
    """Return a shore where sockets have rested, with their descriptors in the order of their ends."""
    shore = Shore()
    opened = [shore.open() for _ in ends]
    for (sock, fd), now_ns in zip(opened, ends, strict=True):
        shore.upstreams.close([sock], [fd], 4, now_ns)
    return shore, [fd for _, fd in opened]


def test_rested_sockets_are_connected_together_and_those_that_have_not_rested_are_left():
    shore, fds = rested_shore(0, 1, 2)
    target = raw_of(shore.server)
    socks, taken = shore.upstreams.connect_rested([target] * 3, REST_NS + 1)
    assert taken == [sock.fileno() for sock in socks] == fds[:2]
    assert [sock.getpeername() for sock in socks] == [shore.server.getsockname()] * 2
    assert shore.upstreams.connect_rested([target], REST_NS + 2)[1] == fds[2:]
    assert shore.upstreams.connect_rested([target], 10 * REST_NS) == ([], [])


def test_one_that_cannot_be_connected_is_closed_and_those_behind_it_go_on_resting():
    shore, fds = rested_shore(0, 0, 0, 0)
    target, nowhere = raw_of(shore.server), sockaddr.encode(address("255.255.255.255"), 9)
    socks, taken = shore.upstreams.connect_rested([target, nowhere, target, target], REST_NS)
    assert taken == [sock.fileno() for sock in socks] == fds[:1]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fds[1])
    assert shore.upstreams.connect_rested([target] * 3, REST_NS)[1] == fds[2:]


def test_what_lies_in_a_rested_socket_is_gone_when_it_serves_again():
    shore = Shore()
    (full, one), (empty, other) = shore.open(), shore.open()
    shore.server.sendto(b"answer", full.getsockname())
    let_arrive()
    shore.upstreams.close([full, empty], [one, other], 4, 0)
    taken = shore.upstreams.connect_rested([raw_of(shore.server)] * 2, REST_NS)
    assert taken == ([full, empty], [one, other])
    assert waiting(full) == waiting(empty) == []


def test_one_that_cannot_be_disconnected_is_closed_and_the_others_rest():
    shore = Shore()
    (first, one), (second, _), (third, three) = shore.open(), shore.open(), shore.open()
    shore.upstreams.close([first, second, third], [one, 1 << 30, three], 4, 0)
    assert second.fileno() == -1
    taken = shore.upstreams.connect_rested([raw_of(shore.server)] * 3, REST_NS)
    assert taken == ([first, third], [one, three])


def test_of_those_that_end_together_no_more_rest_than_may():
    shore = Shore()
    opened = [shore.open() for _ in range(RESTING_SOCKETS + 2)]
    shore.upstreams.close([sock for sock, _ in opened], [fd for _, fd in opened], 4, 0)
    assert [sock.fileno() for sock, _ in opened] == [fd for _, fd in opened[:-2]] + [-1, -1]
