"""What belongs to a session of this machine's: its socket, and its place in shared memory."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.kit.datapath import Datapath, datapath
from tests.kit.place import Namespace
from tests.kit.ports import free_port
from tests.kit.requirement import requires_namespaces, requires_root
from tests.kit.traffic import address, both_paths, forward_to, network_of_its_own, udp, waiting
from tests.kit.way import port_of
from tests.workers.net.rig import raw_of
from workers.contract.settings import AclSettings, Limits, SessionKind, SourceAddress, SourcePort, SourcePortMode
from workers.contract.slots import CloseReason, DropReason
from workers.deadlines import TICK_NS
from workers.net.interfaces import Interfaces
from workers.net.upstream import REST_NS, drops_of
from workers.session.session import Trail

pytestmark = both_paths
ONE_EACH = Limits(max_dgrams_out=1, max_dgrams_in=1)


def from_address(rule: AclSettings, host: str) -> AclSettings:
    """Return the rule with its server side bound to an address."""
    fields = {name: getattr(rule, name) for name in AclSettings.__dataclass_fields__}
    return AclSettings(**{**fields, "source_address": SourceAddress(addr4=address(host).value)})


def question(path: Datapath, server, client, payload: bytes = b"question") -> tuple[str, int]:
    """Take a client's datagram to the server; return where it came from."""
    client.sendto(payload, path.to[0])
    path.settle()
    received, upstream = server.recvfrom(65_536)
    assert received == payload
    return upstream


def flood(server, upstream: tuple[str, int]) -> None:
    """Send more than a socket with the least of buffers takes."""
    for _ in range(50):
        server.sendto(bytes(1000), upstream)


def test_a_session_is_found_by_its_socket_while_it_lasts(fast_path):
    with (
        udp() as server,
        udp() as client,
        datapath(forward_to(server.getsockname(), limits=ONE_EACH), fast_path=fast_path) as path,
    ):
        upstream = question(path, server, client)
        (session,) = path.sessions
        fd = session.sock.fileno()
        assert path.parts.sockets.sessions[fd] is session
        server.sendto(b"answer", upstream)
        path.turn()
        assert path.parts.sockets.sessions[fd] is None
        assert session.sock is None


@pytest.mark.parametrize("forced_by", ["rule", "proxy", "rule over proxy"])
def test_the_server_sees_the_source_address_that_is_configured(fast_path, forced_by):
    with udp() as server, udp() as client:
        rule = forward_to(server.getsockname(), limits=ONE_EACH)
        if forced_by != "proxy":
            rule = from_address(rule, "127.0.0.9")
        host = "127.0.0.8" if forced_by == "rule over proxy" else "127.0.0.9"
        everywhere = None if forced_by == "rule" else SourceAddress(addr4=address(host).value)
        with datapath(rule, fast_path=fast_path, source_address=everywhere) as path:
            upstream = question(path, server, client)
            assert upstream[0] == "127.0.0.9"
            (session,) = path.sessions
            sock = session.sock
            server.sendto(b"answer", upstream)
            path.turn()
            assert sock.fileno() == -1, "a bound socket serves nobody else"
            assert client.recv(100) == b"answer"


def test_a_source_address_that_is_not_ours_costs_the_datagram_and_is_named(fast_path):
    with udp() as server, udp() as client:
        rule = from_address(forward_to(server.getsockname()), "192.0.2.250")
        with datapath(rule, fast_path=fast_path, max_sessions=1) as path:
            for _ in range(3):
                client.sendto(b"x", path.to[0])
                path.turn()
            assert path.drops_out == {DropReason.SETUP: 3}
            assert [record.fields[2] for record in path.logged("session-failed")] == ["bind"] * 3
            assert path.sessions == []


@requires_namespaces
def test_a_target_without_a_route_costs_the_datagram_and_is_named(fast_path):
    with (
        network_of_its_own() as place,
        udp(place=place) as client,
        datapath(forward_to(("192.0.2.1", 9)), place=place, fast_path=fast_path) as path,
    ):
        client.sendto(b"x", path.to[0])
        place.call(path.turn)
        assert path.drops_out == {DropReason.SETUP: 1}
        assert [record.fields[2] for record in path.logged("session-failed")] == ["connect"]


