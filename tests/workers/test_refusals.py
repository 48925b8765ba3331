"""What is said and counted of datagrams that did not leave."""

from __future__ import annotations

import errno

import pytest

from tests.kit.datapath import datapath
from tests.kit.traffic import forward_to, udp
from workers import refusals
from workers.contract.slots import DropReason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EAGAIN, DropReason.SEND_BUSY),
        (errno.ENOBUFS, DropReason.SEND_BUSY),
        (errno.ENOMEM, DropReason.SEND_BUSY),
        (errno.EINTR, DropReason.SEND_BUSY),
        (errno.ECONNREFUSED, DropReason.SEND_REFUSED),
        (errno.EMSGSIZE, DropReason.SEND_FAILED),
        (errno.EPERM, DropReason.SEND_FAILED),
        (errno.EHOSTUNREACH, DropReason.SEND_FAILED),
        (0, DropReason.SEND_FAILED),
    ],
)
def test_every_error_has_its_reason(code: int, reason: DropReason):
    assert refusals.drop_reason(code) is reason


def test_what_is_noted_names_peer_and_error():
    with udp() as server, udp() as client, datapath(forward_to(server.getsockname())) as path:
        client.sendto(b"x", path.to[0])
        path.turn()
        (session,) = path.sessions
        journal = path.parts.journal
        journal.now_ns = 7
        assert refusals.note_unsent(journal, session, session.client, errno.EMSGSIZE) is DropReason.SEND_FAILED
        refusals.note_error(journal, session, errno.ECONNREFUSED)
        journal.flush()
        assert [record.fields for record in path.logged("unsent")] == [(session.client, 1, "Message too long")]
        assert [record.fields for record in path.logged("socket-error")] == [(session.target, "Connection refused")]
        tally = session.terms.tally
        assert tally.refused_ns == 7
        assert {record.track for record in path.logged("unsent") + path.logged("socket-error")} == {session.track}


@pytest.mark.parametrize(("code", "down"), [(errno.EHOSTUNREACH, True), (errno.EMSGSIZE, False), (errno.EAGAIN, False)])
def test_a_server_is_down_only_where_nobody_takes_its_datagrams(code: int, down: bool) -> None:
    with udp() as server, udp() as client, datapath(forward_to(server.getsockname())) as path:
        client.sendto(b"x", path.to[0])
        path.turn()
        (session,) = path.sessions
        journal = path.parts.journal
        journal.now_ns = 7
        refusals.note_unsent(journal, session, session.client, code)
        assert session.terms.tally.refused_ns == 0
        refusals.note_unsent(journal, session, session.target, code)
        assert bool(session.terms.tally.refused_ns) is down
