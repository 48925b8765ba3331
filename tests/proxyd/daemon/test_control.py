from __future__ import annotations

import grp
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from proxyd.control import protocol
from proxyd.control.protocol import (
    AskDrain,
    AskExplain,
    AskLevel,
    AskSessions,
    AskStatus,
    Done,
    Refused,
    Reply,
    Request,
    Slots,
)
from proxyd.daemon.asker import Asker
from proxyd.daemon.control import MAX_CLIENTS, PATIENCE_NS, Control, Post, inherit_post, open_post
from proxyd.errors import SetupError
from tests.kit.requirement import requires_root
from tests.proxyd.daemon.diary import Diary
from tests.workers.forked import in_child

NOW = 10**12
LONG = bytes(50_000)


@dataclass
class Office:
    """A control socket that is served step by step, and how many messages it has made."""

    control: Control
    path: Path
    diary: Diary
    made: list[int]
    news: list[Reply | None] = field(default_factory=list)
    """What a question for an explanation is answered with, as it comes to be there; taken from the front."""
    askers: list[Asker] = field(default_factory=list)

    def client(self) -> socket.socket:
        """Return a socket that is connected and was let in."""
        sock = self.knock()
        self.control.serve(NOW)
        return sock

    def knock(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)
        sock.connect(str(self.path))
        return sock

    def ask(self, sock: socket.socket, request: Request) -> list[Reply]:
        """Return the whole answer."""
        sock.send(protocol.encode(request))
        found: list[Reply] = []
        while not found or not isinstance(found[-1], Done | Refused):
            self.control.serve(NOW)
            found += taken(sock)
        return found


def taken(sock: socket.socket) -> list[Reply]:
    """Return what waits for a client."""
    found: list[Reply] = []
    while True:
        try:
            data = sock.recv(70_000)
        except BlockingIOError:
            return found
        if not data:
            return found
        found.append(protocol.decode_reply(data))


