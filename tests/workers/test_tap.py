"""Watched sessions: each datagram is copied whichever road it goes, nobody waits, and it costs the others nothing."""

from __future__ import annotations

import dis
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kit.datapath import Datapath, datapath
from tests.kit.traffic import UDP_GRO, both_paths, forward_to, numbered, send_train, udp, waiting
from workers.contract.messages import Tap
from workers.contract.settings import SessionKind
from workers.contract.slots import CloseReason
from workers.contract.tapping import ADDRESSES, LONGEST_NS, MAX_BYTES, Kind, Message, Way, decode
from workers.deadlines import NEVER
from workers.net.upstream import REST_NS
from workers.session.traffic import Traffic
from workers.sockets import LASTING_READS
from workers.tap import LOOK_NS, MAX_TAPS, Taps
from workers.wire import sockaddr

PLENTY = 1 << 30


class Scene:
    """A session between a client and a server, and somebody who watches it."""

    def __init__(self, path: Datapath, client: socket.socket, server: socket.socket) -> None:
        self.path = path
        self.client = client
        self.server = server
        self.taps = path.parts.outbound.taps
        client.sendto(b"question", path.to[0])
        path.settle()
        _, self.upstream = server.recvfrom(100)
        (self.session,) = path.sessions
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def watch(self, datagrams: int = PLENTY, size: int = PLENTY, span_ns: int = LONGEST_NS, now_ns: int = 0) -> None:
        """Begin a tap through the far end, which is the worker's from then on."""
        order = Tap(self.session.slot, self.session.opened_ns, datagrams, size, span_ns, self.far.detach())
        self.taps.begin(self.session, order, now_ns)

    def heard(self) -> list[Message]:
        """Return what came through the lane, up to its end if it has ended."""
        found: list[Message] = []
        while True:
            try:
                data = self.near.recv(MAX_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            if not data:
                return found
            found.append(decode(data))

    def copied(self) -> list[tuple[Way, bytes]]:
        """Return the datagrams among it."""
        return [(message.way, message.body) for message in self.heard() if message.kind is Kind.DATAGRAM]

    def close(self) -> None:
        self.near.close()
        self.far.close()


@contextmanager
def scene(fast_path: bool, kind: SessionKind = SessionKind.NORMAL) -> Iterator[Scene]:
    with (
        udp() as server,
        udp() as client,
        datapath(forward_to(server.getsockname(), kind), fast_path=fast_path) as path,
    ):
        one = Scene(path, client, server)
        try:
            yield one
        finally:
            one.close()


def ended(messages: list[Message]) -> str:
    """Return the reason in the last message, which says that the tap has ended."""
    assert messages[-1].kind is Kind.ENDED
    return messages[-1].body.decode()


# --- what is copied --------------------------------------------------------------------------------------------------


@both_paths
@pytest.mark.parametrize("way", ["singles", "run", "train"])
def test_what_a_client_sends_is_copied_and_goes_on(fast_path: bool, way: str) -> None:
    payloads = numbered(20, 100)
    with scene(fast_path) as one:
        one.watch()
        if way == "train":
            send_train(one.client, payloads, one.path.to[0])
        for payload in () if way == "train" else payloads:
            one.client.sendto(payload, one.path.to[0])
            if way == "singles":
                one.path.turn()
        one.path.settle()
        assert waiting(one.server) == payloads
        assert one.copied() == [(Way.OUT, payload) for payload in payloads]


@both_paths
@pytest.mark.parametrize("way", ["singles", "run", "train"])
def test_what_a_server_sends_is_copied_and_goes_on(fast_path: bool, way: str) -> None:
    payloads = numbered(20, 100)
    with scene(fast_path) as one:
        one.watch()
        if way == "train":
            one.session.deep, one.session.stretched = LASTING_READS, True
            one.session.sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
            send_train(one.server, payloads, one.upstream)
        for payload in () if way == "train" else payloads:
            one.server.sendto(payload, one.upstream)
            if way == "singles":
                one.path.turn()
        one.path.settle()
        assert waiting(one.client) == payloads
        assert one.copied() == [(Way.IN, payload) for payload in payloads]


@both_paths
def test_runs_of_several_clients_are_not_mixed_up(fast_path: bool) -> None:
    mine, others = numbered(10, 50, 1), numbered(10, 50, 2)
    with scene(fast_path) as one, udp() as other:
        one.watch()
        for first, second in zip(mine, others, strict=True):
            other.sendto(second, one.path.to[0])
            one.client.sendto(first, one.path.to[0])
        one.path.settle()
        assert one.copied() == [(Way.OUT, payload) for payload in mine]
        assert sorted(waiting(one.server)) == sorted(mine + others)


@both_paths
def test_a_session_that_looks_for_its_server_is_watched_before_and_after_it_is_found(fast_path: bool) -> None:
    with scene(fast_path, SessionKind.ANY_PORT) as one, udp() as answering:
        one.watch()
        for now_ns in (0, REST_NS, REST_NS + 1):
            answering.sendto(b"in %d" % now_ns, one.upstream)
            one.path.settle(now_ns)
            one.client.sendto(b"out %d" % now_ns, one.path.to[0])
            one.path.settle(now_ns)
        found = [message for message in one.heard() if message.kind is Kind.DATAGRAM]
        assert [message.body.split()[0] for message in found] == [b"in", b"out"] * 3
        host, port = answering.getsockname()
        raw = sockaddr.encode(sockaddr.decode(one.session.target)[0], port).ljust(28, b"\0")
        assert {message.peer for message in found} == {raw}
        assert host == "127.0.0.1"


def test_the_watcher_is_told_the_sessions_addresses_first() -> None:
    with scene(True) as one:
        one.watch(now_ns=5)
        (begun,) = one.heard()
        assert (begun.kind, begun.at_ns) == (Kind.BEGUN, 5)
        client, destination, local, server = ADDRESSES.unpack(begun.body)
        ports = [sockaddr.decode(raw[:16])[1] for raw in (client, destination, local, server)]
        assert ports == [one.client.getsockname()[1], one.path.to[0][1], one.upstream[1], one.server.getsockname()[1]]
        assert one.path.parts.journal.written


# --- how it ends -----------------------------------------------------------------------------------------------------


@both_paths
def test_a_tap_ends_after_as_many_as_were_asked_for_and_the_session_takes_the_quick_way_again(fast_path: bool) -> None:
    with scene(fast_path) as one:
        one.watch(datagrams=2)
        assert not one.session.simple
        for payload in numbered(5):
            one.client.sendto(payload, one.path.to[0])
        one.path.settle()
        assert one.taps.tend(LOOK_NS) == NEVER
        messages = one.heard()
        assert [message.kind for message in messages] == [Kind.BEGUN, Kind.DATAGRAM, Kind.DATAGRAM, Kind.ENDED]
        assert ended(messages) == "as many as were asked for"
        assert one.session.simple
        assert len(waiting(one.server)) == 5


@pytest.mark.parametrize(
    ("bounds", "at_ns", "reason"),
    [
        ({"size": 10}, LOOK_NS, "as many as were asked for"),
        ({"span_ns": LOOK_NS}, LOOK_NS, "the time is up"),
        ({"datagrams": 0}, LOOK_NS, "as many as were asked for"),
    ],
)
def test_a_tap_has_bounds(bounds: dict[str, int], at_ns: int, reason: str) -> None:
    with scene(True) as one:
        one.watch(**bounds)
        one.client.sendto(b"x" * 11, one.path.to[0])
        one.path.settle()
        one.taps.tend(at_ns)
        assert ended(one.heard()) == reason


def test_a_tap_ends_with_its_session() -> None:
    with scene(True) as one:
        one.watch()
        one.path.parts.engine.end(one.session, CloseReason.KILLED, 0)
        one.path.parts.sockets.close_ended(0)
        assert one.taps.tend(LOOK_NS) == NEVER
        assert ended(one.heard()) == "the session has ended"
        assert one.taps.sessions == {}


@pytest.mark.parametrize("word", ["closes", "speaks"])
def test_a_tap_ends_when_its_watcher_goes_or_says_anything(word: str) -> None:
    with scene(True) as one:
        one.watch()
        if word == "closes":
            one.near.close()
        else:
            one.near.send(b"stop")
        one.taps.tend(LOOK_NS)
        assert one.taps.sessions == {}


def test_nothing_is_looked_at_before_its_time() -> None:
    with scene(True) as one:
        assert one.taps.tend(0) == NEVER
        one.watch()
        one.near.close()
        assert one.taps.tend(LOOK_NS - 1) == LOOK_NS
        assert one.taps.sessions


@pytest.mark.parametrize("case", ["ended", "too many"])
def test_a_tap_that_cannot_begin_says_why(case: str) -> None:
    with scene(True) as one:
        lanes = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(MAX_TAPS + 1)]
        for _, far in lanes:
            order = Tap(0, 0, 1, 1, 1, far.detach())
            one.taps.begin(None if case == "ended" else one.session, order, 0)
        last = decode(lanes[-1][0].recv(MAX_BYTES))
        assert (last.kind, lanes[-1][0].recv(1)) == (Kind.ENDED, b"")
        wanted = {"ended": "there is no such session any more", "too many": "there are 4 taps in this worker already"}
        assert last.body.decode() == wanted[case]
        for near, _ in lanes:
            near.close()


