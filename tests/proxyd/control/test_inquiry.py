from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyd.control.client import Connection, UnreachableError
from proxyd.control.inquiry import ask_explanation, ask_groups, ask_sessions, ask_state, ask_users, order_kill
from proxyd.control.protocol import (
    MAX_KILLS,
    NUMBER,
    AskExplain,
    AskKill,
    AskSessions,
    AskStatus,
    AskUsers,
    Done,
    Explanation,
    Groups,
    Listeners,
    Reply,
    Request,
    Rules,
    Slots,
    Users,
    Workers,
)
from proxyd.control.sessions import Session
from tests.proxyd.control.office import served
from tests.proxyd.control.scene import SESSION, state
from workers.contract.groups import GROUP
from workers.contract.slots import SLOT

STATE = state()
CLIENT = struct.pack("=H", socket.AF_INET) + struct.pack("!HI8x", 40000, 0x0A000007)
ASKED = AskExplain(bytes(4), 1, bytes(4), 2)


class Proxy:
    """Answers as a proxy with two messages of everything does, and remembers what it was told."""

    def __init__(self) -> None:
        self.kills: list[int] = []

    def answer(self, request: Request) -> Iterator[Reply]:
        match request:
            case AskStatus():
                yield STATE.proxy
                for worker in STATE.workers:
                    yield Workers([worker])
                yield Listeners(STATE.listeners)
                yield Rules(STATE.rules)
            case AskSessions():
                for slot in (4, 5):
                    fields = (1, 1, 0, 4, 0, *(10**9,) * 3, 0, *(0,) * 6, 0, 1, *(CLIENT,) * 4)
                    yield Slots(1, 2 * 10**9, NUMBER.pack(slot) + SLOT.pack(*fields))
            case AskExplain():
                yield Explanation("dropped", "so it is", None, None, None, None, None, [])
            case AskKill():
                self.kills.append(len(request.sessions))
        yield Done()


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


@pytest.fixture
def connection(proxy: Proxy, tmp_path: Path) -> Iterator[Connection]:
    with served(tmp_path / "x.ctl", proxy.answer) as path, Connection(path) as made:
        yield made


def test_a_state_is_put_together_of_its_messages(connection: Connection) -> None:
    assert ask_state(connection) == STATE


def test_sessions_are_read_by_the_proxys_own_rules_and_listeners(connection: Connection) -> None:
    found: list[Session] = list(ask_sessions(connection))
    assert [(session.worker, session.slot) for session in found] == [(1, 4), (1, 5)]
    assert (found[0].acl, found[0].listener, found[0].client) == ("A", "[192.0.2.10]:53", "[10.0.0.7]:40000")


def test_an_explanation_is_returned(connection: Connection) -> None:
    assert ask_explanation(connection, ASKED).reason == "so it is"


def test_many_sessions_are_killed_by_several_messages(proxy: Proxy, connection: Connection) -> None:
    order_kill(connection, [SESSION] * (MAX_KILLS + 1))
    assert proxy.kills == [MAX_KILLS, 1]
    order_kill(connection, [])
    assert proxy.kills == [MAX_KILLS, 1]


def test_an_answer_without_what_was_asked_for_is_an_error(tmp_path: Path) -> None:
    with served(tmp_path / "y.ctl", lambda _: iter((Done(),))) as path, Connection(path) as connection:
        with pytest.raises(UnreachableError):
            ask_state(connection)
        with pytest.raises(UnreachableError):
            ask_explanation(connection, ASKED)


def test_users_are_put_together_and_groups_come_the_oldest_first(tmp_path: Path) -> None:
    def answer(request: Request) -> Iterator[Reply]:
        if isinstance(request, AskUsers):
            yield Users("/f", 1.0, "", [(bytes(4), "ann", [])])
            yield Users("/f", 1.0, "", [(bytes(16), "bob", [])])
        else:
            for began in (3, 2):
                fields = (1, 3, 0, 0, began, *(0,) * 7, began * 10**9, *(0,) * 6, b"", b"", b"")
                yield Groups(0, 5 * 10**9, NUMBER.pack(0) + GROUP.pack(*fields))
        yield Done()

    with served(tmp_path / "x.ctl", answer) as path, Connection(path) as connection:
        assert [one.user for one in ask_users(connection).users] == ["ann", "bob"]
        assert [group.age_s for group in ask_groups(connection)] == [3.0, 2.0]


def test_a_proxy_that_says_nothing_of_users_is_told(tmp_path: Path) -> None:
    with (
        served(tmp_path / "x.ctl", lambda _: iter((Done(),))) as path,
        Connection(path) as connection,
        pytest.raises(UnreachableError),
    ):
        ask_users(connection)
