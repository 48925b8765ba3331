"""Datagrams that may be anybody's: only the session's server is heard, and the fast way follows once it is known."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from tests.kit.datapath import Datapath, datapath
from tests.kit.ports import free_port
from tests.kit.requirement import requires_root
from tests.kit.traffic import Peer, address, both_paths, forward_to, receive, udp, waiting
from workers.contract.settings import (
    AclSettings,
    AnyHost,
    HostCondition,
    HostList,
    HostMember,
    Limits,
    SessionKind,
    SourceAddress,
    SourcePort,
    SourcePortMode,
)
from workers.contract.slots import CloseReason, DropReason
from workers.net.arena import SLOTS
from workers.net.upstream import REST_NS
from workers.wire import sockaddr

pytestmark = both_paths
fixing = pytest.mark.parametrize("kind", [SessionKind.ANY_PORT, SessionKind.ANY_SOCK])


def ask(path: Datapath, client: socket.socket, server: socket.socket) -> Peer:
    """Send a datagram through; return where the server sees it come from."""
    client.sendto(b"question", path.to[0])
    path.settle()
    _, proxys = server.recvfrom(100)
    return proxys


def forced(target: Peer, kind: SessionKind, port: int) -> AclSettings:
    source = SourceAddress(client=True)
    return replace(forward_to(target, kind), source_address=source, source_port=SourcePort(SourcePortMode.FORCE, port))


def only_port(port: int) -> tuple[HostCondition, ...]:
    return (HostCondition(HostList((HostMember(AnyHost()),)), ((port, port),)),)


@fixing
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_first_to_answer_is_the_server_and_what_others_sent_meanwhile_is_dropped_k36_k38(fast_path, kind, host):
    with (
        udp(host) as asked,
        udp(host) as answering,
        udp(host) as client,
        datapath(forward_to(asked.getsockname()[:2], kind), hosts=[host], fast_path=fast_path) as path,
    ):
        proxys = ask(path, client, asked)
        for sender, payload in ((answering, b"first"), (asked, b"late"), (answering, b"second"), (asked, b"later")):
            sender.sendto(payload, proxys[:2])
        path.settle()
        assert waiting(client) == [b"first", b"second"]
        assert path.drops_in == {DropReason.WRONG_SOURCE: 2}
        client.sendto(b"more", path.to[0])
        path.settle()
        assert waiting(answering) == [b"more"]
        assert waiting(asked) == []


@fixing
def test_a_session_whose_server_is_known_takes_the_quick_way_when_its_socket_has_rested(fast_path, kind):
    with (
        udp() as asked,
        udp() as answering,
        udp() as client,
        datapath(forward_to(asked.getsockname(), kind), fast_path=fast_path) as path,
    ):
        proxys = ask(path, client, asked)
        (session,) = path.sessions
        states = []
        for now_ns in (0, REST_NS - 1, REST_NS, REST_NS + 1):
            answering.sendto(b"x" * 10, proxys)
            path.settle(now_ns)
            states.append((session.connected, session.simple))
        assert states == [(False, False)] * 2 + [(True, True)] * 2
        assert receive(client, 4) == [b"x" * 10] * 4
        for _ in range(2):
            client.sendto(b"y", path.to[0])
            path.settle(REST_NS + 2)
        assert waiting(answering) == [b"y", b"y"]


def test_a_socket_that_is_not_read_empty_is_not_taken_for_its_servers_yet(fast_path):
    with (
        udp() as asked,
        udp() as answering,
        udp() as client,
        datapath(forward_to(asked.getsockname(), SessionKind.ANY_PORT), fast_path=fast_path) as path,
    ):
        proxys = ask(path, client, asked)
        answering.sendto(b"first", proxys)
        path.settle()
        (session,) = path.sessions
        for _ in range(SLOTS):
            answering.sendto(b"x", proxys)
        path.turn(REST_NS)
        assert not session.connected
        path.settle(REST_NS)
        answering.sendto(b"last", proxys)
        path.settle(REST_NS)
        assert session.connected
        assert len(waiting(client)) == SLOTS + 2


@pytest.mark.parametrize("kind", [SessionKind.ANY_PORT, SessionKind.ANY_SOCK, SessionKind.NORMAL])
def test_limits_hold_whoever_answers_k63_k68(fast_path, kind):
    limits = Limits(max_dgrams_in=2, max_dgrams_out=1)
    with (
        udp() as server,
        udp() as client,
        datapath(forward_to(server.getsockname(), kind, limits), fast_path=fast_path) as path,
    ):
        proxys = ask(path, client, server)
        for _ in range(3):
            server.sendto(b"x", proxys)
        path.settle()
        assert waiting(client) == [b"x", b"x"]
        assert path.closes == {CloseReason.DGRAMS_REACHED: 1}
        assert path.sessions == []


@requires_root
@pytest.mark.parametrize("kind", [SessionKind.ANY_PORT, SessionKind.NORMAL])
def test_what_servers_send_to_a_shared_source_finds_its_session_or_none_k24_k25(fast_path, kind):
    port = free_port()
    with (
        udp() as one,
        udp() as two,
        udp() as stranger,
        udp("127.0.0.5") as first,
        udp("127.0.0.5") as second,
    ):
        rules = [
            replace(forced(server.getsockname(), kind, port), sources=only_port(client.getsockname()[1]), name=name)
            for server, client, name in ((one, first, "ONE"), (two, second, "TWO"))
        ]
        with datapath(*rules, fast_path=fast_path) as path:
            assert ask(path, first, one) == ask(path, second, two) == ("127.0.0.5", port)
            two.sendto(b"two", ("127.0.0.5", port))
            one.sendto(b"one", ("127.0.0.5", port))
            stranger.sendto(b"nobody's", ("127.0.0.6", port))
            path.settle()
            assert (waiting(first), waiting(second)) == ([b"one"], [b"two"])
            assert len({session.sock.fileno() for session in path.sessions}) == (
                1 if kind is SessionKind.ANY_PORT else 2
            )


@pytest.mark.parametrize("burst", [1, 5])
def test_what_a_listener_hears_in_a_sessions_place_passes_too_k51(fast_path, burst):
    with (
        udp() as server,
        udp() as client,
        datapath(
            forward_to(server.getsockname(), SessionKind.ANY_PORT), hosts=["0.0.0.0"], fast_path=fast_path
        ) as path,
    ):
        at = ("127.0.0.1", path.to[0][1])
        client.sendto(b"question", at)
        path.settle()
        (session,) = path.sessions
        local = ("127.0.0.7", at[1])
        path.parts.engine.trails.share(session, sockaddr.encode(address(local[0]), local[1]))
        with udp() as other_port:
            for number in range(burst):
                other_port.sendto(bytes([number]), local)
            path.settle()
            assert waiting(client) == [bytes([number]) for number in range(burst)]
            assert session.fixed
        server.sendto(b"too late", local)
        path.settle()
        assert waiting(client) == []
        # It belongs to no session, so it is a client's, and would like one of its own.
        assert len(path.sessions) == 2


def test_what_the_network_reports_is_logged_and_ends_nothing_k87(fast_path):
    with (
        udp() as asked,
        udp() as client,
        datapath(forward_to(asked.getsockname(), SessionKind.ANY_PORT), fast_path=fast_path) as path,
    ):
        proxys = ask(path, client, asked)
        with udp() as answering:
            answering.sendto(b"first", proxys)
            path.settle()
        for _ in range(2):
            client.sendto(b"to nobody", path.to[0])
            path.settle()
        assert path.logged("socket-error")
        assert len(path.sessions) == 1


def test_a_client_of_another_ip_version_hears_every_server_of_a_broadcast_session(fast_path):
    rule = forward_to(("127.255.255.255", 9), SessionKind.BROADCAST)
    with (
        udp() as one,
        udp() as two,
        udp("::1") as client,
        datapath(rule, hosts=["::1"], fast_path=fast_path) as path,
    ):
        client.sendto(b"who is there", path.to[0][:2])
        path.settle()
        (session,) = path.sessions
        proxys = session.sock.getsockname()
        for sender in (one, two):
            sender.sendto(b"me", proxys)
        path.settle()
        assert [client.recvfrom(10) for _ in range(2)] == [(b"me", (*path.to[0][:2], 0, 0))] * 2
