"""From clients to servers: whatever comes together, each datagram leaves once, in its flow's order, or is counted."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.kit.datapath import Datapath, datapath
from tests.kit.requirement import requires_namespaces
from tests.kit.traffic import (
    LARGEST6,
    Peer,
    both_paths,
    close_all,
    forward_to,
    let_arrive,
    listen,
    network_of_its_own,
    numbered,
    receive,
    send_train,
    udp,
    waiting,
)
from workers.contract.rates import RateRegion
from workers.contract.settings import Limits, QueueSettings, SessionKind
from workers.contract.slots import CloseReason, DropReason
from workers.net.arena import SLOTS
from workers.net.upstream import REST_NS
from workers.outbound import ROUNDS

pytestmark = both_paths
each_way = pytest.mark.parametrize("way", ["singles", "run", "train"])
each_kind = pytest.mark.parametrize("kind", [SessionKind.NORMAL, SessionKind.ONE_WAY])


def send(path: Datapath, way: str, client: socket.socket, payloads: Sequence[bytes], to: Peer | None = None) -> None:
    """Send datagrams of one size, and let the datapath take them: one a turn, all in one, or as one train."""
    target = to or path.to[0]
    if way == "train":
        send_train(client, payloads, target)
    else:
        for payload in payloads:
            client.sendto(payload, target)
            if way == "singles":
                path.turn()
    path.settle()


@each_kind
@pytest.mark.parametrize("count", [1, 2, SLOTS - 1, SLOTS, SLOTS + 1, ROUNDS * SLOTS + 9])
def test_a_burst_of_one_client_arrives_whole_and_in_order(fast_path, kind, count):
    payloads = numbered(count, 100)
    with (
        udp() as server,
        udp() as client,
        datapath(forward_to(server.getsockname(), kind), fast_path=fast_path) as path,
    ):
        for payload in payloads:
            client.sendto(payload, path.to[0])
        path.turn()
        assert waiting(server) == payloads[: ROUNDS * SLOTS], "a listener has its turn, and no more"
        path.settle()
        assert waiting(server) == payloads[ROUNDS * SLOTS :]
        assert len(path.sessions) == 1


@each_kind
@each_way
def test_datagrams_pass_one_by_one_in_runs_and_in_trains(fast_path, kind, way):
    payloads = numbered(20, 100)
    with (
        udp() as server,
        udp() as client,
        datapath(forward_to(server.getsockname(), kind), fast_path=fast_path) as path,
    ):
        for _ in range(2):
            send(path, way, client, payloads)
            assert waiting(server) == payloads


@each_kind
def test_runs_of_many_flows_that_arrive_interleaved_keep_their_order(fast_path, kind):
    clients = [udp() for _ in range(7)]
    with udp() as server, datapath(forward_to(server.getsockname(), kind), fast_path=fast_path) as path:
        for number in range(8):
            for mark, client in enumerate(clients):
                client.sendto(numbered(8, 50 + number % 3, mark)[number], path.to[0])
        path.settle()
        arrived = waiting(server)
    for mark in range(len(clients)):
        wanted = [numbered(8, 50 + number % 3, mark)[number] for number in range(8)]
        assert [payload for payload in arrived if payload[:4] == wanted[0][:4]] == wanted
    assert len(arrived) == 56
    close_all(clients)


def test_single_datagrams_of_more_clients_than_slots_pass_at_once(fast_path):
    hosts = [f"127.2.0.{number + 1}" for number in range(SLOTS + 20)]
    with (
        udp() as server,
        udp() as client,
        datapath(forward_to(server.getsockname()), hosts=["0.0.0.0"], fast_path=fast_path) as path,
    ):
        for _ in range(2):
            for host in hosts:
                client.sendto(host.encode(), (host, path.to[0][1]))
            path.turn()
            assert waiting(server) == [host.encode() for host in hosts]
        assert len(path.sessions) == len(hosts)


def test_datagrams_without_payload_pass_among_others(fast_path):
    payloads = [b"", b"", b"ab", b"", b"cd", b"cd", b"e", b""]
    with udp() as server, udp() as client, datapath(forward_to(server.getsockname()), fast_path=fast_path) as path:
        for payload in payloads:
            client.sendto(payload, path.to[0])
        path.settle()
        assert waiting(server) == payloads


# --- limits ----------------------------------------------------------------------------------------------------------


@each_kind
@each_way
def test_the_datagram_that_exceeds_a_limit_is_dropped_and_the_next_opens_a_session(fast_path, kind, way):
    payloads = numbered(12, 100)
    with udp() as server, udp() as client:
        rule = forward_to(server.getsockname(), kind, Limits(max_dgrams_out=5))
        with datapath(rule, fast_path=fast_path) as path:
            send(path, way, client, payloads)
            assert waiting(server) == payloads[:5] + payloads[6:11]
            assert path.drops_out == {DropReason.LIMIT: 2}
            assert path.closes == {CloseReason.DGRAMS_OUT: 2}
            assert path.sessions == []


@each_kind
@each_way
def test_the_datagram_with_too_many_bytes_is_dropped_and_the_next_opens_a_session(fast_path, kind, way):
    payloads = numbered(7, 100)
    with udp() as server, udp() as client:
        rule = forward_to(server.getsockname(), kind, Limits(max_bytes_out=250))
        with datapath(rule, fast_path=fast_path) as path:
            send(path, way, client, payloads)
            assert waiting(server) == [payloads[number] for number in (0, 1, 3, 4, 6)]
            assert path.drops_out == {DropReason.LIMIT: 2}
            assert path.closes == {CloseReason.BYTES_OUT: 2}


@each_way
def test_the_datagram_after_both_limits_were_reached_opens_a_session(fast_path, way):
    payloads = numbered(7, 100)
    with udp() as server, udp() as client:
        rule = forward_to(server.getsockname(), limits=Limits(max_dgrams_out=3, max_dgrams_in=1))
        with datapath(rule, fast_path=fast_path) as path:
            send(path, "singles", client, payloads[:1])
            payload, upstream = server.recvfrom(200)
            server.sendto(b"answer", upstream)
            path.settle()
            send(path, way, client, payloads[1:])
            assert [payload, *waiting(server)] == payloads[:6]
            assert path.closes == {CloseReason.DGRAMS_REACHED: 1, CloseReason.DGRAMS_OUT: 1}
            assert path.drops_out == {DropReason.LIMIT: 1}


@each_way
def test_where_no_more_sessions_are_permitted_the_whole_run_is_dropped(fast_path, way):
    with (
        udp() as server,
        udp() as first,
        udp() as client,
        datapath(forward_to(server.getsockname()), max_sessions=1, fast_path=fast_path) as path,
    ):
        send(path, "singles", first, [b"x"])
        send(path, way, client, numbered(6, 100))
        assert waiting(server) == [b"x"]
        assert path.drops_out == {DropReason.TABLE_FULL: 6}


# --- time ------------------------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("count", [1, 6])
def test_a_datagram_after_the_deadline_opens_a_session_and_the_old_ones_socket_is_closed_at_once(
    fast_path, kind, count
):
    with udp() as server, udp() as client:
        rule = forward_to(server.getsockname(), kind, Limits(both_ns=1_000))
        with datapath(rule, fast_path=fast_path) as path:
            client.sendto(b"old", path.to[0])
            path.turn(0)
            _, upstream = server.recvfrom(100)
            (old,) = path.sessions
            for payload in numbered(count):
                client.sendto(payload, path.to[0])
            path.turn(1_000)
            assert waiting(server) == numbered(count)
            (new,) = path.sessions
            assert new is not old
            assert old.sock is None
            server.sendto(b"late", ("127.0.0.1", upstream[1]))
            path.settle(2_000 - 1)
            assert path.sessions == [new]
            assert waiting(client) == []
            assert path.closes == {CloseReason.TIMEOUT_BOTH: 1}


# --- what does not leave ---------------------------------------------------------------------------------------------


@each_way
def test_a_pending_refusal_costs_no_datagram(fast_path, way):
    server = udp()
    target = server.getsockname()
    with udp() as client, datapath(forward_to(target), fast_path=fast_path) as path:
        server.close()
        client.sendto(b"lost", path.to[0])
        path.turn()
        (listener,) = path.parts.listeners.values()
        with udp(port=target[1]) as server:
            payloads = numbered(4, 100)
            if way == "train":
                send_train(client, payloads, path.to[0])
            else:
                payloads = payloads[:1] if way == "singles" else payloads
                for payload in payloads:
                    client.sendto(payload, path.to[0])
            # Not a whole turn: that would find the error on the socket first.
            let_arrive()
            path.parts.outbound.handle(listener, 0)
            assert waiting(server) == payloads
        assert path.drops_out == {}
        path.parts.journal.flush()
        assert [record.fields[1] for record in path.logged("socket-error")] == ["Connection refused"]


def test_a_pending_refusal_costs_no_datagram_of_a_run_that_is_cut_by_a_limit(fast_path):
    server = udp()
    target = server.getsockname()
    limits = Limits(max_dgrams_out=4)
    with udp() as client, datapath(forward_to(target, limits=limits), fast_path=fast_path) as path:
        server.close()
        client.sendto(b"lost", path.to[0])
        path.turn()
        (listener,) = path.parts.listeners.values()
        with udp(port=target[1]) as server:
            payloads = numbered(6, 100)
            for payload in payloads:
                client.sendto(payload, path.to[0])
            let_arrive()
            path.parts.outbound.handle(listener, 0)
            assert waiting(server) == payloads[:3] + payloads[4:]
        assert path.drops_out == {DropReason.LIMIT: 1}


def test_refusals_among_many_clients_cost_no_datagram(fast_path):
    target = ("127.0.0.1", 0)
    server, clients = udp(), [udp() for _ in range(3)]
    target = server.getsockname()
    with datapath(forward_to(target), fast_path=fast_path) as path:
        server.close()
        for client in clients:
            client.sendto(b"lost", path.to[0])
        path.turn()
        (listener,) = path.parts.listeners.values()
        with udp(port=target[1]) as server:
            for client in clients:
                client.sendto(b"kept", path.to[0])
            let_arrive()
            path.parts.outbound.handle(listener, 0)
            assert waiting(server) == [b"kept"] * 3
        assert path.drops_out == {}
    close_all(clients)


def test_a_datagram_that_cannot_leave_is_counted_and_not_held_against_the_session(fast_path):
    limits = Limits(max_dgrams_out=3, max_bytes_out=LARGEST6 + 4)
    with (
        udp() as server,
        udp("::1") as client,
        datapath(forward_to(server.getsockname(), limits=limits), hosts=["::1"], fast_path=fast_path) as path,
    ):
        for payload in (b"ab", bytes(LARGEST6), bytes(LARGEST6), b"c", b"d"):
            client.sendto(payload, path.to[0])
            path.turn()
        assert waiting(server) == [b"ab", b"c", b"d"]
        assert path.drops_out == {DropReason.SEND_FAILED: 2}
        assert [record.fields[1:] for record in path.logged("unsent")] == [(1, "Message too long")] * 2
        assert path.logged("socket-error") == [], "nobody has reported anything"
        assert len(path.sessions) == 1


@each_kind
@pytest.mark.parametrize("before", [0, 1, 3, 5])
def test_a_run_goes_on_behind_a_datagram_that_cannot_leave(fast_path, kind, before):
    payloads = [b"abcd"] * before + [bytes(LARGEST6)] + [b"efgh"] * (5 - before)
    with (
        udp() as server,
        udp("::1") as client,
        datapath(forward_to(server.getsockname(), kind), hosts=["::1"], fast_path=fast_path) as path,
    ):
        for payload in payloads:
            client.sendto(payload, path.to[0])
        path.settle()
        assert waiting(server) == [payload for payload in payloads if len(payload) == 4]
        assert path.drops_out == {DropReason.SEND_FAILED: 1}


@requires_namespaces
@each_kind
def test_where_the_path_takes_no_trains_datagrams_leave_one_by_one(fast_path, kind):
    payloads = numbered(12, 1380)
    with (
        network_of_its_own("link set lo mtu 1400") as place,
        udp(place=place) as server,
        udp(place=place) as client,
        datapath(forward_to(server.getsockname(), kind), place=place, fast_path=fast_path) as path,
    ):
        for _ in range(2):
            for payload in payloads:
                client.sendto(payload, path.to[0])
            place.call(path.settle)
            assert waiting(server) == payloads
        (session,) = path.sessions
        assert not session.trains
        assert path.drops_out == {}


def test_what_the_listeners_queue_lost_is_counted_apart(fast_path):
    with udp() as server, udp() as client:
        settings, sockets = listen([forward_to(server.getsockname())], fast_path=fast_path)
        sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        path = Datapath(settings, sockets)
        sent = 0
        for _ in range(3):
            for payload in numbered(30, 500):
                client.sendto(payload, path.to[0])
            path.settle()
            client.sendto(b"tells", path.to[0])
            path.settle()
            sent += 31
            stats = path.parts.stats
            stats.overflow += sum(listener.lost() for listener in path.parts.listeners.values())
            assert 0 < stats.received_out < sent
            assert stats.received_out + stats.overflow == sent
        assert len(waiting(server)) == stats.received_out
        path.close()
        close_all(sockets)


@each_way
def test_at_level_nine_every_message_is_written_down(fast_path, way):
    payloads = numbered(3, 10)
    with (
        udp() as server,
        udp() as client,
        datapath(forward_to(server.getsockname()), fast_path=fast_path, level=9) as path,
    ):
        send(path, way, client, payloads)
        assert receive(server, 3) == payloads
        written = path.logged("payload")
        assert b"".join(record.fields[3] for record in written) == b"".join(payloads)
        assert {record.fields[0] for record in written} == {"out"}


def test_of_the_workers_that_hear_a_broadcast_only_the_first_takes_it(fast_path):
    with udp() as server, udp() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        settings, sockets = listen([forward_to(server.getsockname())], ["0.0.0.0"], fast_path=fast_path)
        sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for worker, taken in ((0, 1), (1, 0)):
            path = Datapath(settings, sockets, worker=worker)
            client.sendto(b"anybody?", ("127.255.255.255", path.to[0][1]))
            path.settle()
            assert len(path.sessions) == taken
            assert path.drops_out == ({} if taken else {DropReason.NOT_OURS: 1})
            path.close()
        close_all(sockets)


def answer_all(server: socket.socket, count: int) -> None:
    """Send every datagram back."""
    for _ in range(count):
        payload, source = server.recvfrom(65_536)
        server.sendto(payload, source)


def test_clients_that_come_together_are_served_from_rested_sockets(fast_path):
    once = Limits(max_dgrams_in=1, max_dgrams_out=1)
    with (
        udp() as server,
        datapath(forward_to(server.getsockname(), limits=once), fast_path=fast_path) as path,
        contextlib.ExitStack() as stack,
    ):
        for round_number, count in enumerate((12, 20), start=1):
            path.parts.journal.taking = False  # as under load: what is opened in one go is not logged
            clients = [stack.enter_context(udp()) for _ in range(count)]
            now_ns = round_number * 2 * REST_NS
            for number, client in enumerate(clients):
                client.sendto(b"%d" % number, path.to[0])
            path.turn(now_ns)
            assert len(path.sessions) == count
            answer_all(server, count)
            path.settle(now_ns)
            assert [client.recv(100) for client in clients] == [b"%d" % number for number in range(count)]
            assert path.sessions == []
        assert path.closes == {CloseReason.DGRAMS_REACHED: 32}


def test_a_new_client_that_sends_twice_at_once_has_one_session(fast_path):
    with (
        udp() as server,
        datapath(forward_to(server.getsockname()), fast_path=fast_path) as path,
        contextlib.ExitStack() as stack,
    ):
        for round_number, count in enumerate((9, 5), start=1):
            path.parts.journal.taking = False
            clients = [stack.enter_context(udp()) for _ in range(count)]
            for client in (*clients, clients[0]):
                client.sendto(b"", path.to[0])
            path.turn(round_number * 2 * REST_NS)
            assert len(path.sessions) == count
            assert sum(session is not None for session in path.parts.sockets.sessions) == count
            assert len(waiting(server)) == count + 1
            path.parts.engine.end_all(CloseReason.SHUTDOWN, round_number * 2 * REST_NS)
            path.parts.sockets.close_ended(round_number * 2 * REST_NS)


def test_clients_that_come_together_share_the_permits_that_are_left(fast_path):
    once = Limits(max_dgrams_in=1, max_dgrams_out=1)
    with (
        udp() as server,
        datapath(forward_to(server.getsockname(), limits=once), fast_path=fast_path, max_sessions=8) as path,
        contextlib.ExitStack() as stack,
    ):
        # Eight sockets rest when three more are made for sessions that stay: five permits are left for eight sockets.
        for at_ns, count, answers in ((REST_NS, 8, 8), (REST_NS + 1, 3, 0), (3 * REST_NS, 11, 0)):
            path.parts.journal.taking = False
            for _ in range(count):
                stack.enter_context(udp()).sendto(b"", path.to[0])
            path.turn(at_ns)
            answer_all(server, answers)
            path.settle(at_ns)
        assert len(path.sessions) == 8
        assert path.drops_out == {DropReason.TABLE_FULL: 6}


@requires_namespaces
def test_what_is_for_other_machines_is_not_taken_and_the_log_says_so(fast_path):
    def look() -> None:
        rule = forward_to(("127.0.0.1", 9), SessionKind.BROADCAST)
        with udp() as client, datapath(rule, hosts=["0.0.0.0"], fast_path=fast_path) as path:
            client.sendto(b"x", ("10.9.1.1", path.to[0][1]))
            path.settle()
            assert path.drops_out == {DropReason.FOREIGN: 1}
            (record,) = path.logged("not-taken")
            assert record.fields[1] == "it is not for this machine"

    with network_of_its_own("route add local 10.9.0.0/16 dev lo") as place:
        place.call(look)


# --- queues ----------------------------------------------------------------------------------------------------------


def test_a_datagram_beyond_the_burst_holds_up_none_behind_it(fast_path):
    queue = QueueSettings("slow", rate_bps=8, burst_bytes=1000)
    payloads = [b"first", bytes(1001), b"a", bytes(990), b"b", b"c"]
    with udp() as server, udp() as client:
        rule = replace(forward_to(server.getsockname()), queue_to_server="slow")
        with datapath(rule, fast_path=fast_path, queues=(queue,), rates=RateRegion.create("test", 2)) as path:
            for payload in payloads:
                client.sendto(payload, path.to[0])
            path.settle()
            assert waiting(server) == [b"first", b"a", bytes(990), b"b", b"c"]
            assert path.drops_out == {DropReason.SHAPED: 1}
