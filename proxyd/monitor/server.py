"""The monitor's loop: one process, one thread, and a bound on everything that a stranger can take.

Connections, the time in which a request has to be complete, the time in which an answer has to be taken, and the time
that a connection may rest between two requests. Where there are too many connections, one that rests makes room.
Source: poll(2); RFC 9112 section 9.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from proxyd.monitor.http import Answer, BadRequestError, Request, find_head, parse_request, refusal, write_answer
from workers.contract.context import ChannelLike
from workers.contract.exitcodes import ExitCode

CONNECTIONS = 32
REQUEST_NS = 10_000_000_000
ANSWER_NS = 30_000_000_000
REST_NS = 65_000_000_000
"""Longer than the minute that many who scrape let pass."""
_CHUNK_BYTES = 4096
_TURN_ACCEPTS = 8


class Connection:
    """One client. sock is non-blocking; deadline_ns: when it is closed, whatever it does."""

    def __init__(self, sock: socket.socket, answer: Callable[[Request], Answer], now_ns: int) -> None:
        self.sock = sock
        self.deadline_ns = now_ns + REQUEST_NS
        self.resting = False
        self._answer = answer
        self._received = bytearray()
        self._unsent: memoryview = memoryview(b"")
        self._lasting = True

    @property
    def waits_for(self) -> int:
        """What to poll for."""
        return select.POLLOUT if self._unsent else select.POLLIN

    def handle(self, now_ns: int) -> bool:
        """Do what can be done without waiting; return whether the connection goes on."""
        try:
            if self._unsent:
                return self._send(now_ns)
            chunk = self.sock.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not chunk:
            return False
        if self.resting:
            self.resting = False
            self.deadline_ns = now_ns + REQUEST_NS
        self._received += chunk
        return self._take(now_ns)

    def _take(self, now_ns: int) -> bool:
        """Answer the request that has arrived, if it is all there; others behind it wait for their turn."""
        try:
            size = find_head(self._received)
            if not size:
                return True
            request = parse_request(bytes(self._received[:size]))
        except BadRequestError as error:
            self._lasting = False
            reply = write_answer(refusal(error.status, error.why), lasting=False)
        else:
            del self._received[:size]
            self._lasting = request.lasting
            answer = self._answer(request)
            reply = write_answer(answer, lasting=self._lasting, body=request.method != "HEAD")
        self._unsent = memoryview(reply)
        self.deadline_ns = now_ns + ANSWER_NS
        try:
            return self._send(now_ns)
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _send(self, now_ns: int) -> bool:
        self._unsent = self._unsent[self.sock.send(self._unsent) :]
        if self._unsent:
            return True
        if not self._lasting:
            # What the client still sends would turn into a reset, and take the answer with it.
            self.sock.shutdown(socket.SHUT_WR)
            return False
        if self._received:
            return self._take(now_ns)
        self.resting = True
        self.deadline_ns = now_ns + REST_NS
        return True


class Server:
    """Serves on a socket that listens."""

    def __init__(self, sock: socket.socket, answer: Callable[[Request], Answer]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._answer = answer
        self._connections: dict[int, Connection] = {}
        self.poll = select.poll()
        self.poll.register(sock.fileno(), select.POLLIN)

    def wait_ms(self, now_ns: int) -> int | None:
        """Return how long to wait for events at most, None: as long as it takes."""
        if not self._connections:
            return None
        due_ns = min(connection.deadline_ns for connection in self._connections.values())
        return max(0, -(-(due_ns - now_ns) // 1_000_000))

    def handle(self, descriptor: int, now_ns: int) -> None:
        """Handle what has happened on a descriptor; on one that is not ours, nothing."""
        if descriptor == self._sock.fileno():
            self._accept(now_ns)
            return
        connection = self._connections.get(descriptor)
        if connection is None:
            return
        if connection.handle(now_ns):
            self.poll.modify(descriptor, connection.waits_for)
        else:
            self._close(descriptor)

    def expire(self, now_ns: int) -> None:
        """Close the connections whose time is up."""
        for descriptor, connection in list(self._connections.items()):
            if connection.deadline_ns <= now_ns:
                self._close(descriptor)

    def close(self) -> None:
        """Close all connections."""
        for descriptor in list(self._connections):
            self._close(descriptor)

    def _accept(self, now_ns: int) -> None:
        for _ in range(_TURN_ACCEPTS):
            try:
                sock, _ = self._sock.accept()
            except OSError:
                # None waits any more, it has gone already, or there are no descriptors: others will end.
                return
            if len(self._connections) >= CONNECTIONS and not self._make_room():
                sock.close()
                continue
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                with suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[sock.fileno()] = Connection(sock, self._answer, now_ns)
            self.poll.register(sock.fileno(), select.POLLIN)

    def _make_room(self) -> bool:
        """Close the connection that has rested longest; False when all are in the middle of something."""
        resting = [(one.deadline_ns, descriptor) for descriptor, one in self._connections.items() if one.resting]
        if not resting:
            return False
        self._close(min(resting)[1])
        return True

    def _close(self, descriptor: int) -> None:
        self.poll.unregister(descriptor)
        self._connections.pop(descriptor).sock.close()


def serve(sock: socket.socket, answer: Callable[[Request], Answer], channel: ChannelLike, wakeup: int) -> ExitCode:
    """Answer until told to stop. Raises ContractError when the parent is gone."""
    server = Server(sock, answer)
    for fd in (channel.fileno(), wakeup):
        server.poll.register(fd, select.POLLIN)
    try:
        while True:
            events = server.poll.poll(server.wait_ms(time.monotonic_ns()))
            ready = {fd for fd, _ in events}
            if wakeup in ready and signal.SIGTERM in os.read(wakeup, 64):
                return ExitCode.STOPPED
            while channel.fileno() in ready and channel.receive() is not None:
                pass  # nothing of what workers are told concerns the monitor.
            now_ns = time.monotonic_ns()
            for fd in ready:
                server.handle(fd, now_ns)
            server.expire(now_ns)
    finally:
        server.close()