def gone(sock: socket.socket) -> bool:
    """Tell whether a client was sent away."""
    try:
        return sock.recv(70_000) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A directory that every user may look into: tmp_path lies in root's own."""
    with tempfile.TemporaryDirectory(prefix="control-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made, news, askers = [0], [], []

    def answer(request: Request, asker: Asker) -> Iterator[Reply | None]:
        askers.append(asker)
        if isinstance(request, AskExplain):
            while True:
                yield news.pop(0) if news else None
        if isinstance(request, AskSessions | AskDrain):
            for number in count():
                made[0] = number
                yield Slots(0, number, LONG if isinstance(request, AskSessions) else b"")
        yield Done()

    post, diary = open_post(tmp_path / "x.ctl", None), Diary()

    def describe(request: Request) -> str | None:
        return "level" if isinstance(request, AskLevel) else None

    control = Control(post, answer, describe, diary)
    yield Office(control, post.path, diary, made, news, askers)
    control.close()
    post.remove()
    assert not post.path.exists()


# --- who asks --------------------------------------------------------------------------------------------------------


def test_a_request_is_answered_and_another_one_after_it(office: Office) -> None:
    with office.client() as client:
        assert office.ask(client, AskStatus()) == [Done()]
        assert office.ask(client, AskStatus()) == [Done()]
    assert office.diary.notes == []


def test_an_order_is_logged_with_who_gave_it(office: Office) -> None:
    with office.client() as client:
        office.ask(client, AskLevel(5))
    assert office.diary.notes == [("control-order", f"process {os.getpid()} of user {os.geteuid()}", "level")]


@pytest.mark.parametrize("data", [b"\xff", b"x" * 60_000, protocol.encode(Done())])
def test_what_is_no_request_is_refused_and_its_sender_sent_away(office: Office, data: bytes) -> None:
    with office.client() as client, office.client() as other:
        client.send(data)
        office.control.serve(NOW)
        (refusal,) = taken(client)
        assert isinstance(refusal, Refused)
        office.control.serve(NOW)
        assert gone(client)
        assert office.ask(other, AskStatus()) == [Done()]


@requires_root
def test_only_root_who_started_it_and_the_group_are_let_in(public_path: Path) -> None:
    post, diary = open_post(public_path / "x.ctl", grp.getgrgid(2).gr_name), Diary()
    control = Control(post, lambda *_: iter((Done(),)), lambda _: None, diary)
    # Wider than it ever is: what counts here is what the kernel says of the other end.
    post.path.chmod(0o666)
    for groups, verdict in (((), "sent away"), ((2,), "let in"), ((1, 2, 3), "let in")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:

            def connect(sock: socket.socket = client, groups: tuple[int, ...] = groups) -> None:
                os.setgroups(groups)
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                sock.connect(str(post.path))

            in_child(connect)
            control.serve(NOW)
            assert bool(diary.notes) == (verdict == "sent away"), groups
            diary.notes.clear()
    control.close()
    post.remove()


# --- answers that take their time ------------------------------------------------------------------------------------

QUESTION = AskExplain(bytes(4), 1, bytes(4), 2)


def test_an_answer_that_is_not_there_yet_is_asked_for_again_and_costs_nothing_meanwhile(office: Office) -> None:
    with office.client() as client:
        client.send(protocol.encode(QUESTION))
        office.control.serve(NOW)
        office.news += [None, Slots(0, 1, b""), None, Done()]
        office.control.serve(NOW)
        assert len(office.news) == 4, "it is asked again from turn to turn, and not by who waits"
        seen = []
        for turn in range(4):
            office.control.tend(NOW + turn * (PATIENCE_NS - 1))
            seen.append(taken(client))
        assert seen == [[], [Slots(0, 1, b"")], [Done()], []]
        assert office.ask(client, AskStatus()) == [Done()]


def test_who_leaves_while_he_waits_for_an_answer_is_forgotten(office: Office) -> None:
    client = office.client()
    client.send(protocol.encode(QUESTION))
    office.control.serve(NOW)
    client.close()
    office.control.serve(NOW)
    office.news.append(Done())
    office.control.tend(NOW)
    assert office.news == [Done()]


# --- a descriptor that comes with a question -------------------------------------------------------------------------


def test_a_descriptor_comes_with_its_question_and_is_whose_who_takes_it(office: Office) -> None:
    ours, theirs = socket.socketpair()
    with office.client() as client, ours, theirs:
        socket.send_fds(client, [protocol.encode(QUESTION)], [theirs.fileno()])
        office.control.serve(NOW)
        theirs.close()
        asker = office.askers[0]
        assert (asker.process, asker.user) == (os.getpid(), os.geteuid())
        taken_one = asker.take()
        assert taken_one is not None
        office.news.append(Done())
        office.control.tend(NOW)
        with socket.socket(fileno=taken_one) as lane:
            lane.send(b"still there")
        assert ours.recv(100) == b"still there"


@pytest.mark.parametrize("request_", [AskStatus(), AskLevel(4)])
def test_a_descriptor_that_nobody_takes_is_closed(office: Office, request_: Request) -> None:
    ours, theirs = socket.socketpair()
    with office.client() as client, ours, theirs:
        socket.send_fds(client, [protocol.encode(request_)], [theirs.fileno()])
        theirs.close()
        for _ in range(2):
            office.control.serve(NOW)
        assert taken(client) == [Done()]
        assert ours.recv(1) == b""


def test_of_several_descriptors_all_but_the_first_are_closed(office: Office) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with office.client() as client:
        socket.send_fds(client, [protocol.encode(AskStatus())], [0] * 200)
        for _ in range(2):
            office.control.serve(NOW)
        assert taken(client) == [Done()]
        office.control.tend(NOW + PATIENCE_NS)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- whom it lets in -------------------------------------------------------------------------------------------------


def test_nobody_is_let_in_while_another_process_may_serve_them(office: Office) -> None:
    office.control.let_in(False)
    with office.knock() as client:
        client.send(protocol.encode(AskStatus()))
        for _ in range(3):
            office.control.serve(NOW)
            office.control.tend(NOW)
        assert taken(client) == []
        office.control.let_in(True)
        for _ in range(2):
            office.control.serve(NOW)
        assert taken(client) == [Done()]


# --- hostile clients -------------------------------------------------------------------------------------------------


def test_who_does_not_read_gets_no_more_made_than_fits_and_is_sent_away(office: Office) -> None:
    with office.client() as client, office.client() as other:
        client.send(protocol.encode(AskSessions()))
        for _ in range(100):
            office.control.serve(NOW)
        stuck_at = office.made[0]
        assert stuck_at < 20
        assert office.ask(other, AskStatus()) == [Done()]
        office.control.tend(NOW + PATIENCE_NS - 1)
        office.control.serve(NOW)
        assert office.made[0] == stuck_at
        office.control.tend(NOW + PATIENCE_NS)
        assert len(taken(client)) == stuck_at
        assert gone(client)


def test_a_long_answer_leaves_others_their_turn(office: Office) -> None:
    with office.client() as client:
        client.send(protocol.encode(AskDrain()))
        office.control.serve(NOW)
        assert office.made[0] < 20


def test_who_reads_slowly_is_served_as_he_reads(office: Office) -> None:
    with office.client() as client:
        client.send(protocol.encode(AskSessions()))
        seen: list[Reply] = []
        while len(seen) < 100:
            office.control.serve(NOW)
            seen += taken(client)
    assert [message.now_ns for message in seen if isinstance(message, Slots)] == list(range(len(seen)))


def test_who_says_nothing_is_sent_away(office: Office) -> None:
    with office.client() as client:
        office.control.tend(NOW + PATIENCE_NS)
        assert gone(client)


def test_who_asks_faster_than_he_reads_waits_for_his_answers(office: Office) -> None:
    with office.client() as client:
        for _ in range(50):
            client.send(protocol.encode(AskStatus()))
        for _ in range(60):
            office.control.serve(NOW)
        assert len(taken(client)) == 50


def test_more_clients_than_there_may_be_wait_until_others_have_gone(office: Office) -> None:
    clients = [office.client() for _ in range(MAX_CLIENTS)]
    late = office.knock()
    late.send(protocol.encode(AskStatus()))
    for _ in range(3):
        office.control.serve(NOW)
    assert taken(late) == []
    clients.pop().close()
    for _ in range(3):
        office.control.serve(NOW)
    assert taken(late) == [Done()]
    for client in (*clients, late):
        client.close()


def test_a_socket_that_was_removed_is_made_anew_and_one_that_was_not_stays(office: Office) -> None:
    before, client = office.path.lstat().st_ino, office.client()
    office.control.restore()
    assert office.path.lstat().st_ino == before
    office.path.unlink()
    office.control.restore()
    assert stat.S_IMODE(office.path.lstat().st_mode) == 0o660
    assert office.ask(office.client(), AskStatus()) == office.ask(client, AskStatus()) == [Done()]
    assert [note[0] for note in office.diary.notes] == ["config-warning"]
    office.path.unlink()
    office.path.write_text("somebody else's")
    office.control.restore()
    assert office.path.read_text() == "somebody else's"
    office.path.unlink()


def test_who_leaves_in_the_middle_of_an_answer_is_forgotten(office: Office) -> None:
    client = office.client()
    client.send(protocol.encode(AskSessions()))
    office.control.serve(NOW)
    client.close()
    for _ in range(3):
        office.control.serve(NOW)
    with office.client() as other:
        assert office.ask(other, AskStatus()) == [Done()]


# --- the socket in its directory -------------------------------------------------------------------------------------


def mode(post: Post) -> int:
    return stat.S_IMODE(post.path.stat().st_mode)


def test_the_socket_is_for_user_and_group_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        post = open_post(tmp_path / "x.ctl", None)
    finally:
        os.umask(before)
    assert mode(post) == 0o660
    assert [path.name for path in tmp_path.iterdir()] == ["x.ctl"]
    post.remove()


@requires_root
def test_the_socket_belongs_to_the_group(tmp_path: Path) -> None:
    post = open_post(tmp_path / "x.ctl", grp.getgrgid(2).gr_name)
    assert post.path.stat().st_gid == 2
    post.remove()


def test_what_a_dead_proxy_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as old:
        old.bind(str(tmp_path / "x.ctl"))
    open_post(tmp_path / "x.ctl", None).remove()
    assert not (tmp_path / "x.ctl").exists()


def test_where_somebody_serves_is_no_place(tmp_path: Path) -> None:
    post = open_post(tmp_path / "x.ctl", None)
    with pytest.raises(SetupError, match="another process serves there"):
        open_post(tmp_path / "x.ctl", None)
    post.remove()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x.ctl").write_text("precious")
    with pytest.raises(SetupError, match="no socket"):
        open_post(tmp_path / "x.ctl", None)
    assert (tmp_path / "x.ctl").read_text() == "precious"


def test_a_path_longer_than_a_socket_address_will_do(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    post = open_post(folder / "x.ctl", None)
    assert mode(post) == 0o660
    post.remove()


def test_no_directory_and_no_group_are_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="No such file"):
        open_post(tmp_path / "nowhere" / "x.ctl", None)
    with pytest.raises(SetupError, match="there is no group 'no-such-group'"):
        open_post(tmp_path / "x.ctl", "no-such-group")


def test_a_socket_that_is_another_proxys_by_now_stays(tmp_path: Path) -> None:
    post = open_post(tmp_path / "x.ctl", None)
    post.path.unlink()
    other = open_post(tmp_path / "x.ctl", None)
    post.remove()
    assert other.path.exists()
    other.remove()


# --- from one process to the next ------------------------------------------------------------------------------------


def test_a_successor_listens_on_the_same_socket_and_nobody_is_sent_away_in_between(tmp_path: Path) -> None:
    post = open_post(tmp_path / "x.ctl", None)
    successor = inherit_post(post.path, os.dup(post.sock.fileno()), None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(post.path))
        post.leave()
        post.remove()
        assert post.path.exists()
        successor.sock.accept()[0].close()
    successor.claim()
    successor.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_successor_that_gives_up_leaves_the_socket_where_it_is(tmp_path: Path) -> None:
    post = open_post(tmp_path / "x.ctl", None)
    inherit_post(post.path, os.dup(post.sock.fileno()), None).remove()
    assert post.path.exists()
    post.remove()


@requires_root
def test_a_successor_lets_in_whom_its_configuration_names(tmp_path: Path) -> None:
    post = open_post(tmp_path / "x.ctl", None)
    successor = inherit_post(post.path, os.dup(post.sock.fileno()), grp.getgrgid(2).gr_name)
    assert (successor.group, post.path.stat().st_gid) == (2, 2)
    successor.remove()
    post.remove()


def test_what_does_not_listen_there_is_not_taken_over(tmp_path: Path) -> None:
    post = open_post(tmp_path / "x.ctl", None)
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with pytest.raises(SetupError, match="not listening"):
        inherit_post(post.path, deaf.detach(), None)
    with pytest.raises(SetupError, match="there is no group"):
        inherit_post(post.path, os.dup(post.sock.fileno()), "no-such-group")
    post.path.unlink()
    with pytest.raises(SetupError, match="not listening"):
        inherit_post(post.path, os.dup(post.sock.fileno()), None)
    post.remove()
