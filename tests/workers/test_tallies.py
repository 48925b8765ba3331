"""Counters by rule and listener, and of turns: what is published is what happened, over generations of workers."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.kit.datapath import Datapath, datapath
from tests.kit.session_parts import rule
from tests.kit.traffic import forward_to, udp
from workers.contract.settings import Limits, Settings
from workers.contract.slots import HEADER_BYTES, Counter
from workers.contract.tallies import LAG_BOUNDS_NS, LINES, NO_RULE, RULES, TARGETS, Rows, rule_key, target_key
from workers.net.upstream import REST_NS
from workers.stats import Stats
from workers.tallies import RULES_NS, Intake, Lag, Tallies

BUSY_CLIENTS = 20


def words() -> memoryview:
    return memoryview(bytearray(HEADER_BYTES)).cast("Q")


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with udp() as sock:
        yield sock


def rows_of(path: Datapath, header: memoryview, settings: Settings) -> Tallies:
    return Tallies(header, settings, path.parts.stats, list(path.parts.listeners.values()))


def send_from(path: Datapath, clients: int, to: int = 0, now_ns: int = 0) -> None:
    """Send a datagram from each of so many new clients, all of which the datapath then takes together."""
    socks = [udp() for _ in range(clients)]
    for sock in socks:
        sock.sendto(b"12345", path.to[to])
        sock.close()
    path.settle(now_ns)


def test_a_search_is_counted_for_the_rule_that_decided_it(server: socket.socket) -> None:
    with datapath(forward_to(server.getsockname(), limits=Limits(max_dgrams_out=1))) as path:
        send_from(path, 3)
        tally = path.parts.stats.rules["ALL"]
        assert (tally.accepted, tally.rejected, tally.unopened) == (3, 0, 0)
        assert path.parts.stats.sessions_opened == 3


def test_sessions_that_are_opened_together_are_counted_as_those_opened_alone(server: socket.socket) -> None:
    with datapath(forward_to(server.getsockname(), limits=Limits(max_dgrams_out=1, max_dgrams_in=0)), level=3) as path:
        send_from(path, BUSY_CLIENTS)
        send_from(path, BUSY_CLIENTS, now_ns=2 * REST_NS)
        stats = path.parts.stats
        assert stats.rules["ALL"].accepted == stats.sessions_opened == 2 * BUSY_CLIENTS


def test_what_a_rule_denies_and_what_none_decides_is_rejected() -> None:
    with datapath(rule("NO", accept=False)) as path:
        send_from(path, 2)
        assert path.parts.stats.rules["NO"].rejected == 2
    with datapath() as path:
        send_from(path, 1)
        assert path.parts.stats.rules[NO_RULE].rejected == 1


def test_a_session_that_finds_no_room_is_accepted_and_not_opened(server: socket.socket) -> None:
    with datapath(forward_to(server.getsockname()), max_sessions=2) as path:
        send_from(path, 3)
        tally = path.parts.stats.rules["ALL"]
        assert tally.accepted - tally.unopened == path.parts.stats.sessions_opened == 2


def test_published_rows_go_on_where_the_predecessor_ended(server: socket.socket) -> None:
    header = words()
    for _ in range(2):
        with datapath(forward_to(server.getsockname())) as path:
            tallies = rows_of(path, header, path.settings)
            send_from(path, 3)
            tallies.publish(0)
            tallies.publish(RULES_NS)
    kind = path.settings.acls[0].kind.value
    assert Rows(header, RULES).read()[rule_key("ALL", kind)][1:] == (6, 0, 0)


def heard_of(path: Datapath, header: memoryview) -> tuple[int, ...]:
    """Return when the server that the one rule plugs to has answered last, and was last refused."""
    plug_to = path.settings.acls[0].plug_to
    assert plug_to is not None
    return Rows(header, TARGETS).read()[target_key(plug_to)][1:]


def test_the_newest_answer_and_refusal_of_a_server_are_kept_over_generations_of_workers(server: socket.socket) -> None:
    header = words()
    with datapath(forward_to(server.getsockname(), limits=Limits(max_dgrams_out=1, max_dgrams_in=1))) as path:
        tallies = rows_of(path, header, path.settings)
        send_from(path, 1, now_ns=50)
        tallies.publish(RULES_NS)
        assert heard_of(path, header) == (0, 0)
        server.sendto(b"answer", server.recvfrom(100)[1])
        path.settle(80)
        tallies.publish(2 * RULES_NS)
        assert heard_of(path, header) == (80, 0)
        server.close()
        path.parts.journal.now_ns = 90
        send_from(path, 1, now_ns=90)
        path.settle(90)
        tallies.publish(3 * RULES_NS)
        assert heard_of(path, header) == (80, 90)
    # The next worker begins with nothing, and takes nothing back.
    rows_of(path, header, path.settings).publish(RULES_NS)
    assert heard_of(path, header) == (80, 90)


def test_each_listener_has_what_it_received(server: socket.socket) -> None:
    header = words()
    with datapath(forward_to(server.getsockname()), hosts=("127.0.0.1", "127.0.0.2", "127.0.0.3")) as path:
        tallies = rows_of(path, header, path.settings)
        path.hear = tallies.intake.follow(path.parts.outbound.handle)
        for listener, clients in ((0, 2), (1, 5), (0, 1)):
            send_from(path, clients, listener)
        tallies.publish(0)
    assert [row[1:] for row in Rows(header, LINES).read().values()] == [(3, 15, 0), (5, 25, 0), (0, 0, 0)]


def test_one_listener_alone_costs_nothing_and_has_everything(server: socket.socket) -> None:
    header = words()
    with datapath(forward_to(server.getsockname())) as path:
        tallies = rows_of(path, header, path.settings)
        assert tallies.intake.follow(path.parts.outbound.handle) == path.parts.outbound.handle
        send_from(path, 4)
        tallies.publish(0)
    assert [row[1:] for row in Rows(header, LINES).read().values()] == [(4, 20, 0)]


def test_what_is_counted_after_turning_to_a_listener_is_on_its_account() -> None:
    stats = Stats()
    intake = Intake(stats, 3)
    stats.received_out, stats.bytes_out = 3, 30
    intake.turn_to(1)
    stats.received_out, stats.bytes_out = 5, 70
    intake.turn_to(1)
    stats.received_out = 6
    intake.turn_to(2)
    intake.turn_to(0)
    stats.received_out = 10
    assert intake.accounts() == [[7, 30], [3, 40], [0, 0]]


def test_turns_are_counted_by_how_long_they_took() -> None:
    header = words()
    for _ in range(2):
        lag = Lag(header)
        for turn_ns in (0, LAG_BOUNDS_NS[0], LAG_BOUNDS_NS[0] + 1, 10**12):
            lag.note(turn_ns)
        lag.publish()
    counts = list(header[Counter.LAG : Counter.LAG + len(LAG_BOUNDS_NS) + 1])
    assert (counts[0], counts[1], counts[-1], sum(counts)) == (4, 2, 2, 8)
    assert header[Counter.LAG_NS] == 2 * (2 * LAG_BOUNDS_NS[0] + 1 + 10**12)


def test_a_new_worker_has_counted_nothing() -> None:
    assert not Stats().rules
