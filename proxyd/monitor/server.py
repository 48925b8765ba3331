"""The monitor's loop: an HTTP server with a bound on everything a stranger can take: connections, time, lines.

A connection has a thread, ten seconds and one request; more than CONNECTIONS at once are closed unheard.
Source: wsgiref.simple_server, socketserver; Python's documentation.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from workers.contract.context import ChannelLike
from workers.contract.exitcodes import ExitCode

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

CONNECTIONS = 16
REQUEST_SECONDS = 10.0


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: whoever asks every second would fill the log."""
        del format, args


class Server(ThreadingMixIn, WSGIServer):
    """An HTTP server on a socket that is bound already, and listens."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, sock: socket.socket, app: WSGIApplication) -> None:
        host, port = sock.getsockname()[:2]
        super().__init__((host, port), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        # Not asked of DNS: the child has another root, and nobody reads it.
        self.server_name, self.server_port = host, port
        self.setup_environ()
        self.set_app(app)
        self._room = threading.BoundedSemaphore(CONNECTIONS)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Tell whether there is room for one more connection."""
        del request, client_address
        return self._room.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one connection, and make room again."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a client that goes away in the middle is no event."""
        del request, client_address


def serve(sock: socket.socket, app: WSGIApplication, channel: ChannelLike, wakeup: int) -> ExitCode:
    """Answer until told to stop. Raises ContractError when the parent is gone."""
    poll = select.poll()
    with Server(sock, app) as server:
        for fd in (sock.fileno(), channel.fileno(), wakeup):
            poll.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if wakeup in ready and signal.SIGTERM in os.read(wakeup, 64):
                return ExitCode.STOPPED
            while channel.receive() is not None:
                pass  # nothing of what workers are told concerns the monitor.
            if sock.fileno() in ready:
                server.handle_request()
