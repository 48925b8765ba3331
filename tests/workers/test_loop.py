"""A real worker, from its first datagram to its end: what must be right at the edges of what can happen to it."""

from __future__ import annotations

import errno
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.kit.requirement import requires_namespaces
from tests.kit.traffic import (
    LARGEST4,
    LARGEST6,
    both_paths,
    close_all,
    forward_to,
    listen,
    network_of_its_own,
    numbered,
    receive,
    send_train,
    udp,
    waiting,
)
from tests.kit.worker_runner import RunningWorker, serving
from workers.contract.messages import Drain, Kill, Level
from workers.contract.settings import Limits, SessionKind
from workers.contract.slots import CloseReason, Counter, DropReason
from workers.loop import MAX_EVENTS

pytestmark = both_paths
ONE_EACH = Limits(max_dgrams_out=1, max_dgrams_in=1)


# --- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "largest"), [("127.0.0.1", LARGEST4), ("::1", LARGEST6)])
def test_datagrams_of_every_size_go_through_whole_in_both_directions(fast_path, host, largest):
    payloads = [b"", b"\x01" * largest, b"x", b"", b"\x02" * largest, bytes(1400)]
    with udp(host) as server, udp(host) as client:
        with serving(forward_to(server.getsockname()[:2]), hosts=[host], fast_path=fast_path) as worker:
            for payload in payloads:
                client.sendto(payload, worker.to[0])
                received, upstream = server.recvfrom(65_536)
                assert received == payload
                server.sendto(payload[::-1], upstream)
                assert client.recv(65_536) == payload[::-1]
        assert worker.count(Counter.FORWARDED_OUT) == worker.count(Counter.FORWARDED_IN) == len(payloads)
        assert worker.count(Counter.BYTES_OUT) == worker.count(Counter.BYTES_IN) == sum(map(len, payloads))
        assert worker.count(Counter.SESSIONS_OPENED) == 1


def test_what_the_other_version_of_ip_cannot_carry_is_dropped_counted_and_ends_nothing(fast_path):
    with udp() as server, udp("::1") as client:
        with serving(forward_to(server.getsockname()), hosts=["::1"], fast_path=fast_path) as worker:
            client.sendto(bytes(LARGEST6), worker.to[0])
            client.sendto(b"fits", worker.to[0])
            assert server.recv(65_536) == b"fits"
        assert worker.drops_out == {DropReason.SEND_FAILED: 1}
        assert worker.count(Counter.SESSIONS_OPENED) == 1


# --- what the parent orders ------------------------------------------------------------------------------------------


def test_a_session_that_is_killed_is_gone_from_memory_and_its_client_begins_another(fast_path):
    with udp() as server, udp() as client:
        with serving(forward_to(server.getsockname()), fast_path=fast_path) as worker:
            client.sendto(b"first", worker.to[0])
            before = server.recvfrom(100)[1]
            worker.wait_for("session-start")
            # A session is written to memory once it has lived for a moment.
            worker.until(lambda: len(worker.open_slots()) == 1)
            worker.tell(Kill(worker.open_slots()))
            worker.wait_for("session-end")
            worker.until(lambda: worker.count(Counter.SESSIONS) == 0)
            assert worker.open_slots() == []
            client.sendto(b"again", worker.to[0])
            assert server.recvfrom(100)[1] != before
        assert worker.closes == {CloseReason.KILLED: 1, CloseReason.SHUTDOWN: 1}


def test_a_draining_worker_says_so_once_its_number_of_sessions_only_falls(fast_path):
    with udp() as server, udp() as client, udp() as late:
        with serving(forward_to(server.getsockname()), fast_path=fast_path) as worker:
            client.sendto(b"first", worker.to[0])
            server.recv(100)
            worker.tell(Drain())
            worker.until(lambda: worker.count(Counter.DRAINING) == 1)
            assert worker.count(Counter.SESSIONS) == 1
            late.sendto(b"refused", worker.to[0])
            client.sendto(b"served", worker.to[0])
            assert server.recv(100) == b"served"
        assert worker.drops_out == {DropReason.DRAINING: 1}


