"""What a running proxy shows: records, users, and the way to a session's datagrams."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxyd.control import protocol
from proxyd.control.protocol import NUMBER, AskGroups, AskHits, AskTap, AskUsers, Done, Refused, Reply
from proxyd.daemon import sockets
from proxyd.daemon.asker import Asker
from proxyd.daemon.oob import UsersFile
from proxyd.daemon.showing import TAPS_A_SECOND, Showing, slot_records
from proxyd.daemon.spawn import Estate
from tests.proxyd.config.samples import ACTIONS, config, load
from tests.proxyd.control.office import Nowhere
from tests.proxyd.daemon.estates import an_estate
from workers.contract.groups import GROUP
from workers.contract.messages import Tap
from workers.contract.settings import AuthSettings
from workers.contract.slots import OPENED_OFFSET, Counter
from workers.contract.tallies import LINES, RULES, Rows, line_key, rule_key

ACLS = f"session-acl INSIDE {{ from {{ [10.0.0.0/8] }}; {ACTIONS} }} session-acl REST {{ deny; }}"
ASKED = AskTap(0, 1, 77, 10, 1000, 5)


@dataclass
class Chief:
    """Takes orders, and remembers them."""

    able: bool = True
    orders: list[tuple[int, Tap]] = field(default_factory=list)

    def tap(self, worker: int, order: Tap, lane: int) -> bool:
        os.fstat(lane)
        self.orders.append((worker, order))
        return self.able


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    """A proxy with one session, in slot 1 of worker 0."""
    with an_estate(tmp_path / "log", max_sessions=4, workers=2) as made:
        region = made.shared.regions[0]
        region.words[Counter.TOP] = 3
        start = region.offset(1)
        region.memory[start] = 1
        region.memory[start + OPENED_OFFSET : start + OPENED_OFFSET + 8] = (77).to_bytes(8, "little")
        yield made


def uftp(estate: Estate) -> Estate:
    return dataclasses.replace(estate, settings=dataclasses.replace(estate.settings, program="uftpproxyd"))


def told(replies: Iterator[Reply]) -> list[Reply]:
    """Return an answer, all of which can be sent."""
    found = list(replies)
    for reply in found:
        assert protocol.decode_reply(protocol.encode(reply)) == reply
    return found


def asker(sock: socket.socket | None) -> Asker:
    made = Asker(1, 0, frozenset())
    made.give(None if sock is None else sock.detach())
    return made


# --- tap -------------------------------------------------------------------------------------------------------------


def test_the_askers_socket_is_lent_to_the_worker_and_nobody_keeps_it(estate: Estate) -> None:
    chief = Chief()
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near:
        assert told(Showing(estate, chief).tap(ASKED, asker(far))) == [Done()]
        assert chief.orders == [(0, Tap(1, 77, 10, 1000, 5))]
        assert near.recv(1) == b""


@pytest.mark.parametrize(
    "request_",
    [AskTap(0, 1, 78, 1, 1, 1), AskTap(0, 2, 77, 1, 1, 1), AskTap(2, 1, 77, 1, 1, 1), AskTap(0, 1 << 60, 7, 1, 1, 1)],
    ids=["another began", "nobody there", "no worker", "no slot"],
)
def test_a_session_that_is_not_there_cannot_be_watched(estate: Estate, request_: AskTap) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near:
        assert told(Showing(estate, Chief()).tap(request_, asker(far))) == [Refused("there is no such session")]
        assert near.recv(1) == b""


def test_only_a_socket_that_never_makes_a_worker_wait_is_lent(estate: Estate) -> None:
    chief = Chief()
    readable, writable = os.pipe()
    others = socket.socket(socket.AF_INET, socket.SOCK_STREAM), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    for sock in (*others, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), None):
        (refusal,) = told(Showing(estate, chief).tap(ASKED, asker(sock)))
        assert isinstance(refusal, Refused)
    stranger = asker(None)
    stranger.give(writable)
    assert isinstance(told(Showing(estate, chief).tap(ASKED, stranger))[0], Refused)
    assert os.read(readable, 1) == b""
    os.close(readable)
    assert chief.orders == []


def test_who_asks_hears_that_the_worker_cannot_be_told_or_that_there_are_no_sessions(estate: Estate) -> None:
    for of, words in ((estate, "cannot be told now"), (uftp(estate), "has no sessions")):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with near:
            (refusal,) = told(Showing(of, Chief(able=False)).tap(ASKED, asker(far)))
            assert isinstance(refusal, Refused)
            assert words in refusal.why


def test_who_asks_without_end_does_not_keep_the_worker_busy(estate: Estate) -> None:
    chief = Chief()
    now = [5 * 10**9]
    showing = Showing(estate, chief, lambda: now[0])

    def ask() -> Reply:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with near:
            (reply,) = told(showing.tap(ASKED, asker(far)))
            return reply

    replies = [ask() for _ in range(TAPS_A_SECOND + 5)]
    assert [isinstance(reply, Done) for reply in replies] == [True] * TAPS_A_SECOND + [False] * 5
    assert len(chief.orders) == TAPS_A_SECOND
    now[0] += 10**9
    assert ask() == Done()


# --- records ---------------------------------------------------------------------------------------------------------


def test_open_slots_are_sent_with_their_numbers(estate: Estate) -> None:
    first, second = slot_records(estate, 20)
    region = estate.shared.regions[0]
    assert first.records == NUMBER.pack(1) + region.memory[region.offset(1) : region.offset(1) + 20]
    assert (first.worker, second.worker, second.records) == (0, 1, b"")


def test_what_rules_and_listeners_had_is_added_up_over_the_workers(estate: Estate) -> None:
    settings = dataclasses.replace(estate.settings, acls=load(config(acls=ACLS)).settings.acls)
    (line,) = settings.listeners
    place = line_key(sockets.raw_sockaddr(line), None, transparent=False)
    for number, region in enumerate(estate.shared.regions, 1):
        for area, key in ((RULES, rule_key("INSIDE", "normal")), (LINES, place)):
            start = Rows(region.words, area).claim((5, key))[key]
            for column in (1, 2, 3):
                region.words[start + column] = 10 * number + column
    rules, lines, done = told(Showing(dataclasses.replace(estate, settings=settings), Chief()).hits(AskHits()))
    assert rules == protocol.RuleHits([("INSIDE", 32, 34, 36), ("REST", 0, 0, 0)])
    assert lines == protocol.ListenerHits([(f"[{line.address}]:5300", 32, 34, 36)])
    assert done == Done()


def test_only_a_uftp_proxy_has_groups(estate: Estate) -> None:
    assert isinstance(told(Showing(estate, Chief()).groups(AskGroups()))[0], Refused)
    first, _, done = told(Showing(uftp(estate), Chief()).groups(AskGroups()))
    assert isinstance(first, protocol.Groups)
    assert (len(first.records), done) == (NUMBER.size + GROUP.size, Done())


# --- users -----------------------------------------------------------------------------------------------------------


def test_users_are_told_with_their_file_and_what_is_wrong_with_it(estate: Estate, tmp_path: Path) -> None:
    path = tmp_path / "users"
    users = UsersFile(AuthSettings("OOB", str(path)), Nowhere())
    showing = Showing(dataclasses.replace(estate, users=users), Chief())
    users.look(0)
    found, _ = told(showing.users(AskUsers()))
    assert found == protocol.Users(str(path), None, "No such file or directory", [])
    path.write_text("10.0.0.7\tann\tstaff,ops\n2001:db8::1\tbob\n")
    users.look(10**12)
    found, done = told(showing.users(AskUsers()))
    assert isinstance(found, protocol.Users)
    assert found.entries == [
        (bytes((10, 0, 0, 7)), "ann", ["ops", "staff"]),
        (bytes.fromhex("20010db8" + "0" * 23 + "1"), "bob", []),
    ]
    assert (found.complaint, done) == ("", Done())
    assert found.read_unix is not None


def test_a_proxy_without_a_file_of_users_says_so(estate: Estate) -> None:
    (refusal,) = told(Showing(estate, Chief()).users(AskUsers()))
    assert isinstance(refusal, Refused)
