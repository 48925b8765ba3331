"""The new program asks for what is left, of a running program or of a service manager, and says what became of it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxyd.control import protocol
from proxyd.control.protocol import AskTakeover, Done, Refused, Reply, Request
from proxyd.daemon import fdstore, takeover
from proxyd.daemon.bequest import Left, pack
from proxyd.daemon.inventory import Bundle
from proxyd.daemon.lane import Coming, Failed, Lane, Serving, Withheld, make_lane
from proxyd.daemon.notify import Notifier
from proxyd.daemon.takeover import Keeper, Predecessor
from proxyd.errors import SetupError
from tests.kit.process import DEFAULT_WAIT_S
from tests.proxyd.daemon.diary import Diary
from tests.proxyd.daemon.estates import an_estate
from tests.workers.forked import in_child


@contextmanager
def running(path: Path, reply: Reply, given: Bundle | Withheld | None) -> Iterator[None]:
    """Be a running program, in a process of its own, that answers one question so and then gives what is asked for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        listening.listen()
        process = os.fork()
        if process == 0:
            client, _ = listening.accept()
            data, descriptors, _, _ = socket.recv_fds(client, 65536, 1)
            request: Request = protocol.decode_request(data)
            lane = Lane.of(descriptors[0])
            client.send(protocol.encode(reply if isinstance(request, AskTakeover) else Refused("what?")))
            if isinstance(given, Bundle):
                lane.give(given)
            elif given is not None:
                lane.send(given)
            os._exit(0)
        yield
        os.waitpid(process, 0)


def test_what_a_running_program_gives_is_read(tmp_path: Path) -> None:
    with an_estate(tmp_path / "log") as estate:
        estate.texts = {1: "text"}
        with running(tmp_path / "x.ctl", Done(), pack(estate, Left([[]], None))):
            legacy, giver = takeover.ask(tmp_path / "x.ctl", "udp-proxy", "TEST")
    assert legacy.source == f"process {os.getpid()} ()"
    assert legacy.inventory.estate is not None
    giver.failed("enough")
    legacy.close_unused()


@pytest.mark.parametrize(
    ("reply", "given", "why"),
    [
        (Refused("the proxy is draining"), None, "the proxy is draining"),
        (Done(), Withheld("the workers do not come to rest"), "do not come to rest"),
        (Done(), Bundle(b"nonsense", ()), "not a list"),
        (Done(), None, "gone"),
    ],
)
def test_why_nothing_is_given_is_told(tmp_path: Path, reply: Reply, given: Bundle | Withheld | None, why: str) -> None:
    with running(tmp_path / "x.ctl", reply, given), pytest.raises(SetupError, match=why):
        takeover.ask(tmp_path / "x.ctl", "udp-proxy", "TEST")


def test_where_nobody_runs_there_is_nothing_to_take_over(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"take over: .*no such socket"):
        takeover.ask(tmp_path / "x.ctl", "udp-proxy", "TEST")


def test_a_predecessor_hears_how_far_it_is_and_that_it_serves() -> None:
    ours, theirs = make_lane()
    predecessor, other = Predecessor(ours), Lane(theirs)
    predecessor.coming("bound")
    predecessor.serving()
    assert other.wait(DEFAULT_WAIT_S) == (Coming("bound"), [])
    assert other.wait(DEFAULT_WAIT_S) == (Serving(os.getpid()), [])
    other.close()


def test_a_predecessor_has_let_go_when_it_has_ended() -> None:
    ours, theirs = make_lane()
    leash, held = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(held)
        os.read(leash, 1)
        os._exit(0)
    predecessor = Predecessor(ours, process)
    predecessor.serving()
    assert not predecessor.let_go()
    os.close(held)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert [predecessor.let_go(), predecessor.let_go()] == [True, True]
    os.waitpid(process, 0)
    os.close(leash)
    theirs.close()


def test_a_predecessor_that_is_gone_already_has_let_go() -> None:
    ours, theirs = make_lane()
    with theirs:
        process = os.fork()
        if process == 0:
            os._exit(0)
        os.waitpid(process, 0)
        predecessor = Predecessor(ours, process)
        predecessor.serving()
        assert predecessor.let_go()


