"""From servers to clients: every answer reaches its own client once, in order, however sockets are read."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.kit.datapath import Datapath, datapath
from tests.kit.requirement import requires_namespaces
from tests.kit.traffic import (
    LARGEST6,
    UDP_GRO,
    Peer,
    both_paths,
    close_all,
    forward_to,
    let_arrive,
    network_of_its_own,
    numbered,
    send_train,
    udp,
    waiting,
)
from workers.contract.rates import RateRegion
from workers.contract.settings import Limits, QueueSettings, SessionKind
from workers.contract.slots import CloseReason, DropReason
from workers.inbound import LONG_RUN
from workers.net.arena import SLOTS
from workers.sockets import LASTING_READS

each_way = pytest.mark.parametrize("way", ["singles", "run", "long run", "train"])
"""How a session's answers come: one a turn; several at once; so many that its socket is read by itself; as a train."""


ONE_AND_FIVE = Limits(max_dgrams_out=1, max_dgrams_in=5)


class Talk:
    """One session, opened, with both its ends."""

    def __init__(self, path: Datapath, server: socket.socket, client: socket.socket) -> None:
        self.path = path
        self.server = server
        self.client = client
        client.sendto(b"question", path.to[0])
        path.turn()
        _, (host, port, *_) = server.recvfrom(100)
        self.upstream: Peer = ("::1" if ":" in host else "127.0.0.1", port)
        (self.session,) = path.sessions

    def answer(self, payloads: Sequence[bytes], way: str, now_ns: int = 0) -> None:
        """Let the server send payloads of one size, and the datapath take them."""
        if way in ("long run", "train"):
            self.session.deep, self.session.stretched = LASTING_READS, True
            self.session.sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        if way in ("train", "whole"):
            send_train(self.server, payloads, self.upstream)
        else:
            for payload in payloads:
                self.server.sendto(payload, self.upstream)
                if way == "singles":
                    self.path.turn(now_ns)
        self.path.settle(now_ns)


@contextmanager
def talk(fast_path: bool, limits: Limits | None = None, host: str = "127.0.0.1", level: int = 7) -> Iterator[Talk]:
    """Open one session between a client and a server."""
    with udp(host) as server, udp() as client:
        rule = forward_to(server.getsockname()[:2], limits=limits)
        with datapath(rule, fast_path=fast_path, level=level) as path:
            yield Talk(path, server, client)


def ask(path: Datapath, server: socket.socket, hosts: Sequence[str], client: socket.socket) -> list[tuple[str, int]]:
    """Open a session for each address the client reaches the wildcard at; return the sessions' server-side ends."""
    for host in hosts:
        client.sendto(host.encode(), (host, path.to[0][1]))
    path.settle()
    ends = dict(server.recvfrom(100) for _ in hosts)
    return [ends[host.encode()] for host in hosts]


# --- datagrams -------------------------------------------------------------------------------------------------------


@both_paths
@each_way
def test_answers_arrive_one_by_one_in_runs_and_in_trains(fast_path, way):
    payloads = numbered(30, 100)
    with talk(fast_path) as one:
        for _ in range(2):
            one.answer(payloads, way)
            assert waiting(one.client) == payloads


@both_paths
def test_answers_of_more_sessions_than_slots_reach_the_client_from_where_it_wrote_to(fast_path):
    hosts = [f"127.3.0.{number + 1}" for number in range(2 * SLOTS + 20)]
    with (
        udp() as server,
        udp() as client,
        datapath(
            forward_to(server.getsockname()), hosts=["0.0.0.0"], max_sessions=len(hosts), fast_path=fast_path
        ) as path,
    ):
        ends = ask(path, server, hosts, client)
        for repeat in (1, 3):
            for host, end in zip(hosts, ends, strict=True):
                for number in range(repeat):
                    server.sendto(b"%s %d" % (host.encode(), number), end)
            path.settle()
            answers = [client.recvfrom(100) for _ in range(len(hosts) * repeat)]
            for host in hosts:
                wanted = [b"%s %d" % (host.encode(), number) for number in range(repeat)]
                assert [payload for payload, source in answers if source[0] == host] == wanted
        assert waiting(client) == []


