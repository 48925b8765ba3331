"""Clients that never stop asking, and a server that tells each where it saw it, for tests. Run as a program:

    python steady.py serve ADDRESS PORT
    python steady.py ask COUNT RATE ADDRESS PORT

`ask`: COUNT clients in turn send RATE datagrams a second together, each from its own socket, until standard input ends
or says `stop`. A line `report` says how it stands, in one line of JSON: datagrams sent, answered, and clients that were
ever seen at another port than at first (moved). `serve` answers each datagram with it and the port it came from; its
`report` says how many ports it has ever heard.
Uses nothing but the standard library, so that it starts fast.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time

BATCH_S = 0.01
"""How long datagrams are gathered before they are sent."""
MOST_AT_ONCE = 100
LAST_S = 2.0
"""How long answers are waited for after the last datagram."""
BUFFER_BYTES = 4 << 20
SO_RCVBUFFORCE = 33


class Clients:
    """The clients and what came of their asking."""

    def __init__(self, count: int, rate: float, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._rate = rate
        self._epoll = select.epoll()
        self._clients: dict[int, socket.socket] = {}
        self._ports: dict[int, int] = {}
        self._moved: set[int] = set()
        self._sent = self._answered = 0
        for _ in range(count):
            client = socket.socket(family, socket.SOCK_DGRAM)
            client.connect((address, port))
            client.setblocking(False)
            self._epoll.register(client.fileno(), select.EPOLLIN)
            self._clients[client.fileno()] = client
        self._order = list(self._clients)

    def run(self) -> None:
        """Ask and listen until standard input says otherwise."""
        self._epoll.register(0, select.EPOLLIN)
        begun = time.monotonic()
        while True:
            owed = int((time.monotonic() - begun) * self._rate) - self._sent
            # Who was kept waiting by a busy machine does not make up for it: that would be another load.
            begun += max(owed - MOST_AT_ONCE, 0) / self._rate
            for _ in range(min(owed, MOST_AT_ONCE)):
                self._clients[self._order[self._sent % len(self._order)]].send(b"%d " % self._sent)
                self._sent += 1
            if not self._listen(BATCH_S):
                break
        deadline = time.monotonic() + LAST_S
        self._epoll.unregister(0)
        while self._answered < self._sent and time.monotonic() < deadline:
            self._listen(BATCH_S)
        print(self.report(), flush=True)

    def report(self) -> str:
        """Return how it stands."""
        return json.dumps(
            {"sent": self._sent, "answered": self._answered, "moved": len(self._moved), "known": len(self._ports)}
        )

    def _listen(self, seconds: float) -> bool:
        for descriptor, _ in self._epoll.poll(seconds):
            if descriptor:
                self._hear(descriptor)
                continue
            line = sys.stdin.readline()
            if line != "report\n":
                return False
            print(self.report(), flush=True)
        return True

    def _hear(self, descriptor: int) -> None:
        try:
            answer = self._clients[descriptor].recv(100)
        except OSError:
            return
        port = int(answer.split()[1])
        self._answered += 1
        if self._ports.setdefault(descriptor, port) != port:
            self._moved.add(descriptor)


def serve(address: str, port: int) -> None:
    """Answer until standard input ends."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    sock.bind((address, port))
    print(f"ready {sock.getsockname()[1]}", flush=True)
    ports: set[int] = set()
    received = 0
    while True:
        ready, _, _ = select.select([sock, sys.stdin], [], [])
        if sock in ready:
            payload, source = sock.recvfrom(100)
            received += 1
            ports.add(source[1])
            sock.sendto(payload + b"%d" % source[1], source)
        if sys.stdin in ready:
            if sys.stdin.readline() != "report\n":
                return
            print(json.dumps({"received": received, "ports": len(ports)}), flush=True)


def main(argv: list[str]) -> int:
    """Do one side's work."""
    if argv[1] == "serve":
        serve(argv[2], int(argv[3]))
        return 0
    clients = Clients(int(argv[2]), float(argv[3]), argv[4], int(argv[5]))
    print("ready", flush=True)
    clients.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
