"""What waited while no worker was there is treated before all else, as if it had just been received."""

from __future__ import annotations

import os

import pytest

from proxyd.daemon.emptying import empty
from tests.kit.datapath import Datapath, datapath
from tests.kit.traffic import both_paths, forward_to, let_arrive, numbered, receive, send_train, udp
from workers.backlog import take_backlog
from workers.contract.backlog import Backlog, Waited
from workers.contract.slots import Counter
from workers.errors import ContractError
from workers.tallies import Intake

HOSTS = pytest.mark.parametrize(
    ("host", "to"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")]
)


def hand_over(path: Datapath, *waited: Waited) -> Intake:
    """Give a worker what was taken out of its listeners; return how much came to which."""
    backlog = Backlog("test")
    for item in waited:
        backlog.add(item)
    backlog.seal()
    intake = Intake(path.parts.stats, len(path.to))
    take_backlog(os.dup(backlog.fd), path.parts, intake, 0)
    backlog.close()
    path.parts.journal.flush()
    return intake


def take_out(path: Datapath) -> list[Waited]:
    """Take what waits in all listeners, as the parent does."""
    let_arrive()
    listeners = zip(path.context.listeners, path.settings.listeners, strict=True)
    return [taken.waited for index, one in enumerate(listeners) for taken in empty(one[0], index, one[1])]


@both_paths
@HOSTS
def test_a_session_begins_with_what_waited_and_goes_on_with_what_comes(fast_path: bool, host: str, to: str) -> None:
    with (
        udp(to) as server,
        udp(to) as client,
        datapath(forward_to(server.getsockname()[:2]), hosts=(host,), fast_path=fast_path) as path,
    ):
        client.connect((to, path.to[0][1]))
        for payload in (b"first", b"second"):
            client.send(payload)
        hand_over(path, *take_out(path))
        assert [server.recv(100), server.recv(100)] == [b"first", b"second"]
        client.send(b"third")
        path.turn()
        payload, proxy = server.recvfrom(100)
        assert payload == b"third"
        server.sendto(b"answer", proxy)
        path.turn()
        assert client.recv(100) == b"answer"
        assert len(path.sessions) == 1
        assert path.region.words[Counter.PERMITS] == 1


@both_paths
def test_a_train_leaves_as_the_datagrams_that_it_is_made_of(fast_path: bool) -> None:
    payloads = numbered(7, 100)
    with udp() as server, udp() as client, datapath(forward_to(server.getsockname()), fast_path=fast_path) as path:
        send_train(client, payloads, path.to[0])
        hand_over(path, *take_out(path))
        assert receive(server, len(payloads)) == payloads
        assert path.parts.stats.received_out == len(payloads)


@both_paths
def test_each_listeners_share_is_on_its_account(fast_path: bool) -> None:
    with (
        udp() as server,
        udp() as client,
        datapath(forward_to(server.getsockname()), hosts=("127.0.0.1", "127.0.0.1"), fast_path=fast_path) as path,
    ):
        for to in (path.to[0], path.to[1], path.to[1]):
            client.sendto(b"x", to)
        intake = hand_over(path, *take_out(path))
        assert intake.accounts() == [[1, 1], [2, 2]]
        assert [len(table) for table in path.parts.engine.tables] == [1, 1]


def test_nothing_was_left_where_there_is_no_descriptor() -> None:
    with udp() as server, datapath(forward_to(server.getsockname())) as path:
        take_backlog(-1, path.parts, Intake(path.parts.stats, 1), 0)
        assert path.parts.stats.received_out == 0


def test_a_listener_that_does_not_exist_is_a_breach_of_the_contract() -> None:
    with (
        udp() as server,
        datapath(forward_to(server.getsockname())) as path,
        pytest.raises(ContractError, match="a listener that does not exist"),
    ):
        hand_over(path, Waited(1, b"", b"", b""))
