"""Clients whose name decides: one datagram is kept, the answer brings it back as it was, and nobody waits for ever."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from tests.kit.datapath import Datapath, datapath
from tests.kit.traffic import Peer, address, both_paths, forward_to, receive, send_train, udp, waiting
from tests.workers.net.rig import Rig
from workers.contract.channel import LocalChannel
from workers.contract.messages import Looked, Lookup
from workers.contract.settings import (
    AclSettings,
    Address,
    AddressRange,
    HostCondition,
    HostList,
    HostMember,
    HostPattern,
    Limits,
)
from workers.contract.slots import DropReason
from workers.deadlines import TICK_NS
from workers.names import ANSWER_NS, SECOND_NS, ReverseNames
from workers.net.mmsg import MmsgTransport
from workers.net.plain import PlainTransport
from workers.parts import civil_time
from workers.policy.hostset import UNASKED
from workers.session.admission import Admission
from workers.waiting import RETRY_NS, Waiting

pytestmark = both_paths
LATE_NS = SECOND_NS + ANSWER_NS + TICK_NS
CLIENT_HOST = address("127.0.0.1")


def named(pattern: str, rule: AclSettings, **conditions: object) -> AclSettings:
    """Return a rule for clients whose name fits a pattern only."""
    hosts = HostCondition(HostList((HostMember(HostPattern(pattern)),)))
    return AclSettings(rule.name, True, plug_to=rule.plug_to, kind=rule.kind, **{"sources": (hosts,), **conditions})


def answer(path: Datapath, name: str | None, now_ns: int = 0, host: str = "127.0.0.1") -> None:
    value = address(host).value.to_bytes(4)
    path.parts.knowledge.take(Looked(0, 4, value, name, 300), now_ns)
    path.settle(now_ns)


def test_a_name_is_asked_for_once_and_the_datagram_goes_on_with_the_answer(fast_path) -> None:
    with udp() as server, udp() as client, udp() as other:
        rule = named(r"\.good\.test$", forward_to(server.getsockname()))
        with datapath(rule, fast_path=fast_path) as path:
            client.sendto(b"first", path.to[0])
            other.sendto(b"second", path.to[0])
            path.settle()
            assert path.asked == [Lookup(0, 4, socket.inet_aton("127.0.0.1"))]
            assert waiting(server) == []
            answer(path, "pc.good.test")
            assert receive(server, 2) == [b"first", b"second"]
            assert [session.grant.client_name for session in path.sessions] == ["pc.good.test"] * 2
            assert {session.client[2:8] for session in path.sessions} == {
                raw_of(sock.getsockname()) for sock in (client, other)
            }
            client.sendto(b"more", path.to[0])
            path.settle()
            assert receive(server, 1) == [b"more"]
            assert len(path.asked) == 1


def raw_of(peer: Peer) -> bytes:
    return peer[1].to_bytes(2) + socket.inet_aton(peer[0])


@pytest.mark.parametrize("name", ["pc.bad.test", None])
def test_another_name_or_none_is_rejected(fast_path, name) -> None:
    with udp() as server, udp() as client:
        rule = named(r"\.good\.test$", forward_to(server.getsockname()))
        with datapath(rule, fast_path=fast_path) as path:
            client.sendto(b"x", path.to[0])
            path.settle()
            answer(path, name)
            assert path.drops_out == {DropReason.REJECTED: 1}
            client.sendto(b"y", path.to[0])
            path.settle()
            assert path.drops_out == {DropReason.REJECTED: 2}


def test_of_a_client_that_waits_everything_else_is_dropped_and_counted(fast_path) -> None:
    with (
        udp() as server,
        udp() as client,
        datapath(named("good", forward_to(server.getsockname())), fast_path=fast_path) as path,
    ):
        for payload in (b"one", b"two", b"three"):
            client.sendto(payload, path.to[0])
        path.settle()
        client.sendto(b"four", path.to[0])
        path.settle()
        assert path.drops_out == {DropReason.NAME_PENDING: 3}
        answer(path, "good")
        assert receive(server, 1) == [b"one"]
        assert waiting(server) == []


def test_of_a_train_the_first_datagram_is_kept(fast_path) -> None:
    with (
        udp() as server,
        udp() as client,
        datapath(named("good", forward_to(server.getsockname())), fast_path=fast_path) as path,
    ):
        send_train(client, [b"aaaa", b"bbbb", b"c"], path.to[0])
        path.settle()
        answer(path, "good")
        assert waiting(server) == [b"aaaa"]
        assert path.drops_out == {DropReason.NAME_PENDING: 2}


def test_what_comes_behind_an_ended_session_does_not_wait_with_the_wrong_payload(fast_path) -> None:
    """Of a run whose first datagrams an ended session has had, nothing is kept when a name is needed again."""
    known = iter(("good", "good"))

    def fickle(_address: Address) -> str | None:
        return next(known, UNASKED)

    with udp() as server, udp() as client:
        rule = replace(named("good", forward_to(server.getsockname())), limits=Limits(max_dgrams_out=1))
        with datapath(rule, fast_path=fast_path) as path:
            path.parts.engine.admission = Admission((rule,), civil_time, reverse=fickle)
            send_train(client, [b"1", b"2", b"3"], path.to[0])
            path.settle()
            assert waiting(server) == [b"1"]
            assert path.drops_out == {DropReason.LIMIT: 1, DropReason.NAME_PENDING: 1}
            answer(path, "good")
            assert waiting(server) == []


def test_an_answer_that_does_not_come_counts_as_none_in_the_end(fast_path) -> None:
    with udp() as server, udp() as client:
        anybody = forward_to(server.getsockname(), name="ANYBODY")
        with datapath(named("good", anybody), anybody, fast_path=fast_path) as path:
            client.sendto(b"patient", path.to[0])
            path.settle()
            assert path.parts.knowledge.tend(0) <= LATE_NS
            path.parts.knowledge.tend(LATE_NS)
            assert receive(server, 1) == [b"patient"]
            assert [session.terms.rule.name for session in path.sessions] == ["ANYBODY"]


def test_an_answer_goes_from_the_address_that_was_asked_on_a_wildcard_listener(fast_path) -> None:
    with udp() as server, udp() as client:
        rule = named("good", forward_to(server.getsockname()))
        with datapath(rule, hosts=("0.0.0.0",), fast_path=fast_path) as path:
            asked = ("127.9.8.7", path.to[0][1])
            client.sendto(b"where", asked)
            path.settle()
            answer(path, "good")
            payload, source = server.recvfrom(100)
            assert payload == b"where"
            server.sendto(b"here", source)
            path.settle()
            assert client.recvfrom(100) == (b"here", asked)


def test_a_second_name_may_be_needed_and_the_datagram_still_comes_back(fast_path) -> None:
    with udp() as server, udp() as client:
        hosts = HostCondition(HostList((HostMember(HostPattern("proxy")),)))
        rule = named("good", forward_to(server.getsockname()), destinations=(hosts,))
        with datapath(rule, hosts=("127.7.7.7",), fast_path=fast_path) as path:
            client.sendto(b"twice", path.to[0])
            path.settle()
            answer(path, "good")
            assert [question.value for question in path.asked] == [bytes((127, 0, 0, 1)), bytes((127, 7, 7, 7))]
            assert waiting(server) == []
            answer(path, "proxy.test", host="127.7.7.7")
            assert receive(server, 1) == [b"twice"]


def test_a_rule_that_needs_no_name_asks_for_none(fast_path) -> None:
    with udp() as server, udp() as client:
        known = AddressRange(4, CLIENT_HOST.value, CLIENT_HOST.value)
        hosts = HostCondition(HostList((HostMember(known), HostMember(HostPattern("good")))))
        rule = named("x", forward_to(server.getsockname()), sources=(hosts,))
        with datapath(rule, fast_path=fast_path) as path:
            client.sendto(b"at once", path.to[0])
            path.settle()
            assert receive(server, 1) == [b"at once"]
            assert path.asked == []


def test_what_waits_at_the_end_is_counted(fast_path) -> None:
    with (
        udp() as server,
        udp() as client,
        datapath(named("good", forward_to(server.getsockname())), fast_path=fast_path) as path,
    ):
        client.sendto(b"x", path.to[0])
        path.settle()
        path.parts.knowledge.give_up()
        assert path.drops_out == {DropReason.NAME_PENDING: 1}


def test_questions_that_find_no_room_are_asked_together_later(fast_path) -> None:
    class Fitful(LocalChannel):
        full = True

        def send(self, message) -> bool:
            return not self.full and super().send(message)

    rig = Rig(MmsgTransport if fast_path else PlainTransport)
    rig.load([b"x"])
    names: ReverseNames = ReverseNames(SECOND_NS)
    asked: list = []
    channel = Fitful(asked.append)
    with udp() as server, datapath(forward_to(server.getsockname()), fast_path=fast_path) as path:
        waits = Waiting(names, path.parts.engine, rig.transport, channel, 0)
        (listener,) = path.parts.listeners.values()
        assert waits.defer(listener, 1, 0, [1], CLIENT_HOST, 0)
        names.keep(b"another", address("::1"), None, 1, 0)
        assert list(names.questions) == [CLIENT_HOST, address("::1")]
        assert waits.tend(5) == 5 + RETRY_NS
        channel.full = False
        assert waits.tend(6) > 6 + RETRY_NS
        assert [question.version for question in asked] == [4, 6]
        waits.give_up()
        assert path.drops_out == {DropReason.NAME_PENDING: 2}