@dataclass(frozen=True)
class Uplink:
    """A network of its own in which the way to the server leads from one address of ours, that may change."""

    place: Namespace
    here: str
    there: str
    server: str

    def lead_from(self, address: str) -> None:
        """Have the only address towards the server, and the route, or none where it is empty."""
        bits = 128 if ":" in self.server else 32
        commands = [f"addr flush dev lo to {old}/{bits}" for old in (self.here, self.there)]
        if address:
            commands += [f"addr add {address}/{bits} dev lo" + " nodad" * (bits == 128)]
            commands += [f"route replace local {self.server} dev lo src {address}"]
        self.place.configure(commands)
        if not address and bits == 128:  # Over IPv4 it has gone with the address.
            self.place.configure([f"route del local {self.server} dev lo"])


@contextlib.contextmanager
def uplink(version: int) -> Iterator[Uplink]:
    names = {4: ("10.5.0.1", "10.5.0.2", "10.9.0.1"), 6: ("fd00:5::1", "fd00:5::2", "fd00:9::1")}[version]
    with network_of_its_own() as place:
        place.run(["sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1"])  # As IPv4 knows addresses of local routes for ours.
        found = Uplink(place, *names)
        found.lead_from(found.here)
        yield found


def asked_from(path: Datapath, way: Uplink, client, server) -> tuple[str, int]:
    """Send a question and its answer; return where the server saw it come from."""
    client.sendto(b"question", path.to[0])
    way.place.call(path.turn)
    _, sender = server.recvfrom(100)
    server.sendto(b"answer", sender)
    way.place.call(path.turn)
    assert client.recv(100) == b"answer"
    return sender[:2]


@requires_namespaces
@pytest.mark.parametrize("version", [4, 6])
def test_a_session_goes_on_from_another_address_when_its_own_is_lost(fast_path, version):
    with (
        uplink(version) as way,
        udp(way.server, place=way.place) as server,
        udp(place=way.place) as client,
        datapath(forward_to((way.server, port_of(server))), place=way.place, fast_path=fast_path) as path,
        contextlib.closing(way.place.call(Interfaces)) as known,
    ):
        path.parts.sockets.follow(known.table)
        assert asked_from(path, way, client, server)[0] == way.here
        for address in ("", way.there):
            way.lead_from(address)
            known.learn()
            if version == 6:  # The kernel would send from the lost one for good.
                way.place.call(lambda: path.parts.sockets.follow(known.table))
        assert asked_from(path, way, client, server)[0] == way.there
        assert path.drops_out == {}


@requires_namespaces
def test_a_session_keeps_its_port_while_there_is_no_way_to_its_server(fast_path):
    with (
        uplink(4) as way,
        udp(way.server, place=way.place) as server,
        udp(place=way.place) as client,
        datapath(forward_to((way.server, port_of(server))), place=way.place, fast_path=fast_path) as path,
    ):
        before = asked_from(path, way, client, server)
        way.lead_from("")
        client.sendto(b"lost", path.to[0])
        way.place.call(path.turn)
        assert path.drops_out == {DropReason.SEND_FAILED: 1}
        way.lead_from(way.here)
        assert asked_from(path, way, client, server) == before


@pytest.mark.parametrize("kind", [SessionKind.NORMAL, SessionKind.ONE_WAY])
def test_an_ended_sessions_socket_serves_the_next_one_after_a_rest_and_hears_nothing_of_the_old(fast_path, kind):
    with udp() as server, udp() as client, udp() as other:
        limits = Limits(both_ns=1_000)
        with datapath(forward_to(server.getsockname(), kind, limits=limits), fast_path=fast_path) as path:
            upstream = question(path, server, client)
            (session,) = path.sessions
            fd = session.sock.fileno()
            path.parts.engine.expire(1 << 30)
            path.parts.sockets.close_ended(1 << 30)
            server.sendto(b"late", ("127.0.0.1", upstream[1]))
            path.settle((1 << 30) + REST_NS)
            other.sendto(b"question", path.to[0])
            path.turn((1 << 30) + REST_NS)
            (successor,) = path.sessions
            assert server.recvfrom(100)[0] == b"question"
            assert (successor.sock.fileno() == fd) is fast_path or not fast_path
            path.settle((1 << 30) + REST_NS)
            assert waiting(client) + waiting(other) == []
            assert path.parts.stats.received_in == 0