@both_paths
def test_sockets_are_emptied_at_once_where_much_waits_in_them_and_taken_from_in_turn_where_little_does(fast_path):
    """How many turns a burst takes shows how sockets are read."""
    hosts = [f"127.4.0.{number + 1}" for number in range(4)]
    with (
        udp() as server,
        udp() as client,
        datapath(forward_to(server.getsockname()), hosts=["0.0.0.0"], fast_path=fast_path) as path,
    ):
        ends = ask(path, server, hosts, client)

        def turns_for(depth: int) -> int:
            for number in range(depth):
                for end in ends:
                    server.sendto(b"%d" % number, end)
            turns = 0
            while path.turn(within_s=0):
                turns += 1
            assert len(waiting(client)) == depth * len(ends)
            return turns

        assert turns_for(10) > 2
        learnt = [turns_for(10) for _ in range(20)]
        assert learnt[-1] <= 2
        for _ in range(100):
            turns_for(1)
        assert turns_for(10) > 2


@both_paths
def test_a_session_with_a_long_run_is_read_by_itself_and_its_trains_stay_whole(fast_path):
    payloads = numbered(LONG_RUN, 100)
    with talk(fast_path) as one:
        one.client.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        one.answer(numbered(LONG_RUN - 2, 100), "run")
        assert not one.session.deep
        waiting(one.client)
        for payload in payloads * 2:
            one.server.sendto(payload, one.upstream)
        one.path.settle()
        assert one.session.deep
        assert b"".join(waiting(one.client)) == b"".join(payloads * 2)


@both_paths
def test_a_session_with_many_long_runs_has_its_trains_kept_whole(fast_path):
    payloads = numbered(LONG_RUN, 100)
    with talk(fast_path) as one:
        one.client.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        for _ in range(LASTING_READS):
            one.answer(payloads, "run")
            assert b"".join(waiting(one.client)) == b"".join(payloads)
        for _ in range(LASTING_READS):  # It stays so, whatever comes.
            one.answer(payloads[:1], "run")
        waiting(one.client)
        one.answer(payloads, "whole")
        assert waiting(one.client) == [b"".join(payloads)]


@both_paths
def test_a_session_that_had_a_long_run_once_is_read_with_the_others_again(fast_path):
    with talk(fast_path) as one:
        one.answer(numbered(2 * LONG_RUN, 100), "run")
        assert one.session.deep
        for payload in numbered(LONG_RUN, 100):
            one.answer([payload], "run")
        assert not one.session.deep
        assert len(waiting(one.client)) == 3 * LONG_RUN


@both_paths
def test_answers_without_payload_pass_among_others(fast_path):
    payloads = [b"", b"", b"ab", b"", b"cd", b"cd", b"e", b""]
    with talk(fast_path) as one:
        for way in ("singles", "run", "long run"):
            one.answer(payloads, way)
            assert waiting(one.client) == payloads


@both_paths
def test_trains_and_single_answers_keep_their_order(fast_path):
    payloads = numbered(120, 80)
    with talk(fast_path) as one:
        one.answer(payloads[:40], "long run")
        for first in range(40, 120, 10):
            one.server.sendto(payloads[first], one.upstream)
            send_train(one.server, payloads[first + 1 : first + 8], one.upstream)
            one.server.sendto(payloads[first + 8], one.upstream)
            one.server.sendto(payloads[first + 9], one.upstream)
        one.path.settle()
        assert waiting(one.client) == payloads


