"""The monitor's server: it answers, it ends when told, and nobody who talks nonsense or nothing can stop it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus

from proxyd.monitor.http import Answer, Request
from proxyd.monitor.server import ANSWER_NS, CONNECTIONS, REQUEST_NS, REST_NS, Connection, Server, serve
from workers.contract.channel import open_channel
from workers.contract.exitcodes import ExitCode
from workers.errors import ContractError

WAIT_S = 20.0
REQUEST = b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /here HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
LARGE = 8 << 20


def echo(request: Request) -> Answer:
    body = b"x" * LARGE if request.path == "/large" else request.path.encode()
    return Answer(HTTPStatus.OK, "text/plain", body)


@contextlib.contextmanager
def served(codes: queue.SimpleQueue[object]) -> Iterator[tuple[tuple[str, int], socket.socket]]:
    """Serve in a thread; give the address, and the parent's end of the channel."""
    ours, theirs = open_channel()
    readable, writable = os.pipe()

    def run() -> None:
        try:
            codes.put(serve(sock, echo, theirs, readable))
        except ContractError as error:
            codes.put(error)

    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield sock.getsockname(), ours
        finally:
            os.write(writable, bytes((signal.SIGTERM,)))
            thread.join(WAIT_S)
            assert not thread.is_alive()
            theirs.close()
            os.close(readable)
            os.close(writable)


def hear_all(client: socket.socket) -> bytes:
    said = b""
    while chunk := client.recv(65536):
        said += chunk
    return said


def ask(address: tuple[str, int], request: bytes = LAST) -> bytes:
    """Return everything the server says."""
    with socket.create_connection(address, WAIT_S) as client:
        client.sendall(request)
        return hear_all(client)


class Bench:
    """A server, and connections to it, in one thread; time is what the test says."""

    def __init__(self) -> None:
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.server = Server(self._sock, echo)
        self.clients: list[socket.socket] = []

    def connect(self) -> socket.socket:
        client = socket.create_connection(self._sock.getsockname(), WAIT_S)
        self.clients.append(client)
        return client

    def turn(self, now_ns: int = 0, within_ms: int = 1000) -> None:
        """Handle what can be handled now."""
        for fd, _ in self.server.poll.poll(within_ms):
            self.server.handle(fd, now_ns)

    def close(self) -> None:
        self.server.close()
        self._sock.close()
        for client in self.clients:
            client.close()


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    with contextlib.closing(Bench()) as made:
        yield made


def is_open(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


def test_it_answers_and_ends_when_told_to() -> None:
    codes: queue.SimpleQueue[object] = queue.SimpleQueue()
    with served(codes) as (address, ours):
        assert ask(address).endswith(b"\r\n\r\n/here")
        assert ask(address, LAST.replace(b"GET", b"HEAD")).endswith(b"\r\n\r\n")
    assert codes.get(timeout=WAIT_S) is ExitCode.STOPPED
    ours.close()


def test_it_ends_when_the_parent_is_gone() -> None:
    codes: queue.SimpleQueue[object] = queue.SimpleQueue()
    with served(codes) as (_, ours):
        ours.close()
        assert isinstance(codes.get(timeout=WAIT_S), ContractError)


def test_who_talks_nonsense_is_told_so_and_others_are_served() -> None:
    codes: queue.SimpleQueue[object] = queue.SimpleQueue()
    with served(codes) as (address, ours):
        for nonsense in (b"\0" * 9000, b"POST / HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
            assert ask(address, nonsense).startswith(b"HTTP/1.1 4")
        assert ask(address).startswith(b"HTTP/1.1 200 ")
    ours.close()


def test_a_large_answer_comes_whole_to_who_takes_it_slowly() -> None:
    codes: queue.SimpleQueue[object] = queue.SimpleQueue()
    with served(codes) as (address, ours):
        assert len(ask(address, LAST.replace(b"/here", b"/large"))) > LARGE
    ours.close()


def test_several_requests_come_one_after_the_other_or_at_once() -> None:
    with bench() as made:
        client = made.connect()
        made.turn()
        for requests in (1, 3):
            client.sendall(REQUEST * requests)
            made.turn()
            assert client.recv(65536).count(b"\r\n\r\n/here") == requests


def test_a_request_may_come_byte_by_byte() -> None:
    with bench() as made:
        client = made.connect()
        made.turn()
        for byte in REQUEST:
            client.sendall(bytes((byte,)))
            made.turn()
        assert client.recv(65536).endswith(b"/here")


def test_a_request_has_to_be_complete_in_time_however_it_dribbles() -> None:
    with bench() as made:
        client = made.connect()
        made.turn()
        client.sendall(b"GET")
        made.turn(REQUEST_NS - 1)
        made.server.expire(REQUEST_NS - 1)
        assert is_open(client)
        assert made.server.wait_ms(REQUEST_NS - 2_000_000) == 2
        made.server.expire(REQUEST_NS)
        assert not is_open(client)
        assert made.server.wait_ms(0) is None


def test_an_answer_has_to_be_taken_in_time() -> None:
    with bench() as made:
        client = made.connect()
        made.turn()
        client.sendall(REQUEST.replace(b"/here", b"/large"))
        made.turn(5)
        made.server.expire(5 + ANSWER_NS - 1)
        assert made.server.wait_ms(5) == ANSWER_NS // 1_000_000
        made.server.expire(5 + ANSWER_NS)
        assert made.server.wait_ms(5) is None


def test_a_connection_may_rest_between_two_requests_for_a_while() -> None:
    with bench() as made:
        client = made.connect()
        made.turn()
        client.sendall(REQUEST)
        made.turn(7)
        client.recv(65536)
        made.server.expire(7 + REST_NS - 1)
        assert is_open(client)
        made.server.expire(7 + REST_NS)
        assert not is_open(client)


def test_one_that_rests_makes_room_for_another() -> None:
    with bench() as made:
        first = made.connect()
        made.turn()
        first.sendall(REQUEST)
        made.turn()
        first.recv(65536)
        for _ in range(CONNECTIONS):
            made.connect()
            made.turn()
        assert not is_open(first)
        assert all(is_open(client) for client in made.clients[1:])


def test_where_none_rests_one_too_many_is_closed_unheard() -> None:
    with bench() as made:
        for _ in range(CONNECTIONS + 1):
            made.connect()
            made.turn()
        assert [is_open(client) for client in made.clients] == [True] * CONNECTIONS + [False]


def test_a_client_that_goes_is_forgotten() -> None:
    with bench() as made:
        made.connect().close()
        made.turn()
        made.turn()
        assert made.server.wait_ms(0) is None


def test_a_client_that_resets_in_the_middle_of_an_answer_is_forgotten() -> None:
    with bench() as made:
        client = made.connect()
        made.turn()
        client.sendall(REQUEST.replace(b"/here", b"/large"))
        made.turn()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        made.turn()
        assert made.server.wait_ms(0) is None


def test_a_connection_waits_for_what_comes_next() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        connection = Connection(ours, echo, 0)
        assert connection.handle(0)
        theirs.sendall(REQUEST.replace(b"/here", b"/large"))
        before = connection.waits_for
        assert connection.handle(0)
        assert connection.waits_for != before
