"""A UDP peer for tests, run as a program: it echoes or swallows datagrams, and counts them exactly.

    python udp_peer.py echo|sink ADDRESS PORT

Prints `ready ADDRESS PORT` once bound (PORT 0: the system chooses). A line `report` on standard input is answered with
one line of JSON: datagrams and bytes received, datagrams sent, different sources. The end of the input ends it.
Uses nothing but the standard library, so that it starts fast.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys

RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024


class Peer:
    """The bound socket and what went through it."""

    def __init__(self, mode: str, address: str, port: int) -> None:
        self._echo = mode == "echo"
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._socket.bind((address, port))
        self._socket.setblocking(False)
        self._received = self._bytes = self._sent = 0
        self._sources: set[object] = set()

    @property
    def sock(self) -> socket.socket:
        """The bound socket."""
        return self._socket

    def drain(self) -> None:
        """Receive all that waits."""
        while True:
            try:
                payload, source = self._socket.recvfrom(65_536)
            except BlockingIOError:
                return
            self._received += 1
            self._bytes += len(payload)
            self._sources.add(source)
            if self._echo:
                self._socket.sendto(payload, source)
                self._sent += 1

    def report(self) -> str:
        """Return the counts as JSON, all that has arrived included."""
        self.drain()
        counts = {"received": self._received, "bytes": self._bytes, "sent": self._sent, "sources": len(self._sources)}
        return json.dumps(counts)


def main(argv: list[str]) -> int:
    """Serve until standard input ends."""
    mode, address, port = argv[1], argv[2], int(argv[3])
    if mode not in ("echo", "sink"):
        print(f"{mode}: echo or sink was wanted", file=sys.stderr)
        return 64
    peer = Peer(mode, address, port)
    print("ready", *peer.sock.getsockname()[:2], flush=True)
    with selectors.DefaultSelector() as selector:
        selector.register(peer.sock, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is peer.sock:
                    peer.drain()
                elif sys.stdin.readline() == "":
                    return 0
                else:
                    print(peer.report(), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