@both_paths
@pytest.mark.parametrize("repeat", [1, 5, 30])
def test_sessions_of_several_listeners_are_answered_in_one_turn_each_through_its_own(fast_path, repeat):
    clients = [udp(), udp("::1"), udp(), udp("::1")]
    with (
        udp() as server,
        datapath(forward_to(server.getsockname()), hosts=["127.0.0.1", "::1"], fast_path=fast_path) as path,
    ):
        for number, client in enumerate(clients):
            client.sendto(b"%d" % number, path.to[number % 2])
        path.settle()
        ends = dict(server.recvfrom(100) for _ in clients)
        for count in range(repeat):
            for number in range(4):
                server.sendto(b"%d %d" % (number, count), ends[b"%d" % number])
        path.settle()
        for number, client in enumerate(clients):
            answers = [client.recvfrom(100) for _ in range(repeat)]
            assert [payload for payload, _ in answers] == [b"%d %d" % (number, count) for count in range(repeat)]
            assert {source[:2] for _, source in answers} == {path.to[number % 2]}
            assert waiting(client) == []
    close_all(clients)


# --- limits and time -------------------------------------------------------------------------------------------------


@both_paths
@each_way
@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(max_dgrams_in=5), CloseReason.DGRAMS_IN),
        (Limits(max_bytes_in=550), CloseReason.BYTES_IN),
        (ONE_AND_FIVE, CloseReason.DGRAMS_REACHED),
    ],
)
def test_a_limit_ends_the_session_in_the_middle_of_what_the_server_sends(fast_path, way, limits, reason):
    payloads = numbered(12, 100)
    with talk(fast_path, limits) as one:
        for payload in payloads if way == "singles" else ():
            one.server.sendto(payload, one.upstream)
        one.answer([] if way == "singles" else payloads, way)
        assert waiting(one.client) == payloads[:5]
        assert one.path.closes == {reason: 1}
        assert one.path.sessions == []
        exceeded = reason is not CloseReason.DGRAMS_REACHED
        assert one.path.drops_in.get(DropReason.LIMIT, 0) == exceeded
        assert set(one.path.drops_in) <= {DropReason.LIMIT, DropReason.NO_SESSION}
        if way == "train":
            assert one.path.parts.stats.received_in == 12, "a train is received whole or not at all"


@both_paths
@pytest.mark.parametrize(
    ("limits", "reason", "excess"),
    [(Limits(max_dgrams_in=5), CloseReason.DGRAMS_IN, 1), (ONE_AND_FIVE, CloseReason.DGRAMS_REACHED, 0)],
)
def test_trains_behind_the_one_that_ended_the_session_are_dropped(fast_path, limits, reason, excess):
    payloads = numbered(12, 100)
    with talk(fast_path, limits) as one:
        one.answer([], "long run")
        for _ in range(3):
            send_train(one.server, payloads, one.upstream)
        one.path.settle()
        assert waiting(one.client) == payloads[:5]
        assert one.path.closes == {reason: 1}
        dropped = {DropReason.LIMIT: excess, DropReason.NO_SESSION: 31 - excess}
        assert one.path.drops_in == {reason: count for reason, count in dropped.items() if count}


@both_paths
@each_way
def test_answers_after_the_deadline_are_dropped_and_the_session_ends_once(fast_path, way):
    with talk(fast_path, Limits(in_ns=1_000)) as one:
        one.answer(numbered(3, 100), "run", now_ns=999)
        assert waiting(one.client) == numbered(3, 100)
        count = 1 if way == "singles" else 20
        one.answer(numbered(count, 100), way, now_ns=1_999)
        assert waiting(one.client) == []
        assert set(one.path.drops_in) <= {DropReason.EXPIRED, DropReason.NO_SESSION}
        assert one.path.closes == {CloseReason.TIMEOUT_IN: 1}
        assert one.path.sessions == []


@both_paths
def test_one_late_answer_among_many_sessions_ends_only_its_own(fast_path):
    hosts = [f"127.5.0.{number + 1}" for number in range(6)]
    with udp() as server, udp() as client:
        rule = forward_to(server.getsockname(), limits=Limits(out_ns=1_000))
        with datapath(rule, hosts=["0.0.0.0"], fast_path=fast_path) as path:
            ends = ask(path, server, hosts, client)
            for host in hosts[1:]:
                client.sendto(b"again", (host, path.to[0][1]))
            path.settle(500)
            for end in ends:
                server.sendto(b"answer", end)
            path.settle(1_200)
            assert sorted(client.recvfrom(100)[1][0] for _ in hosts[1:]) == hosts[1:]
            assert waiting(client) == []
            assert path.drops_in == {DropReason.EXPIRED: 1}
            assert path.closes == {CloseReason.TIMEOUT_OUT: 1}


