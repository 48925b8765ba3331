"""Sessions that outlive their worker: the next one goes on with them. What it refuses is in test_adoption_refusals."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace

import pytest

from tests.kit.ports import free_port
from tests.kit.requirement import requires_root
from tests.kit.session_parts import SECOND
from tests.kit.traffic import Peer, both_paths, forward_to, udp
from tests.workers.succession import NOW, T0, Line, answer, ask, line, place, spent
from workers.contract.settings import (
    AclSettings,
    Limits,
    QueueSettings,
    SessionKind,
    Settings,
    SourceAddress,
    SourcePort,
    SourcePortMode,
)
from workers.contract.slots import ANSWERED, CloseReason, Counter, DropReason
from workers.net.upstream import REST_NS
from workers.sockets import LASTING_READS

KINDS = pytest.mark.parametrize("kind", SessionKind)
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


# --- gone on with ----------------------------------------------------------------------------------------------------


@both_paths
@KINDS
@HOSTS
def test_a_session_of_any_kind_keeps_its_port_and_its_counts(fast_path: str, kind: SessionKind, host: str) -> None:
    answers = kind is not SessionKind.ONE_WAY
    with (
        udp(host) as server,
        udp(host) as client,
        line(forward_to(server.getsockname()[:2], kind), hosts=[host], fast_path=fast_path) as workers,
    ):
        proxys = ask(workers.path, client, server)
        if answers:
            answer(workers.path, server, client, proxys)
        path = workers.renew()
        assert path.logged("sessions-taken-over")[0].fields == (1,)
        assert spent(path) == [(answers, 1, answers, 1, 0)]
        assert ask(path, client, server, NOW) == proxys
        if answers:
            assert answer(path, server, client, proxys, NOW) == path.to[0]
        assert spent(path) == [(2 * answers, 2, 2 * answers, 2, 0)]
        assert path.parts.stats.sessions_opened == 0
        assert path.region.words[Counter.PERMITS] == 1


@both_paths
@pytest.mark.parametrize("kind", [SessionKind.ANY_PORT, SessionKind.ANY_SOCK])
@pytest.mark.parametrize("told", [True, False])
def test_the_server_that_was_found_stays_the_only_one(fast_path: str, kind: SessionKind, told: bool) -> None:
    with (
        udp() as asked,
        udp() as answering,
        udp() as client,
        line(forward_to(asked.getsockname(), kind), fast_path=fast_path) as workers,
    ):
        proxys = ask(workers.path, client, asked)
        if told:
            answer(workers.path, answering, client, proxys)
        estate = workers.die()
        if not told:  # as if it had been killed after it had noted the server, before it told the kernel
            start = estate.region.offset(0)
            port = answering.getsockname()[1].to_bytes(2, "big")
            estate.region.memory[start + place("flags")] = ANSWERED
            at = start + place("target") + 2
            estate.region.memory[at : at + 2] = port
        path = workers.succeed(estate)
        (session,) = path.sessions
        assert session.fixed
        asked.sendto(b"too late", proxys)
        client.sendto(b"more", path.to[0])
        path.settle(NOW)
        assert answering.recvfrom(100) == (b"more", proxys)
        answer(path, answering, client, proxys, NOW + REST_NS)
        assert session.connected


@both_paths
def test_a_session_keeps_what_is_left_of_its_limits_and_of_its_time(fast_path: str) -> None:
    limits = Limits(max_dgrams_out=3, both_ns=10 * SECOND)
    with (
        udp() as server,
        udp() as client,
        line(forward_to(server.getsockname(), limits=limits), fast_path=fast_path) as workers,
    ):
        ask(workers.path, client, server)
        path = workers.renew(T0 + 4 * SECOND)
        (session,) = path.sessions
        assert session.deadline() == (T0 + 10 * SECOND, CloseReason.TIMEOUT_BOTH)
        path.tend(T0 + 9 * SECOND)
        assert path.sessions == [session]
        for _ in range(2):
            ask(path, client, server, T0 + 9 * SECOND)
        client.sendto(b"one too many", path.to[0])
        path.settle(T0 + 9 * SECOND)
        assert path.closes == {CloseReason.DGRAMS_OUT: 1}


def test_what_a_killed_worker_had_no_time_to_write_down_ends_no_session() -> None:
    limits = Limits(both_ns=SECOND)
    with udp() as server, udp() as client, line(forward_to(server.getsockname(), limits=limits)) as workers:
        proxys = ask(workers.path, client, server)
        path = workers.path
        path.tend(T0 + SECOND // 4)
        path.parts.keeper.begin_sweep(T0 + SECOND // 2)
        path.parts.keeper.sweep(path.sessions)
        path.parts.keeper.end_sweep()
        ask(path, client, server, T0 + SECOND * 3 // 4)
        ask(path, client, server, T0 + SECOND * 5 // 4)
        path.region.words[Counter.PUBLISHED] = T0 + SECOND * 5 // 4
        path = workers.succeed(path.die(), T0 + 2 * SECOND)
        (session,) = path.sessions
        assert T0 + SECOND * 5 // 4 <= session.last_out_ns < T0 + SECOND * 3 // 2
        path.tend(T0 + SECOND * 9 // 4)
        assert ask(path, client, server, T0 + SECOND * 9 // 4) == proxys
        path.tend(T0 + 4 * SECOND)
        assert path.sessions == []


def test_a_session_whose_time_ran_out_while_nobody_served_ends_at_once() -> None:
    limits = Limits(both_ns=2 * SECOND)
    with udp() as server, udp() as client, line(forward_to(server.getsockname(), limits=limits)) as workers:
        ask(workers.path, client, server)
        path = workers.succeed(workers.die(), T0 + 60 * SECOND)
        assert path.region.words[Counter.PERMITS] == 1
        path.tend(T0 + 60 * SECOND)
        assert path.closes == {CloseReason.TIMEOUT_BOTH: 1}
        assert path.region.words[Counter.PERMITS] == 0


def test_datagrams_that_came_while_nobody_served_are_forwarded() -> None:
    with udp() as server, udp() as client, line(forward_to(server.getsockname())) as workers:
        proxys = ask(workers.path, client, server)
        estate = workers.die()
        client.sendto(b"out", workers.path.to[0])
        server.sendto(b"in", proxys)
        path = workers.succeed(estate)
        path.settle(NOW)
        assert server.recvfrom(100) == (b"out", proxys)
        assert client.recvfrom(100)[0] == b"in"


def test_a_session_of_a_moment_is_not_kept_and_costs_nobody_a_permit() -> None:
    with udp() as server, udp() as client, line(forward_to(server.getsockname())) as workers:
        before = ask(workers.path, client, server)
        path = workers.succeed(workers.path.die())
        assert path.sessions == []
        assert path.region.words[Counter.PERMITS] == 0
        assert ask(path, client, server, NOW) != before
        assert path.parts.stats.sessions_opened == 1


def test_ended_sessions_are_not_gone_on_with_though_the_parent_has_not_heard() -> None:
    limits = Limits(max_dgrams_out=1)
    with udp() as server, udp() as client, line(forward_to(server.getsockname(), limits=limits)) as workers:
        ask(workers.path, client, server)
        workers.path.tend(NOW)
        assert len(workers.path.kept) == 1
        client.sendto(b"one too many", workers.path.to[0])
        workers.path.settle(NOW)
        path = workers.succeed(workers.path.die())
        assert path.sessions == []


def test_new_sessions_get_slots_and_tracks_behind_those_that_go_on() -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(udp())
        clients = [stack.enter_context(udp()) for _ in range(6)]
        limits = Limits(max_dgrams_out=1)
        workers = stack.enter_context(line(forward_to(server.getsockname(), limits=limits)))
        for client in clients[:4]:
            ask(workers.path, client, server)
        for client in (clients[0], clients[2]):
            client.sendto(b"one too many", workers.path.to[0])
        workers.path.settle(T0)
        path = workers.renew()
        for client in clients[4:]:
            ask(path, client, server, NOW)
        ask(path, clients[0], server, NOW)
        assert [(session.slot, session.track) for session in path.sessions] == [(1, 2), (3, 4), (0, 5), (2, 6), (4, 7)]
        assert [session.slot for session in workers.renew().sessions] == [1, 3, 0, 2, 4]


def test_a_session_may_be_taken_over_again_and_again() -> None:
    with udp() as server, udp() as client, line(forward_to(server.getsockname())) as workers:
        proxys = ask(workers.path, client, server)
        for count in range(2, 20):
            path = workers.renew()
            assert ask(path, client, server, NOW) == proxys
            path.parts.keeper.freeze(path.sessions)
            assert path.sessions[0].dgrams_out == count


def test_a_resumed_sessions_socket_rests_and_serves_again() -> None:
    limits = Limits(max_dgrams_out=1)
    with udp() as server, udp() as client, line(forward_to(server.getsockname(), limits=limits)) as workers:
        ask(workers.path, client, server)
        path = workers.renew()
        fd = path.sessions[0].sock.fileno()
        client.sendto(b"one too many", path.to[0])
        path.settle(NOW)
        ask(path, client, server, NOW + REST_NS)
        assert path.sessions[0].sock.fileno() == fd


@both_paths
def test_many_sessions_are_gone_on_with_in_batches(fast_path: str) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(udp())
        workers = stack.enter_context(line(forward_to(server.getsockname()), max_sessions=400, fast_path=fast_path))
        clients = [stack.enter_context(udp()) for _ in range(300)]
        before = [ask(workers.path, client, server) for client in clients]
        path = workers.renew()
        assert path.logged("sessions-taken-over")[0].fields == (300,)
        assert [ask(path, client, server, NOW) for client in clients] == before


# --- sockets that are not like any other -----------------------------------------------------------------------------


def forced(target: Peer, kind: SessionKind, port: int) -> AclSettings:
    source = SourceAddress(client=True)
    return replace(forward_to(target, kind), source_address=source, source_port=SourcePort(SourcePortMode.FORCE, port))


@requires_root
@both_paths
@pytest.mark.parametrize("kind", [SessionKind.NORMAL, SessionKind.ANY_PORT, SessionKind.ANY_SOCK])
def test_sessions_with_one_forced_port_share_their_socket_again_k51(fast_path: str, kind: SessionKind) -> None:
    port = free_port()
    with (
        udp("127.0.0.2") as server,
        udp("127.0.0.2") as other,
        udp("127.0.0.3") as first,
        udp("127.0.0.3") as second,
        line(forced(server.getsockname(), kind, port), fast_path=fast_path) as workers,
    ):
        for client in (first, second):
            assert ask(workers.path, client, server) == ("127.0.0.3", port)
        path = workers.renew()
        one, two = path.sessions
        assert (one.sock is two.sock) == (kind is not SessionKind.NORMAL)
        assert path.sessions[0].sock.getsockname() == ("127.0.0.3", port)
        if kind is SessionKind.NORMAL:
            return
        for client in (first, second):  # the newest of those that have asked somebody hears his answer
            ask(path, client, server, NOW)
        answer(path, server, second, ("127.0.0.3", port), NOW)
        with udp("127.0.0.3") as third:
            ask(path, third, server, NOW)
            assert path.sessions[2].sock is one.sock
        del other


@requires_root
def test_a_forced_address_and_its_marks_stay() -> None:
    queue = QueueSettings("gold", mark=7)
    with udp("127.0.0.2") as server, udp("127.0.0.3") as client:
        rule = replace(
            forward_to(server.getsockname()),
            source_address=SourceAddress(addr4=0x7F000009),
            queue_to_server="gold",
            tos_to_server=0x20,
        )
        with line(rule, queues=(queue,)) as workers:
            proxys = ask(workers.path, client, server)
            assert proxys[0] == "127.0.0.9"
            path = workers.renew()
            assert ask(path, client, server, NOW) == proxys
            sock = path.sessions[0].sock
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == 7
            assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0x20


def test_a_deep_socket_goes_on_delivering_trains() -> None:
    with udp() as server, udp() as client, line(forward_to(server.getsockname())) as workers:
        proxys = ask(workers.path, client, server)
        (session,) = workers.path.sessions
        session.deep, session.stretched = LASTING_READS, True
        session.sock.setsockopt(socket.IPPROTO_UDP, 104, 1)
        path = workers.renew()
        (session,) = path.sessions
        assert session.deep
        for number in range(5):
            server.sendto(b"%d" % number, proxys)
        path.settle(NOW)
        assert [client.recv(10) for _ in range(5)] == [b"%d" % number for number in range(5)]


@both_paths
def test_answers_on_a_wildcard_listener_leave_from_where_the_client_wrote_to(fast_path: str) -> None:
    with (
        udp() as server,
        udp() as client,
        line(forward_to(server.getsockname()), hosts=["0.0.0.0"], fast_path=fast_path) as workers,
    ):
        port = workers.path.to[0][1]
        workers.path.to[0] = ("127.0.0.7", port)
        proxys = ask(workers.path, client, server)
        path = workers.renew()
        path.to[0] = ("127.0.0.7", port)
        assert answer(path, server, client, proxys, NOW) == ("127.0.0.7", port)
        assert ask(path, client, server, NOW) == proxys


# --- other configurations --------------------------------------------------------------------------------------------


def renewed(workers: Line, *rules: AclSettings, **others: object) -> Settings:
    return replace(workers.settings, acls=rules, generation=2, **others)


def test_a_session_keeps_the_rule_it_began_with_and_new_ones_have_the_new_one() -> None:
    with udp() as server, udp() as client, udp() as newcomer:
        old = forward_to(server.getsockname(), limits=Limits(max_dgrams_out=2), name="OLD")
        with line(old) as workers:
            proxys = ask(workers.path, client, server)
            new = forward_to(server.getsockname(), limits=Limits(max_dgrams_out=7), name="NEW")
            path = workers.renew(settings=renewed(workers, new), earlier={1: workers.settings})
            assert ask(path, client, server, NOW) == proxys
            ask(path, newcomer, server, NOW)
            assert [session.terms.rule.name for session in path.sessions] == ["OLD", "NEW"]
            assert path.sessions[0].dgrams_out_left == 0
            path = workers.renew(settings=renewed(workers, new), earlier={1: workers.settings})
            assert [session.terms.rule.name for session in path.sessions] == ["OLD", "NEW"]


def test_answers_after_a_reload_are_those_of_the_rules_that_have_the_same_server_now() -> None:
    with (
        udp() as server,
        udp() as elsewhere,
        udp() as client,
        line(forward_to(server.getsockname(), name="OLD")) as workers,
    ):
        proxys, later = ask(workers.path, client, server), NOW + 2 * SECOND
        rules = (forward_to(elsewhere.getsockname(), name="OTHER"), forward_to(server.getsockname(), name="NEW"))
        path = workers.renew(settings=renewed(workers, *rules), earlier={1: workers.settings})
        answer(path, server, client, proxys, NOW + SECOND)
        path.parts.keeper.sweep(path.sessions)
        tallies = path.parts.stats.rules
        assert (tallies["OTHER"].answered_ns, tallies["NEW"].answered_ns) == (0, NOW + SECOND)
        assert (tallies["NEW"].accepted, tallies["NEW"].unopened) == (0, 0)
        path = workers.renew(later, renewed(workers, rules[0]), earlier={1: workers.settings})
        answer(path, server, client, proxys, later)
        path.parts.keeper.sweep(path.sessions)
        assert [tally.answered_ns for tally in path.parts.stats.rules.values()] == [0]


def test_a_session_of_a_generation_that_nobody_knows_is_refused() -> None:
    with udp() as server, udp() as client, line(forward_to(server.getsockname())) as workers:
        ask(workers.path, client, server)
        path = workers.renew(settings=renewed(workers, *workers.settings.acls))
        assert [record.fields for record in path.logged("sessions-refused")] == [(1, "its rule is unknown")]


def test_listeners_may_change_places_and_one_that_only_serves_its_sessions_takes_nobody_new() -> None:
    with contextlib.ExitStack() as stack:
        server, client, newcomer = (stack.enter_context(udp()) for _ in range(3))
        workers = stack.enter_context(line(forward_to(server.getsockname()), hosts=["127.0.0.1", "127.0.0.2"]))
        proxys = ask(workers.path, client, server)
        workers.listeners = workers.listeners[::-1]
        moved = renewed(workers, *workers.settings.acls, listeners=workers.settings.listeners[::-1])
        path = workers.renew(settings=moved, earlier={1: workers.settings}, retired=1)
        assert path.sessions[0].listener == 1
        path.to.reverse()
        assert ask(path, client, server, NOW) == proxys
        assert answer(path, server, client, proxys, NOW) == path.to[0]
        newcomer.sendto(b"hello", path.to[0])
        path.settle(NOW)
        assert path.drops_out == {DropReason.DRAINING: 1}
        newcomer.sendto(b"hello", path.to[1])
        path.settle(NOW)
        assert len(path.sessions) == 2


def test_a_session_whose_listener_is_gone_is_refused() -> None:
    with udp() as server, udp() as client, line(forward_to(server.getsockname())) as workers:
        ask(workers.path, client, server)
        elsewhere = replace(workers.settings.listeners[0], port=1)
        path = workers.renew(settings=replace(workers.settings, listeners=(elsewhere,)))
        assert [record.fields for record in path.logged("sessions-refused")] == [(1, "its listener is gone")]