def test_a_session_that_has_been_given_a_descriptor_is_not_drained(fast_path):
    with udp() as server, udp() as client, datapath(forward_to(server.getsockname()), fast_path=fast_path) as path:
        upstream = question(path, server, client)
        server.sendto(b"answer", upstream)
        (session,) = path.sessions
        path.parts.sockets.drain(session.sock.fileno())
        path.turn()
        assert client.recv(100) == b"answer"


def test_the_next_session_in_a_slot_is_answered_at_its_own_client(fast_path):
    with (
        udp() as server,
        udp() as one,
        udp() as other,
        datapath(forward_to(server.getsockname(), limits=ONE_EACH), fast_path=fast_path) as path,
    ):
        for client in (one, other, one):
            upstream = question(path, server, client)
            (session,) = path.sessions
            assert session.slot == 0
            server.sendto(b"answer", upstream)
            path.turn()
            assert client.recv(100) == b"answer"
        assert waiting(one) + waiting(other) == []


@pytest.mark.parametrize("lasting", [False, True])
def test_when_a_server_has_answered_is_noted_however_short_the_session_was(fast_path, lasting):
    with (
        udp() as server,
        udp() as client,
        datapath(forward_to(server.getsockname(), limits=ONE_EACH), fast_path=fast_path) as path,
    ):
        upstream = question(path, server, client)
        (session,) = path.sessions
        if lasting:
            path.tend(TICK_NS)
        server.sendto(b"answer", upstream)
        path.turn(2 * TICK_NS)
        assert path.sessions == []
        assert session.terms.tally.answered_ns == 2 * TICK_NS


def test_a_server_that_answers_to_a_listener_is_not_taken_for_one_of_many_new_clients(fast_path):
    with (
        udp() as server,
        udp() as one,
        udp() as two,
        udp() as three,
        udp() as other,
        datapath(forward_to(server.getsockname()), fast_path=fast_path) as path,
    ):
        for client in (one, two, three):
            question(path, server, client)
        path.parts.engine.end_all(CloseReason.KILLED, 0)
        path.parts.sockets.close_ended(0)
        question(path, server, one)
        (session,) = path.sessions
        # As a session with a forced source port, whose server is the other one.
        session.trail, session.target = Trail(), raw_of(other)
        path.parts.engine.trails.share(session, session.destination)
        other.sendto(b"answer", path.to[0])
        for client in (two, three):
            client.sendto(b"question", path.to[0])
        path.settle(REST_NS)
        assert len(path.sessions) == 3
        assert one.recv(100) == b"answer"


@requires_root
def test_what_a_socket_of_several_sessions_has_lost_is_counted_once(fast_path):
    with udp() as server, udp("127.0.0.5") as first, udp("127.0.0.5") as second, udp("127.0.0.5") as third:
        rule = replace(
            forward_to(server.getsockname(), SessionKind.ANY_PORT),
            source_address=SourceAddress(client=True),
            source_port=SourcePort(SourcePortMode.FORCE, free_port()),
        )
        with datapath(rule, fast_path=fast_path) as path:
            sockets = path.parts.sockets
            upstream = question(path, server, first)
            question(path, server, second)
            session, other = path.sessions
            shared = other.sock
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            flood(server, upstream)
            sockets.look_for_losses([session])
            flood(server, upstream)
            third.sendto(b"question", path.to[0])
            path.settle()
            assert [one.sock for one in path.sessions] == [shared] * 3
            path.parts.engine.end(session, CloseReason.KILLED, 0)
            sockets.close_ended(0)
            sockets.look_for_losses([other])
            assert sockets.take_lost() == drops_of(shared) > 0