def test_a_tap_without_a_lane_changes_nothing() -> None:
    with scene(True) as one:
        one.taps.begin(one.session, Tap(0, 0, 1, 1, 1), 0)
        assert one.taps.sessions == {}


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_a_watcher_that_never_reads_loses_what_has_no_room_and_delays_nobody() -> None:
    with scene(True) as one:
        one.watch()
        payloads = numbered(400, 4000)
        for start in range(0, len(payloads), 20):
            for payload in payloads[start : start + 20]:
                one.client.sendto(payload, one.path.to[0])
            one.path.settle()
            assert waiting(one.server) == payloads[start : start + 20]
        heard = one.heard()
        copied = [message.body for message in heard if message.kind is Kind.DATAGRAM]
        assert 0 < len(copied) < len(payloads)
        one.client.sendto(b"after", one.path.to[0])
        one.path.settle()
        (last,) = one.heard()
        assert last.lost == len(payloads) - len(copied)


def test_the_loops_of_the_fast_path_know_nothing_of_taps() -> None:
    """They cost what they cost without: a tapped session leaves them by a test that is there for others."""
    for method in (Traffic.pass_known_out, Traffic.pass_singles_in, Traffic.pass_out, Traffic.pass_in):
        assert not any("tap" in str(step.argval).lower() for step in dis.get_instructions(method))


def test_only_watched_sessions_leave_the_fast_path() -> None:
    with scene(True) as one, udp() as other:
        other.sendto(b"x", one.path.to[0])
        one.path.settle()
        one.watch()
        assert [session.simple for session in one.path.sessions if session is not one.session] == [True]


def test_a_lane_is_closed_with_the_last_of_its_owners() -> None:
    with scene(True) as one:
        number = one.far.fileno()
        one.watch(datagrams=0)
        one.taps.tend(LOOK_NS)
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(number)


def test_taps_begin_with_nothing_to_do() -> None:
    with scene(True) as one:
        assert Taps(one.path.parts.journal).tend(0) == NEVER