def test_a_predecessor_hears_why_not() -> None:
    ours, theirs = make_lane()
    other = Lane(theirs)
    Predecessor(ours).failed("x" * 5000)
    assert other.wait(DEFAULT_WAIT_S) == (Failed("x" * 2000), [])
    other.close()


def test_a_predecessor_that_has_gone_on_by_itself_is_noticed_by_who_would_serve() -> None:
    ours, theirs = make_lane()
    theirs.close()
    predecessor = Predecessor(ours)
    predecessor.coming("bound")
    with pytest.raises(SetupError, match="gone"):
        predecessor.serving()


def test_a_service_manager_forgets_what_was_taken_over_and_keeps_what_was_not(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(str(tmp_path / "notify"))
        keeper = Keeper(Notifier(manager.getsockname()), Diary())
        keeper.coming("bound")
        keeper.failed("bind: in use")
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        keeper.serving()
        assert [manager.recv(100), manager.recv(100)] == [
            b"FDSTOREREMOVE=1\nFDNAME=proxyd-list",
            b"FDSTOREREMOVE=1\nFDNAME=proxyd",
        ]


def test_what_a_service_manager_has_kept_is_read(tmp_path: Path) -> None:
    with an_estate(tmp_path / "log") as estate, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        estate.texts = {1: "text"}
        manager.bind(str(tmp_path / "notify"))
        fdstore.lay_up(Notifier(manager.getsockname()), pack(estate, Left([[]], None, places=False)))
        kept = [descriptor for _ in range(2) for descriptor in socket.recv_fds(manager, 4096, 253)[1]]

        def act() -> str:
            for descriptor in kept:
                os.dup2(descriptor, descriptor + 1000)
            for place, descriptor in enumerate(kept, fdstore.FIRST):
                os.dup2(descriptor + 1000, place)
            names = ":".join(["proxyd"] * (len(kept) - 1) + ["proxyd-list"])
            environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(kept)), "LISTEN_FDNAMES": names}
            found = takeover.fetch(fdstore.take_passed(environment).stored, Notifier(), Diary())
            assert found is not None
            return f"{found[0].source}, {found[0].manifest.name}, {type(found[1]).__name__}"

        assert in_child(act) == "the service manager's store, TEST, Keeper"
    assert takeover.fetch({}, Notifier(), Diary()) is None


def test_a_service_manager_has_let_go_when_it_has_done_all_that_it_was_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        keeper = Keeper(Notifier(manager.getsockname()), Diary())
        keeper.serving()
        assert not keeper.let_go()
        assert [manager.recv(100) for _ in range(2)] == [
            b"FDSTOREREMOVE=1\nFDNAME=proxyd-list",
            b"FDSTOREREMOVE=1\nFDNAME=proxyd",
        ]
        data, descriptors, _, _ = socket.recv_fds(manager, 100, 2)
        assert (data, len(descriptors)) == (b"BARRIER=1", 1)
        assert not keeper.let_go()
        os.close(descriptors[0])
        assert [keeper.let_go(), keeper.let_go()] == [True, True]


def test_a_service_manager_that_has_no_room_now_is_asked_again(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier(manager.getsockname())
        keeper = Keeper(notifier, Diary())
        others = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with others, contextlib.suppress(BlockingIOError):
            while True:
                others.sendto(b"STATUS=", manager.getsockname())
        keeper.serving()
        assert not keeper.let_go()
        with contextlib.suppress(BlockingIOError):
            while True:
                manager.recv(100)
        assert not keeper.let_go()
        descriptors = [one for _ in range(3) for one in socket.recv_fds(manager, 100, 2)[1]]
        os.close(*descriptors)
        assert keeper.let_go()


def test_a_service_manager_that_cannot_be_asked_has_never_let_go() -> None:
    diary = Diary()
    keeper = Keeper(Notifier(), diary)
    assert [keeper.let_go(), keeper.let_go()] == [False, False]
    assert diary.notes == [("manager-silent", "there is no service manager")]
