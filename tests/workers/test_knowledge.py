"""What a worker learns from its parent goes where it belongs."""

from __future__ import annotations

from tests.kit.datapath import Datapath, datapath
from tests.kit.traffic import forward_to, receive, udp
from workers.contract.messages import Level, Looked, Names, Users
from workers.contract.settings import AclSettings, AuthSettings, HostName, Sock, UserCondition
from workers.contract.slots import DropReason
from workers.deadlines import NEVER

LOOPBACK = (4, bytes((127, 0, 0, 1)))
AUTH = AuthSettings("OOB", "/nowhere")


def learn(path: Datapath, message: object) -> bool:
    return path.parts.knowledge.take(message, 0)  # type: ignore[arg-type]


def test_addresses_of_names_are_learnt() -> None:
    with udp() as server, udp() as client:
        rule = AclSettings("R", True, plug_to=Sock(HostName("server.test"), server.getsockname()[1]))
        with datapath(rule) as path:
            learn(path, Names({"server.test": [LOOPBACK]}))
            client.sendto(b"x", path.to[0])
            path.settle()
            assert receive(server, 1) == [b"x"]


def test_half_a_table_of_names_changes_nothing() -> None:
    with udp() as server, udp() as first, udp() as second:
        rule = AclSettings("R", True, plug_to=Sock(HostName("server.test"), server.getsockname()[1]))
        with datapath(rule) as path:
            learn(path, Names({"server.test": [LOOPBACK]}, True, False))
            first.sendto(b"too early", path.to[0])
            path.settle()
            assert path.drops_out == {DropReason.NO_TARGET: 1}
            learn(path, Names({"other.test": [LOOPBACK]}, False, True))
            second.sendto(b"in", path.to[0])
            path.settle()
            assert receive(server, 1) == [b"in"]


def test_a_table_of_users_counts_when_it_is_complete() -> None:
    with udp() as server, udp() as first, udp() as second:
        rule = forward_to(server.getsockname())
        staff = AclSettings("STAFF", True, users=(UserCondition(False, frozenset({"jan"})),), plug_to=rule.plug_to)
        with datapath(staff, auth=AUTH) as path:
            learn(path, Users(True, False, [(*LOOPBACK, "jan", [])]))
            first.sendto(b"too early", path.to[0])
            path.settle()
            assert path.drops_out == {DropReason.REJECTED: 1}
            learn(path, Users(False, True, []))
            second.sendto(b"in", path.to[0])
            path.settle()
            assert receive(server, 1) == [b"in"]
            assert [session.grant.user for session in path.sessions] == ["jan"]
            # Who is in stays in, whatever becomes of the table (K-18).
            learn(path, Users(True, True, []))
            second.sendto(b"still", path.to[0])
            path.settle()
            assert receive(server, 1) == [b"still"]


def test_what_is_nothing_to_learn_from_changes_nothing() -> None:
    with udp() as server, datapath(forward_to(server.getsockname())) as path:
        learn(path, Level(7))
        learn(path, Looked(0, *LOOPBACK, None, 60))
        path.parts.knowledge.tend(0)
        assert path.parts.knowledge.tend(10**12) >= NEVER


def test_only_what_completes_a_table_says_that_one_was_learnt() -> None:
    with udp() as server, datapath(forward_to(server.getsockname()), auth=AUTH) as path:
        parts = (
            Names({}, False, True),
            Names({}, True, False),
            Names({}, False, True),
            Users(False, True, []),
            Users(True, False, []),
            Users(False, True, []),
            Level(7),
            Looked(0, *LOOPBACK, None, 60),
        )
        assert [learn(path, part) for part in parts] == [False, False, True, False, False, True, False, False]
