"""What sessions are found by beside their client: aliases, shared sources, echoes; and that nothing of it is left."""

from __future__ import annotations

import pytest

from tests.kit.session_parts import PROXY, SECOND, client, rule, server
from tests.kit.traffic import address
from workers.contract.settings import SessionKind, SourcePort, SourcePortMode
from workers.session.session import FlowKey, Session, Terms
from workers.session.trails import Trails, counts
from workers.wire import sockaddr

LOCAL_SOCK = client(1)
KINDS = {
    SessionKind.NORMAL: [True, False, False],
    SessionKind.ONE_WAY: [True, True, False],
    SessionKind.ANY_PORT: [True, True, False],
    SessionKind.ANY_SOCK: [True, True, True],
    SessionKind.BROADCAST: [True, True, True],
}
"""Whether the server itself counts, its other ports, and other hosts."""


def session(kind: SessionKind = SessionKind.ANY_SOCK, number: int = 1, key: FlowKey = b"key") -> Session:
    made = Session(Terms.of(rule(kind=kind, source_port=SourcePort(SourcePortMode.CLIENT))), SECOND, 0, 1)
    made.listener, made.key, made.client, made.destination = 0, key, client(1), PROXY
    made.target = server(number)
    return made


def trails() -> tuple[Trails, dict[FlowKey, Session]]:
    table: dict[FlowKey, Session] = {}
    return Trails((table,)), table


@pytest.mark.parametrize("kind", KINDS)
def test_who_counts_depends_on_the_kind_k30_to_k47(kind: SessionKind) -> None:
    found = session(kind)
    assert [counts(found, source) for source in (server(), server(1, 99), server(2))] == KINDS[kind]


@pytest.mark.parametrize("kind", [SessionKind.ANY_SOCK, SessionKind.BROADCAST])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::ffff:192.0.2.9"])
def test_no_answer_counts_whose_sender_is_no_host(kind: SessionKind, host: str) -> None:
    assert not counts(session(kind), sockaddr.encode(address(host), 7))


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_to_a_shared_source_finds_its_session_k24_k51(kind: SessionKind) -> None:
    known, _ = trails()
    found = session(kind)
    known.share(found, LOCAL_SOCK)
    senders = (server(), server(1, 99), server(2))
    assert [known.find(LOCAL_SOCK, source) is found for source in senders] == KINDS[kind]
    assert known.find(client(2), server()) is None


@pytest.mark.parametrize("kind", [SessionKind.ANY_PORT, SessionKind.ANY_SOCK])
def test_after_the_first_answer_only_its_sender_counts_k36_k38_k39(kind: SessionKind) -> None:
    known, _ = trails()
    found = session(kind)
    known.share(found, LOCAL_SOCK)
    known.fix(found, server(1, 99))
    assert found.fixed
    assert found.target == server(1, 99)
    for source in (server(), server(1, 98), server(2)):
        assert not counts(found, source)
        assert known.find(LOCAL_SOCK, source) is None
    assert known.find(LOCAL_SOCK, server(1, 99)) is found


def test_of_sessions_that_share_a_source_the_one_that_fits_best_has_the_answer() -> None:
    known, _ = trails()
    anybody, host, exact = session(number=2), session(SessionKind.ANY_PORT), session(SessionKind.NORMAL)
    for found in (exact, host, anybody):
        known.share(found, LOCAL_SOCK)
    assert known.find(LOCAL_SOCK, server()) is exact
    assert known.find(LOCAL_SOCK, server(1, 99)) is host
    assert known.find(LOCAL_SOCK, server(3)) is anybody


def test_an_answer_of_a_host_that_was_asked_is_its_sessions_though_a_newer_one_would_take_anybodys_k24_k39() -> None:
    known, _ = trails()
    older, newer = session(number=1), session(number=2)
    known.share(older, LOCAL_SOCK)
    known.share(newer, LOCAL_SOCK)
    assert known.find(LOCAL_SOCK, server(1, 99)) is older
    assert known.find(LOCAL_SOCK, server(2, 99)) is newer
    assert known.find(LOCAL_SOCK, server(3)) is newer
    known.fix(newer, server(3))
    assert known.find(LOCAL_SOCK, server(4)) is older


def test_of_sessions_that_cannot_be_told_apart_the_newer_takes_the_answers() -> None:
    known, _ = trails()
    older, newer = session(SessionKind.NORMAL), session(SessionKind.NORMAL)
    known.share(older, LOCAL_SOCK)
    known.share(newer, LOCAL_SOCK)
    assert known.find(LOCAL_SOCK, server()) is newer
    known.forget(newer)
    assert known.find(LOCAL_SOCK, server()) is older
    known.forget(older)
    assert known.find(LOCAL_SOCK, server()) is None


def test_an_alias_finds_its_session_until_it_ends_and_is_not_counted_as_one_k41() -> None:
    known, table = trails()
    found = table[b"key"] = session()
    known.alias(found, b"alias")
    assert table[b"alias"] is found
    assert known.aliases == 1
    known.forget(found)
    assert table == {b"key": found}
    assert known.aliases == 0


def test_an_alias_takes_no_key_from_another_session_k41() -> None:
    known, table = trails()
    found, other = session(), session(key=b"other")
    table.update({b"key": found, b"other": other})
    known.alias(found, b"other")
    assert table[b"other"] is other
    known.forget(found)
    assert b"other" in table


def test_an_echo_is_known_as_long_as_any_session_that_causes_it_k60_k62() -> None:
    known, _ = trails()
    one, other = session(), session(key=b"other")
    assert not known.is_echo(b"echo")
    for found in (one, other):
        known.await_echo(found, b"echo")
    known.forget(one)
    assert known.is_echo(b"echo")
    known.forget(other)
    assert not known.is_echo(b"echo")


def test_forgetting_twice_is_forgetting_once() -> None:
    known, table = trails()
    found = table[b"key"] = session()
    known.share(found, LOCAL_SOCK)
    known.alias(found, b"alias")
    known.await_echo(found, b"echo")
    for _ in range(2):
        known.forget(found)
    assert (known.aliases, known.find(LOCAL_SOCK, server()), known.is_echo(b"echo")) == (0, None, False)


def test_a_plain_session_leaves_no_trail() -> None:
    known, table = trails()
    made = Session(Terms.of(rule()), SECOND, 0, 1)
    made.listener, made.key, made.target = 0, b"key", server()
    known.share(made, LOCAL_SOCK)
    known.alias(made, b"alias")
    known.await_echo(made, b"echo")
    known.forget(made)
    assert table == {}
    assert known.find(LOCAL_SOCK, server()) is None
    assert not known.is_echo(b"echo")
