from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyd.control.client import Connection, RefusedError, UnreachableError, choose_socket, find_sockets
from proxyd.control.protocol import AskExplain, AskLevel, AskSessions, AskStatus, Done, Refused, Reply, Request, Slots
from tests.proxyd.control.office import served


def answer(request: Request) -> Iterator[Reply]:
    if isinstance(request, AskSessions):
        for number in range(50):
            yield Slots(0, number, bytes(40_000))
    if isinstance(request, AskLevel):
        yield Refused("not today")
    else:
        yield Done()


def test_an_answer_is_what_comes_before_its_end_however_long(tmp_path: Path) -> None:
    with served(tmp_path / "x.ctl", answer) as path, Connection(path) as connection:
        assert list(connection.ask(AskStatus())) == []
        found = list(connection.ask(AskSessions()))
        assert [part.now_ns for part in found if isinstance(part, Slots)] == list(range(50))
        connection.order(AskStatus())


def test_a_refusal_is_an_error_with_its_reason_and_the_connection_goes_on(tmp_path: Path) -> None:
    with served(tmp_path / "x.ctl", answer) as path, Connection(path) as connection:
        with pytest.raises(RefusedError, match="not today"):
            connection.order(AskLevel(5))
        connection.order(AskStatus())


@pytest.mark.parametrize("user", ["\udcff", "u" * 70_000])
def test_what_cannot_be_asked_is_refused_at_once(tmp_path: Path, user: str) -> None:
    with served(tmp_path / "x.ctl", answer) as path, Connection(path) as connection:
        with pytest.raises(RefusedError, match="cannot be asked"):
            connection.order(AskExplain(bytes(4), 1, bytes(4), 1, user))
        connection.order(AskStatus())


def test_a_path_longer_than_a_socket_address_will_do(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    with served(folder / "x.ctl", answer) as path, Connection(path) as connection:
        connection.order(AskStatus())


def test_a_proxy_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="does not run"):
        Connection(tmp_path / "x.ctl")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(tmp_path / "x.ctl"))
    with pytest.raises(UnreachableError, match="nobody serves there"):
        Connection(tmp_path / "x.ctl")
    with pytest.raises(UnreachableError, match="does not run"):
        Connection(tmp_path / "nowhere" / "x.ctl")


@pytest.mark.parametrize("said", [b"", b"nonsense", bytes(70_000)])
def test_a_server_that_ends_or_speaks_otherwise_is_told(tmp_path: Path, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(tmp_path / "x.ctl"))
        server.listen()
        with Connection(tmp_path / "x.ctl") as connection:
            other, _ = server.accept()
            if said:
                other.send(said)
            other.close()
            with pytest.raises(UnreachableError):
                connection.order(AskStatus())


def make_sockets(folder: Path, *names: str) -> None:
    for name in names:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.bind(str(folder / name))


@contextlib.contextmanager
def serve(folder: Path, *names: str) -> Iterator[None]:
    with contextlib.ExitStack() as kept:
        for name in names:
            sock = kept.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            sock.bind(str(folder / name))
            sock.listen()
        yield


def test_the_only_proxy_is_found_without_a_name(tmp_path: Path) -> None:
    make_sockets(tmp_path, "udp-proxy-dns.ctl", "other.ctl")
    (tmp_path / "udp-proxy-file.ctl").write_text("")
    assert choose_socket(None, tmp_path) == tmp_path / "udp-proxy-dns.ctl"


def test_a_socket_that_nobody_serves_any_more_does_not_count(tmp_path: Path) -> None:
    make_sockets(tmp_path, "udp-proxy-dead.ctl", "udp-proxy-killed.ctl")
    with pytest.raises(UnreachableError, match="nobody serves udp-proxy-dead, udp-proxy-killed any more"):
        choose_socket(None, tmp_path)
    with serve(tmp_path, "udp-proxy-dns.ctl"):
        assert choose_socket(None, tmp_path) == tmp_path / "udp-proxy-dns.ctl"


def test_of_several_one_has_to_be_chosen_by_its_name(tmp_path: Path) -> None:
    names = ("udp-proxy-dns.ctl", "udp-proxy-tftp.ctl", "uftpproxyd-east.ctl")
    wanted = "choose one by -n: udp-proxy-dns, udp-proxy-tftp, uftpproxyd-east"
    with serve(tmp_path, *names):
        assert len(find_sockets(tmp_path)) == 3
        with pytest.raises(UnreachableError, match=wanted):
            choose_socket(None, tmp_path)
    for name in ("dns", "DNS", "udp-proxy-dns"):
        assert choose_socket(name, tmp_path).name == "udp-proxy-dns.ctl"
    assert choose_socket("east", tmp_path).name == "uftpproxyd-east.ctl"


def test_no_proxy_and_none_of_this_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="no proxy has a control socket"):
        choose_socket(None, tmp_path)
    with pytest.raises(UnreachableError, match="no proxy called 'dns'"):
        choose_socket("dns", tmp_path)
