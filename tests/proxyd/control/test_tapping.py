"""Watching a session: what comes through the lane is in the file, and what is missing is told."""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyd.control import pcapng
from proxyd.control.client import Connection, RefusedError, UnreachableError
from proxyd.control.protocol import AskTap, Done, Reply, Request
from proxyd.control.tapping import GONE, Bounds, Tally, follow, open_lane
from proxyd.daemon.asker import Asker
from tests.proxyd.control.office import attended
from tests.proxyd.control.scene import SESSION
from workers.contract.tapping import ADDRESSES, HEAD, Kind, Way


def sock(host: int, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!HI8x", port, host)


CLIENT, DESTINATION, LOCAL, SERVER = sock(1, 10), sock(2, 20), sock(3, 30), sock(4, 40)
BEGUN = HEAD.pack(Kind.BEGUN, 0, 0, 0, b"") + ADDRESSES.pack(CLIENT, DESTINATION, LOCAL, SERVER)
BOUNDS = Bounds(5, 500, 1.5, 65_535)


def passed(way: Way, payload: bytes, lost: int = 0) -> bytes:
    return HEAD.pack(Kind.DATAGRAM, way, 7, lost, SERVER) + payload


def ended(why: bytes, lost: int = 0) -> bytes:
    return HEAD.pack(Kind.ENDED, 0, 9, lost, b"") + why


class Proxy:
    """Lends the lane to a worker that says what it is told to, and goes."""

    def __init__(self, *words: bytes) -> None:
        self.words = words
        self.asked: list[Request] = []

    def answer(self, request: Request, asker: Asker) -> Iterator[Reply]:
        self.asked.append(request)
        descriptor = asker.take()
        assert descriptor is not None
        with socket.socket(fileno=descriptor) as lane:
            for word in self.words:
                lane.send(word)
        yield Done()


def watch(folder: Path, proxy: Proxy, side: str = "client") -> tuple[bytes, Tally]:
    file, tally = io.BytesIO(), Tally()
    with attended(folder / "x.ctl", proxy.answer) as path, Connection(path) as connection:
        follow(connection, SESSION, BOUNDS, side, file, tally)
    return file.getvalue(), tally


def test_a_session_is_asked_for_as_it_is_known_and_with_its_bounds(tmp_path: Path) -> None:
    proxy = Proxy(BEGUN)
    watch(tmp_path, proxy)
    assert proxy.asked == [AskTap(SESSION.worker, SESSION.slot, SESSION.began_ns, 5, 500, 1_500_000_000)]


def test_what_comes_is_counted_and_the_end_has_its_reason(tmp_path: Path) -> None:
    words = (BEGUN, passed(Way.OUT, b"abc"), passed(Way.IN, b"defg", 2), ended(b"the time is up", 3))
    file, tally = watch(tmp_path, Proxy(*words))
    assert tally == Tally(2, 7, 3, "the time is up")
    assert file.startswith(pcapng.head("proxyctl", SESSION.id, f"client side of session {SESSION.id}"))
    assert file.endswith(pcapng.foot(0, 5, 3)[20:])


@pytest.mark.parametrize(
    ("side", "out_flag", "out_ends", "in_ends"),
    [
        ("client", pcapng.INBOUND, ((1, 10), (2, 20)), ((2, 20), (1, 10))),
        ("server", pcapng.OUTBOUND, ((3, 30), (4, 40)), ((4, 40), (3, 30))),
    ],
)
def test_datagrams_are_shown_as_the_chosen_side_sees_them(
    tmp_path: Path, side: str, out_flag: int, out_ends: object, in_ends: object
) -> None:
    file, _ = watch(tmp_path, Proxy(BEGUN, passed(Way.OUT, b"out!"), passed(Way.IN, b"in!!")), side)
    for payload, flag, ends in ((b"out!", out_flag, out_ends), (b"in!!", 3 - out_flag, in_ends)):
        at = file.index(payload) - 28
        (source, target) = struct.unpack_from("!II", file, at + 12)
        ports = struct.unpack_from("!HH", file, at + 20)
        assert ((source, ports[0]), (target, ports[1])) == ends
        assert struct.unpack_from("=HHI", file, at + 32) == (2, 4, flag)


def test_a_lane_that_ends_without_a_word_ends_the_tap(tmp_path: Path) -> None:
    _, tally = watch(tmp_path, Proxy(BEGUN, passed(Way.OUT, b"x")))
    assert (tally.datagrams, tally.why) == (1, GONE)


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ((ended(b"there are 4 taps already"),), RefusedError, "there are 4 taps already"),
        ((), RefusedError, GONE),
        ((b"short",), UnreachableError, "another version"),
        ((HEAD.pack(77, 0, 0, 0, b""),), UnreachableError, "another version"),
    ],
)
def test_a_tap_that_does_not_begin_says_why(
    tmp_path: Path, words: tuple[bytes, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        watch(tmp_path, Proxy(*words))


def test_an_interrupted_file_is_complete(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            if b"interrupt" in bytes(data):  # type: ignore[call-overload]
                raise KeyboardInterrupt
            return super().write(data)  # type: ignore[arg-type]

    file, tally = Full(), Tally()
    proxy = Proxy(BEGUN, passed(Way.OUT, b"interrupt"))
    with (
        attended(tmp_path / "x.ctl", proxy.answer) as path,
        Connection(path) as connection,
        pytest.raises(KeyboardInterrupt),
    ):
        follow(connection, SESSION, BOUNDS, "client", file, tally)
    assert file.getvalue().endswith(pcapng.foot(0, 1, 0)[20:])


def test_a_lane_has_more_room_than_a_socket_by_itself() -> None:
    near, far = open_lane()
    plain, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far, plain, other:
        room = [one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) for one in (far, plain)]
        assert room[0] >= room[1]
