"""Sessions in shared memory: what the datapath sends to at once, the rest when a session has lived for a moment.

What goes to the parent with them is in test_custodian, what a replacement makes of it in test_adoption.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.kit.session_parts import PROXY, SECOND, client, rule, server, sock6
from workers.contract.settings import SessionKind
from workers.contract.slots import SLOT, SOCKADDR_BYTES, Counter, Region
from workers.keeper import TARGET_OFFSET, Keeper
from workers.session.session import Session, Terms, Trail

T0 = 5 * SECOND
RULES = {"R": 0, "S": 4}
STATE, KIND, FLAGS, SIDE, LISTENER, OPENED, LAST_IN, LAST_OUT, CHECK = range(9)
DGRAMS_IN, DGRAMS_OUT, BYTES_IN, BYTES_OUT, RECEIVED_IN, RECEIVED_OUT, RULE, GENERATION = range(9, 17)
CLIENT, DESTINATION, TARGET, LOCAL = range(17, 21)


@pytest.fixture
def region() -> Iterator[Region]:
    made = Region.create("test keeper", 4)
    yield made
    made.unmap()


@pytest.fixture
def keeper(region: Region) -> Keeper:
    return Keeper(region, RULES, 0x1_0002)


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        yield made


def session(upstream: socket.socket | None, slot: int = 2, *, one_way: bool = False) -> Session:
    kind = SessionKind.ONE_WAY if one_way else SessionKind.NORMAL
    terms = Terms.of(rule("S", kind=kind, both_ns=9 * SECOND))
    made = Session(terms, T0, slot, 7)
    made.listener, made.key, made.client, made.destination, made.target = 3, b"key", client(1), PROXY, server()
    made.transparent = False
    made.sock = upstream
    return made


def slot_of(region: Region, slot: int) -> tuple[object, ...]:
    return SLOT.unpack_from(region.memory, region.offset(slot))


def padded(raw: bytes) -> bytes:
    return raw.ljust(SOCKADDR_BYTES, b"\0")


def swept(keeper: Keeper, kept: Session, now_ns: int) -> None:
    keeper.begin_sweep(now_ns)
    keeper.sweep([kept])
    keeper.end_sweep()


def test_a_greeted_clients_address_lies_where_it_is_said_to(region: Region, keeper: Keeper) -> None:
    made = session(None)
    keeper.greet([made])
    at = made.client_at
    assert region.memory[at : at + 16] == client(1)
    assert slot_of(region, 2)[CLIENT] == padded(client(1))
    assert slot_of(region, 2)[STATE] == 0


@pytest.mark.parametrize("one_way", [True, False])
def test_the_target_is_needed_where_the_socket_is_not_connected(region: Region, keeper: Keeper, one_way: bool) -> None:
    keeper.greet([session(None, one_way=one_way)])
    at = keeper.target_offset(2)
    assert at == region.offset(2) + TARGET_OFFSET
    assert region.memory[at : at + 16] == (server() if one_way else bytes(16))


def test_an_ipv6_address_fits(region: Region, keeper: Keeper) -> None:
    made = session(None)
    made.client = sock6(1 << 127, 9)
    keeper.greet([made])
    at = made.client_at
    assert region.memory[at : at + 28] == made.client


def test_a_session_that_has_lived_for_a_moment_gets_its_whole_slot(
    region: Region, keeper: Keeper, upstream: socket.socket
) -> None:
    made = session(upstream)
    keeper.greet([made])
    made.dgrams_in_left -= 2
    made.dgrams_out_left -= 3
    made.bytes_in_left -= 20
    made.bytes_out_left -= 30
    made.wasted_in, made.wasted_out = 1, 4
    made.last_in_ns, made.last_out_ns = T0 + 1, T0 + 2
    keeper.keep([made])
    found = slot_of(region, 2)
    assert (found[STATE], found[KIND], found[SIDE], found[LISTENER]) == (1, 1, 4, 3)
    assert found[OPENED : CHECK + 1] == (T0, T0 + 1, T0 + 2, T0 + 9 * SECOND)
    assert found[DGRAMS_IN : RECEIVED_OUT + 1] == (2, 3, 20, 30, 21, 34)
    assert (found[RULE], found[GENERATION]) == (4, 2)
    assert found[CLIENT : TARGET + 1] == (padded(client(1)), padded(PROXY), padded(server()))
    port = upstream.getsockname()[1]
    assert found[LOCAL] == padded(b"\2\0" + port.to_bytes(2, "big") + bytes((127, 0, 0, 1)))
    assert region.words[Counter.TOP] == 3


def test_a_slot_says_who_answered_and_that_nobody_else_counts(
    region: Region, keeper: Keeper, upstream: socket.socket
) -> None:
    made = session(upstream)
    made.terms, made.transparent = Terms.of(rule("S", kind=SessionKind.ANY_PORT)), True
    made.trail, made.connected = Trail(), False
    keeper.greet([made])
    keeper.keep([made])
    assert (slot_of(region, 2)[FLAGS], slot_of(region, 2)[TARGET]) == (1, padded(server()))
    made.trail.fixed, made.target = True, server(1, 99)
    keeper.retarget(made)
    assert (slot_of(region, 2)[FLAGS], slot_of(region, 2)[TARGET]) == (3, padded(server(1, 99)))


def test_a_session_younger_than_a_moment_costs_no_slot(region: Region, keeper: Keeper, upstream: socket.socket) -> None:
    made = session(upstream)
    keeper.greet([made])
    swept(keeper, made, T0 + SECOND)
    assert slot_of(region, 2)[STATE] == 0
    assert region.words[Counter.TOP] == 0


def test_a_session_that_has_lost_its_socket_is_left_out(region: Region, keeper: Keeper) -> None:
    keeper.keep([session(None)])
    swept(keeper, session(None), T0 + SECOND)
    assert slot_of(region, 2)[STATE] == 0


def test_what_traffic_changes_is_written_again(region: Region, keeper: Keeper, upstream: socket.socket) -> None:
    made = session(upstream)
    keeper.keep([made])
    made.dgrams_out_left -= 5
    made.last_out_ns = T0 + SECOND + 1
    swept(keeper, made, T0 + 2 * SECOND)
    assert slot_of(region, 2)[DGRAMS_OUT] == 5
    made.dgrams_in_left -= 6
    made.last_in_ns = T0 + 2 * SECOND + 1
    swept(keeper, made, T0 + 3 * SECOND)
    assert slot_of(region, 2)[DGRAMS_IN : DGRAMS_OUT + 1] == (6, 5)


def test_traffic_during_a_sweep_is_written_by_the_next_one(
    region: Region, keeper: Keeper, upstream: socket.socket
) -> None:
    made = session(upstream)
    keeper.keep([made])
    keeper.begin_sweep(T0 + SECOND)
    keeper.sweep([made])
    keeper.end_sweep()
    made.dgrams_out_left -= 1
    made.last_out_ns = T0 + SECOND
    swept(keeper, made, T0 + 2 * SECOND)
    assert slot_of(region, 2)[DGRAMS_OUT] == 1


def test_an_idle_session_is_not_written_again(region: Region, keeper: Keeper, upstream: socket.socket) -> None:
    made = session(upstream)
    keeper.keep([made])
    for second in (1, 2):
        swept(keeper, made, T0 + second * SECOND)
    made.dgrams_out_left -= 1
    swept(keeper, made, T0 + 3 * SECOND)
    assert slot_of(region, 2)[DGRAMS_OUT] == 0


def test_a_cleared_slot_is_free_and_serves_again(region: Region, keeper: Keeper, upstream: socket.socket) -> None:
    made = session(upstream)
    keeper.keep([made])
    keeper.clear([made])
    assert slot_of(region, 2)[STATE] == 0
    later = session(upstream)
    later.client = client(9)
    keeper.greet([later])
    keeper.keep([later])
    assert slot_of(region, 2)[STATE] == 1
    assert slot_of(region, 2)[CLIENT] == padded(client(9))
    assert region.words[Counter.TOP] == 3


def test_a_slot_never_written_may_be_cleared(region: Region, keeper: Keeper) -> None:
    keeper.clear([session(None)])
    assert slot_of(region, 2)[STATE] == 0


def test_whoever_reads_knows_since_when_something_may_be_missing(
    region: Region, keeper: Keeper, upstream: socket.socket
) -> None:
    keeper.keep([session(upstream)])
    keeper.begin_sweep(T0)
    assert region.words[Counter.SWEPT] == T0
    keeper.end_sweep()
    keeper.begin_sweep(T0 + SECOND)
    assert region.words[Counter.SWEPT] == T0
    keeper.end_sweep()
    assert region.words[Counter.SWEPT] == T0 + SECOND


def test_the_newest_answer_of_a_rules_servers_is_known_whether_sessions_last_or_not(
    region: Region, keeper: Keeper, upstream: socket.socket
) -> None:
    lasting, ended = session(upstream, 1), session(None, 2)
    tally = lasting.terms.tally
    object.__setattr__(ended.terms, "tally", tally)
    keeper.keep([lasting])
    swept(keeper, lasting, T0 + SECOND)
    keeper.clear([ended])
    assert tally.answered_ns == 0
    first_ns = lasting.last_in_ns = T0 + SECOND + 5
    swept(keeper, lasting, T0 + 2 * SECOND)
    assert tally.answered_ns == first_ns
    for last_in_ns, newest_ns in ((first_ns + 4, first_ns + 4), (first_ns + 2, first_ns + 4)):
        ended.last_in_ns = last_in_ns
        keeper.clear([ended])
        assert tally.answered_ns == newest_ns


def test_a_frozen_slot_misses_nothing(region: Region, keeper: Keeper, upstream: socket.socket) -> None:
    made = session(upstream)
    keeper.keep([made])
    for second in (1, 2):
        swept(keeper, made, T0 + second * SECOND)
    made.dgrams_out_left -= 1
    assert keeper.freeze([made])
    assert slot_of(region, 2)[DGRAMS_OUT] == 1
    assert region.words[Counter.SWEPT] == 0


def test_a_resumed_session_has_its_listeners_index_here_and_all_else_as_it_was(
    region: Region, keeper: Keeper, upstream: socket.socket
) -> None:
    made = session(upstream)
    keeper.keep([made])
    before = slot_of(region, 2)
    made.listener = 0
    keeper.resume(made)
    assert slot_of(region, 2) == (*before[:LISTENER], 0, *before[LISTENER + 1 :])
    assert region.memory[made.client_at : made.client_at + 16] == client(1)


def test_slots_that_are_not_gone_on_with_are_free_and_those_that_cannot_be_are_passed_over(
    region: Region, keeper: Keeper, upstream: socket.socket
) -> None:
    keeper.keep([session(upstream)])
    keeper.disown([2, -1, 4, 1 << 40])
    assert slot_of(region, 2)[STATE] == 0