# --- what does not leave, what the network reports -------------------------------------------------------------------


@both_paths
@pytest.mark.parametrize("way", ["singles", "run", "long run"])
def test_an_answer_that_cannot_leave_is_counted_and_not_held_against_the_session(fast_path, way):
    payloads = [b"ab", b"cd", bytes(LARGEST6), b"ef", b"gh"]
    with talk(fast_path, Limits(max_dgrams_in=5), host="::1") as one:
        one.answer(payloads, way)
        assert waiting(one.client) == [b"ab", b"cd", b"ef", b"gh"]
        assert one.path.drops_in == {DropReason.SEND_FAILED: 1}
        assert [record.fields[1:] for record in one.path.logged("unsent")] == [(1, os.strerror(errno.EMSGSIZE))]
        assert one.session.dgrams_in == 4


@both_paths
def test_an_answer_that_cannot_leave_keeps_nobody_elses_back(fast_path):
    clients = [udp() for _ in range(5)]
    with udp("::1") as server, datapath(forward_to(server.getsockname()[:2]), fast_path=fast_path) as path:
        for number, client in enumerate(clients):
            client.sendto(b"%d" % number, path.to[0])
        path.settle()
        ends = dict(server.recvfrom(100) for _ in clients)
        for number in range(5):
            server.sendto(bytes(LARGEST6) if number in (0, 3) else b"%d" % number, ends[b"%d" % number])
        path.settle()
        assert [waiting(client) for client in clients] == [[], [b"1"], [b"2"], [], [b"4"]]
        assert path.drops_in == {DropReason.SEND_FAILED: 2}
    close_all(clients)


@both_paths
@requires_namespaces
def test_where_the_clients_path_takes_no_trains_answers_leave_one_by_one(fast_path):
    payloads = numbered(2 * LONG_RUN, 1380)
    with (
        network_of_its_own("link set lo mtu 1400") as place,
        udp(place=place) as server,
        udp(place=place) as client,
        datapath(forward_to(server.getsockname()), place=place, fast_path=fast_path) as path,
    ):
        client.sendto(b"question", path.to[0])
        place.call(path.turn)
        (session,) = path.sessions
        for _ in range(2):
            for payload in payloads:
                server.sendto(payload, session.sock.getsockname())
            place.call(path.settle)
            assert waiting(client) == payloads
        assert not session.trains
        assert path.drops_in == {}


@both_paths
@requires_namespaces
def test_trains_the_network_does_not_take_for_a_moment_are_counted_and_come_again_later(fast_path):
    payloads = numbered(LONG_RUN, 100)
    with (
        network_of_its_own() as place,
        udp(place=place) as server,
        udp(place=place) as client,
        datapath(forward_to(server.getsockname()), place=place, fast_path=fast_path) as path,
    ):
        client.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        client.sendto(b"question", path.to[0])
        place.call(path.turn)
        (session,) = path.sessions
        for payload in [b"x" * 50, *payloads]:
            server.sendto(payload, session.sock.getsockname())
        let_arrive()
        place.configure(["rule add pref 10 lookup local", "rule del pref 0", "rule add pref 5 prohibit"])
        place.call(path.settle)
        assert path.drops_in == {DropReason.SEND_FAILED: LONG_RUN + 1}
        place.configure(["rule del pref 5"])
        for payload in payloads:
            server.sendto(payload, session.sock.getsockname())
        place.call(path.settle)
        assert b"".join(waiting(client)) == b"".join(payloads)
        assert session.trains


