"""The monitor's server: it answers, it ends when told, and nobody who talks nonsense or nothing can stop it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import threading
from collections.abc import Iterator

from proxyd.monitor.app import make_app
from proxyd.monitor.server import CONNECTIONS, serve
from tests.proxyd.monitor.views import a_view
from workers.contract.channel import open_channel
from workers.contract.exitcodes import ExitCode
from workers.errors import ContractError

WAIT_S = 20.0


@contextlib.contextmanager
def served(codes: queue.SimpleQueue[object]) -> Iterator[tuple[tuple[str, int], int, socket.socket]]:
    """Serve in a thread; give the address, where signals go, and the parent's end of the channel."""
    ours, theirs = open_channel()
    readable, writable = os.pipe()

    def run() -> None:
        try:
            codes.put(serve(sock, make_app(view), theirs, readable))
        except ContractError as error:
            codes.put(error)

    with a_view() as view, socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield sock.getsockname(), writable, ours
        finally:
            os.write(writable, bytes((signal.SIGTERM,)))
            thread.join(WAIT_S)
            assert not thread.is_alive()
            theirs.close()
            os.close(readable)
            os.close(writable)


def ask(address: tuple[str, int], request: bytes = b"GET /livez HTTP/1.0\r\n\r\n") -> bytes:
    """Return everything the server says."""
    with socket.create_connection(address, WAIT_S) as client:
        client.sendall(request)
        said = b""
        while chunk := client.recv(4096):
            said += chunk
        return said


def test_it_answers_and_ends_when_told_to() -> None:
    codes: queue.SimpleQueue[object] = queue.SimpleQueue()
    with served(codes) as (address, _, ours):
        assert ask(address).endswith(b"\r\n\r\nok\n")
        assert ask(address, b"HEAD /livez HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n")
    assert codes.get(timeout=WAIT_S) is ExitCode.STOPPED
    ours.close()


def test_it_ends_when_the_parent_is_gone() -> None:
    codes: queue.SimpleQueue[object] = queue.SimpleQueue()
    with served(codes) as (_, _, ours):
        ours.close()
        assert isinstance(codes.get(timeout=WAIT_S), ContractError)


def test_nonsense_is_answered_and_forgotten() -> None:
    with served(queue.SimpleQueue()) as (address, _, ours):
        for request in (b"\0\xff\r\n\r\n", b"GET\r\n\r\n", b"GET /" + b"x" * 70_000 + b" HTTP/1.0\r\n\r\n"):
            with contextlib.suppress(ConnectionError):
                ask(address, request)
        with socket.create_connection(address):
            pass  # and gone again
        assert ask(address).endswith(b"ok\n")
    ours.close()


def test_those_who_say_nothing_take_no_more_than_their_share() -> None:
    with served(queue.SimpleQueue()) as (address, _, ours), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(address, WAIT_S)) for _ in range(CONNECTIONS)]
        # One more is closed unheard: its connection ends without an answer.
        with contextlib.suppress(ConnectionError):
            assert ask(address) == b""
        silent[0].sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert silent[0].recv(4096).startswith(b"HTTP/1.0 200")
    ours.close()