def test_a_level_is_set_by_the_parent(fast_path):
    with udp() as server, serving(forward_to(server.getsockname()), fast_path=fast_path) as worker:
        worker.tell(Level(4))
        (record,) = worker.wait_for("level")
        assert record.fields == (4,)


# --- what the machine refuses ----------------------------------------------------------------------------------------


def test_a_refusing_server_ends_no_session_and_costs_no_datagram_once_it_is_back(fast_path):
    # An address of its own: whoever asks for any port elsewhere must not get the server's while it is gone.
    host = f"127.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}.9"
    server = udp(host)
    with udp() as client:
        target = server.getsockname()
        with serving(forward_to(target), fast_path=fast_path) as worker:
            for number in range(10):
                server.close()
                client.sendto(b"lost", worker.to[0])
                if number % 2:
                    worker.wait_for("socket-error", number // 2 + 1)
                server = udp(host, target[1])
                client.sendto(b"kept %d" % number, worker.to[0])
                while (payload := server.recv(100)) == b"lost":
                    pass
                assert payload == b"kept %d" % number
        assert worker.drops_out == {}
        assert worker.closes == {CloseReason.SHUTDOWN: 1}
        server.close()


def test_where_descriptors_have_run_out_new_sessions_are_shed_and_open_ones_go_on(fast_path):
    clients = [udp() for _ in range(4)]
    with udp() as server:
        rule = forward_to(server.getsockname(), limits=Limits(max_dgrams_out=2, max_dgrams_in=1))
        with serving(rule, fast_path=fast_path, descriptors=2) as worker:
            for client in clients:
                client.sendto(b"first", worker.to[0])
            failures = worker.wait_for("session-failed", 2)
            assert [record.fields[2:] for record in failures] == [("socket", os.strerror(errno.EMFILE))] * 2
            assert receive(server, 2) == [b"first"] * 2
            for client in clients[:2]:
                client.sendto(b"goes on", worker.to[0])
                payload, upstream = server.recvfrom(100)
                server.sendto(b"answer", upstream)
                assert (payload, client.recv(100)) == (b"goes on", b"answer")
            worker.wait_for("session-end", 4)
            for client in clients[2:]:
                client.sendto(b"again", worker.to[0])
            assert receive(server, 2) == [b"again"] * 2
    assert worker.drops_out == {DropReason.SETUP: 2}
    assert worker.count(Counter.SESSIONS_OPENED) == 4
    assert worker.closes == {CloseReason.DGRAMS_REACHED: 2, CloseReason.SHUTDOWN: 2}
    assert worker.permits_left == 100
    close_all(clients)


@requires_namespaces
def test_where_ports_have_run_out_new_sessions_are_shed_until_one_is_given_back(fast_path):
    with network_of_its_own() as place:
        server, clients = udp(place=place), [udp(port=4000 + number, place=place) for number in range(3)]
        rule = forward_to(server.getsockname(), limits=ONE_EACH)
        with serving(rule, place=place, fast_path=fast_path) as worker:
            place.call(lambda: Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("20000 20001"))
            for client in clients:
                client.sendto(b"first", worker.to[0])
            (failure,) = worker.wait_for("session-failed")
            assert failure.fields[2] == "connect"
            upstreams = [server.recvfrom(100)[1] for _ in range(2)]
            server.sendto(b"answer", upstreams[0])
            worker.wait_for("session-end", 2)
            clients[2].sendto(b"again", worker.to[0])
            assert server.recv(100) == b"again"
        assert worker.drops_out == {DropReason.SETUP: 1}
        assert worker.closes == {CloseReason.DGRAMS_REACHED: 1, CloseReason.SHUTDOWN: 2}
        close_all([server, *clients])


@requires_namespaces
def test_an_answer_the_listener_has_no_room_for_is_shed_and_the_next_one_passes(fast_path):
    with network_of_its_own("link set lo mtu 1400") as place, udp(place=place) as server, udp(place=place) as client:
        settings, sockets = listen([forward_to(server.getsockname())], place=place, fast_path=fast_path)
        # Too little for one datagram in fragments; what leaves whole is gone from the buffer at once on loopback.
        sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        with RunningWorker(settings, sockets, place) as worker:
            client.sendto(b"question", worker.to[0])
            _, upstream = server.recvfrom(100)
            server.sendto(bytes(20_000), upstream)
            server.sendto(b"answer", upstream)
            assert client.recv(65_536) == b"answer"
            worker.wait_for("unsent")
        assert worker.drops_in == {DropReason.SEND_BUSY: 1}
        close_all(sockets)


# --- flows -----------------------------------------------------------------------------------------------------------


def test_a_port_used_again_right_after_its_session_gets_a_new_one_and_no_late_answer(fast_path):
    rounds = 200
    with udp() as server, udp() as client:
        with serving(forward_to(server.getsockname(), limits=ONE_EACH), fast_path=fast_path) as worker:
            for number in range(rounds):
                client.sendto(b"question %d" % number, worker.to[0])
                payload, upstream = server.recvfrom(100)
                assert payload == b"question %d" % number
                server.sendto(b"answer %d" % number, upstream)
                server.sendto(b"late", upstream)
                assert client.recv(100) == b"answer %d" % number
                server.sendto(b"later", upstream)
        assert waiting(client) == []
        assert worker.count(Counter.SESSIONS_OPENED) == rounds
        assert worker.closes == {CloseReason.DGRAMS_REACHED: rounds}
        assert set(worker.drops_in) <= {DropReason.NO_SESSION}


def send_mixed(sock: socket.socket, payloads: list[bytes], target: tuple[str, int], step: int) -> None:
    """Send equal-sized datagrams singly and in trains, in turn."""
    first = 0
    while first < len(payloads):
        length = 1 + (first * step) % 7
        if length > 4:
            send_train(sock, payloads[first : first + length], target)
        else:
            length = 1
            sock.sendto(payloads[first], target)
        first += length


def test_every_flow_keeps_its_order_in_both_directions_whatever_it_travels_with(fast_path):
    flows, datagrams = 6, 150
    clients = [udp() for _ in range(flows)]
    sent = [numbered(datagrams, 60, mark) for mark in range(flows)]
    with udp() as server, serving(forward_to(server.getsockname()), fast_path=fast_path) as worker:
        for first in range(0, datagrams, 50):
            for mark, client in enumerate(clients):
                send_mixed(client, sent[mark][first : first + 50], worker.to[0], mark + 1)
        arrived = [server.recvfrom(100) for _ in range(flows * datagrams)]
        sources = {payload[:4]: source for payload, source in arrived}
        for payloads in sent:
            source = sources[payloads[0][:4]]
            assert [payload for payload, where in arrived if where == source] == payloads
        for first in range(0, datagrams, 50):
            for mark, payloads in enumerate(sent):
                send_mixed(server, payloads[first : first + 50], sources[payloads[0][:4]], mark + 1)
        for client, payloads in zip(clients, sent, strict=True):
            assert receive(client, datagrams) == payloads
    assert worker.count(Counter.FORWARDED_OUT) == worker.count(Counter.FORWARDED_IN) == flows * datagrams
    close_all(clients)


def test_more_sessions_than_slots_and_events_answer_at_once(fast_path):
    """One client reaches the wildcard at so many addresses: each is a session of its own."""
    sessions = MAX_EVENTS + 90
    targets = [f"127.1.{number // 200}.{number % 200 + 1}" for number in range(sessions)]
    with udp() as server, udp() as client:
        rule = forward_to(server.getsockname())
        with serving(rule, hosts=["0.0.0.0"], max_sessions=sessions, fast_path=fast_path) as worker:
            port = worker.to[0][1]
            for target in targets:
                client.sendto(target.encode(), (target, port))
            questions = [server.recvfrom(100) for _ in targets]
            for payload, upstream in questions:
                server.sendto(payload, upstream)
            answers = {client.recvfrom(100) for _ in targets}
        assert answers == {(target.encode(), (target, port)) for target in targets}
        assert worker.count(Counter.SESSIONS_OPENED) == sessions
        assert worker.permits_left == sessions


@pytest.mark.parametrize("runs", [1, 30])
def test_a_wildcard_answers_from_where_the_client_wrote_to(fast_path, runs):
    hosts = ("127.0.0.1", "127.0.0.2", "127.9.8.7")
    with udp() as server, udp() as client:
        with serving(forward_to(server.getsockname()), hosts=["0.0.0.0"], fast_path=fast_path) as worker:
            for host in hosts * runs:
                client.sendto(host.encode(), (host, worker.to[0][1]))
            questions = [server.recvfrom(100) for _ in hosts * runs]
            for payload, upstream in questions:
                server.sendto(payload, upstream)
            answers = [client.recvfrom(100) for _ in hosts * runs]
        assert all(payload.decode() == source[0] for payload, source in answers)
        assert {source[0] for _, source in answers} == set(hosts)
        assert worker.count(Counter.SESSIONS_OPENED) == len(hosts)


@requires_namespaces
def test_an_ipv6_wildcard_answers_from_where_the_client_wrote_to(fast_path):
    hosts = ("::1", "fd00::1", "fd00::2")
    with network_of_its_own(*(f"addr add {host}/128 dev lo nodad" for host in hosts[1:])) as place:
        server, client = udp("::1", place=place), udp("::1", place=place)
        rule = forward_to(server.getsockname()[:2])
        with serving(rule, hosts=["::"], place=place, fast_path=fast_path) as worker:
            for host in hosts * 20:
                client.sendto(host.encode(), (host, worker.to[0][1]))
            for _ in hosts * 20:
                server.sendto(*server.recvfrom(100))
            answers = [client.recvfrom(100) for _ in hosts * 20]
        assert all(payload.decode() == source[0] for payload, source in answers)
        assert worker.count(Counter.SESSIONS_OPENED) == len(hosts)
        close_all([server, client])


def test_several_listeners_answer_each_for_itself(fast_path):
    hosts = ("127.0.0.1", "::1", "127.0.0.2", "0.0.0.0")
    with udp() as server, serving(forward_to(server.getsockname()), hosts=hosts, fast_path=fast_path) as worker:
        reached = [*worker.to[:3], ("127.0.0.3", worker.to[3][1])]
        clients = [udp("::1" if ":" in host else "127.0.0.1") for host, _ in reached]
        for number in range(40):
            for client, to in zip(clients, reached, strict=True):
                client.sendto(b"%s %d" % (to[0].encode(), number), to)
        for payload, upstream in [server.recvfrom(100) for _ in range(160)]:
            server.sendto(payload, upstream)
        for client, to in zip(clients, reached, strict=True):
            answers = [client.recvfrom(100) for _ in range(40)]
            assert [payload for payload, _ in answers] == [b"%s %d" % (to[0].encode(), number) for number in range(40)]
            assert {source[:2] for _, source in answers} == {to}
    assert worker.count(Counter.SESSIONS_OPENED) == 4
    close_all(clients)


# --- one way ---------------------------------------------------------------------------------------------------------


def test_an_answer_to_a_one_way_session_ends_it_and_reaches_nobody(fast_path):
    with udp() as server, udp() as client, udp("127.0.0.2") as stranger:
        rule = forward_to(server.getsockname(), SessionKind.ONE_WAY)
        with serving(rule, fast_path=fast_path) as worker:
            client.sendto(b"one", worker.to[0])
            _, (_, port) = server.recvfrom(100)
            stranger.sendto(b"not yours", ("127.0.0.1", port))
            worker.wait_for("wrong-source")
            client.sendto(b"two", worker.to[0])
            assert server.recvfrom(100) == (b"two", ("127.0.0.1", port))
            server.sendto(b"answer", ("127.0.0.1", port))
            server.sendto(b"another", ("127.0.0.1", port))
            (end,) = worker.wait_for("session-end")
            assert end.fields[4] == "one-way-reply"
            client.sendto(b"three", worker.to[0])
            assert server.recv(100) == b"three"
        assert waiting(client) == []
        assert worker.count(Counter.FORWARDED_IN) == 0
        assert worker.drops_in.pop(DropReason.WRONG_SOURCE) == 1
        assert worker.drops_in[DropReason.ONE_WAY] == 1
        assert worker.count(Counter.SESSIONS_OPENED) == 2


def test_a_stranger_cannot_answer_in_the_servers_place(fast_path):
    with udp() as server, udp() as client, udp("127.0.0.2") as stranger, udp() as neighbour:
        with serving(forward_to(server.getsockname()), fast_path=fast_path) as worker:
            client.sendto(b"question", worker.to[0])
            _, upstream = server.recvfrom(100)
            for other in (stranger, neighbour):
                other.sendto(b"forged", upstream)
            server.sendto(b"answer", upstream)
            assert client.recv(100) == b"answer"
        assert waiting(client) == []
        assert worker.closes == {CloseReason.SHUTDOWN: 1}


# --- the loop itself -------------------------------------------------------------------------------------------------


def test_a_session_whose_time_is_up_ends_without_a_datagram(fast_path):
    with udp() as server, udp() as client:
        rule = forward_to(server.getsockname(), limits=Limits(both_ns=30_000_000))
        with serving(rule, fast_path=fast_path) as worker:
            for number in (1, 2):
                client.sendto(b"question", worker.to[0])
                assert receive(server, 1) == [b"question"]
                assert worker.wait_for("session-end", number)[-1].fields[4] == "timeout-both"
        assert worker.closes == {CloseReason.TIMEOUT_BOTH: 2}


def test_answers_and_questions_around_a_deadline_never_end_a_worker(fast_path):
    """Deadlines are served in ticks: what comes between one and its tick finds a session that is over already."""
    with udp() as server, udp() as client:
        rule = forward_to(server.getsockname(), limits=Limits(both_ns=1))
        with serving(rule, fast_path=fast_path) as worker:
            for _ in range(30):
                client.sendto(b"question", worker.to[0])
                _, upstream = server.recvfrom(100)
                server.sendto(b"late", upstream)
            worker.wait_for("session-end", 30)
        assert waiting(client) == []
        assert worker.closes == {CloseReason.TIMEOUT_BOTH: 30}
        assert set(worker.drops_in) <= {DropReason.EXPIRED}


def test_a_timeout_of_years_ends_no_worker(fast_path):
    """Longer than epoll can wait: with the last session ended, nothing else is due."""
    with udp() as server, udp() as client:
        rule = forward_to(server.getsockname(), limits=Limits(max_dgrams_out=1, max_dgrams_in=1, session_ns=10**17))
        with serving(rule, fast_path=fast_path) as worker:
            client.sendto(b"question", worker.to[0])
            _, upstream = server.recvfrom(100)
            server.sendto(b"answer", upstream)
            assert receive(client, 1) == [b"answer"]
            worker.wait_for("session-end", 1)


def test_it_ends_when_told_with_all_its_sessions_and_gives_their_permits_back(fast_path):
    clients = [udp() for _ in range(5)]
    with udp() as server, serving(forward_to(server.getsockname()), max_sessions=5, fast_path=fast_path) as worker:
        for client in clients:
            client.sendto(b"question", worker.to[0])
        receive(server, 5)
        worker.wait_for("session-start", 5)
    assert [record.fields[4] for record in worker.logged("session-end")] == ["shutdown"] * 5
    assert worker.closes == {CloseReason.SHUTDOWN: 5}
    assert worker.count(Counter.SESSIONS) == 0
    assert worker.count(Counter.PERMITS) == 0
    assert worker.permits_left == 5
    close_all(clients)


def test_signals_change_the_level_within_its_bounds_and_ask_for_its_state(fast_path):
    with serving(level=8, fast_path=fast_path) as worker:
        for number, level in ((signal.SIGUSR1, 9), (signal.SIGUSR1, 9), (signal.SIGUSR2, 8)):
            seen = len(worker.logged("level"))
            worker.signal(number)
            assert worker.wait_for("level", seen + 1)[-1].fields == (level,)
        worker.signal(signal.SIGRTMIN + 1)
        ((text,),) = (record.fields for record in worker.wait_for("state"))
        assert text.startswith("worker 0, 0 sessions, 0 opened; ")