@both_paths
@pytest.mark.parametrize("way", ["singles", "run", "long run"])
def test_what_the_network_reports_of_a_server_is_logged_and_hides_no_answer(fast_path, way):
    with talk(fast_path) as one:
        target = one.server.getsockname()
        one.server.close()
        one.client.sendto(b"lost", one.path.to[0])
        (listener,) = one.path.parts.listeners.values()
        let_arrive()
        one.path.parts.outbound.handle(listener, 0)
        with udp(port=target[1]) as server:
            one.server = server
            payloads = numbered(10, 100)
            one.answer(payloads, "run" if way == "singles" else way)
            assert waiting(one.client) == payloads
        assert [record.fields[1] for record in one.path.logged("socket-error")] == ["Connection refused"]
        assert one.path.sessions == [one.session]


# --- one way ---------------------------------------------------------------------------------------------------------


@both_paths
def test_a_one_way_session_ends_by_the_first_datagram_of_its_server_and_no_other(fast_path):
    with udp() as server, udp() as client, udp("127.0.0.2") as stranger, udp() as neighbour:
        rule = forward_to(server.getsockname(), SessionKind.ONE_WAY)
        with datapath(rule, fast_path=fast_path) as path:
            client.sendto(b"x", path.to[0])
            path.turn()
            _, (_, port) = server.recvfrom(100)
            for sender in (stranger, stranger, neighbour, server, stranger):
                sender.sendto(b"y", ("127.0.0.1", port))
            path.settle()
            assert path.drops_in == {DropReason.WRONG_SOURCE: 2, DropReason.ONE_WAY: 1, DropReason.NO_SESSION: 2}
            assert path.closes == {CloseReason.ONE_WAY_REPLY: 1}
            assert len(path.logged("wrong-source")) == 2
            assert waiting(client) == []


@both_paths
def test_a_one_way_session_past_its_deadline_ends_by_time_and_once(fast_path):
    with udp() as server, udp() as client:
        rule = forward_to(server.getsockname(), SessionKind.ONE_WAY, Limits(out_ns=1_000))
        with datapath(rule, fast_path=fast_path) as path:
            client.sendto(b"x", path.to[0])
            path.turn()
            _, (_, port) = server.recvfrom(100)
            for _ in range(3):
                server.sendto(b"y", ("127.0.0.1", port))
            path.settle(1_000)
            assert path.drops_in == {DropReason.EXPIRED: 1, DropReason.NO_SESSION: 2}
            assert path.closes == {CloseReason.TIMEOUT_OUT: 1}


# --- queues ----------------------------------------------------------------------------------------------------------


@both_paths
@pytest.mark.parametrize("way", ["run", "long run"])
@pytest.mark.parametrize(("most", "passing"), [(None, [2, 3, 4]), (2, [2, 3])])
def test_an_answer_beyond_the_burst_holds_up_none_behind_it(fast_path, way, most, passing):
    queue = QueueSettings("slow", rate_bps=8, burst_bytes=1000)
    payloads = [bytes(1001), bytes(1001), b"a", b"b", b"c"]
    with udp() as server, udp() as client:
        rule = replace(forward_to(server.getsockname(), limits=Limits(max_dgrams_in=most)), queue_to_client="slow")
        with datapath(rule, fast_path=fast_path, queues=(queue,), rates=RateRegion.create("test", 2)) as path:
            one = Talk(path, server, client)
            one.answer(payloads, way)
            assert waiting(client) == [payloads[index] for index in passing]
            assert path.drops_in[DropReason.SHAPED] == 2
            assert (path.closes == {}) is (most is None)


# --- the pieces ------------------------------------------------------------------------------------------------------


@both_paths
@each_way
def test_at_level_nine_every_answer_is_written_down(fast_path, way):
    payloads = numbered(5, 10)
    with talk(fast_path, level=9) as one:
        one.answer(payloads, way)
        assert waiting(one.client) == payloads
        written = [record for record in one.path.logged("payload") if record.fields[0] == "in"]
        assert b"".join(record.fields[3] for record in written) == b"".join(payloads)
        assert {record.track for record in written} == {one.session.track}
