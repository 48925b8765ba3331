"""Many clients at once for tests, run as a program: each has a socket of its own, asks, and counts what it is answered.

    python crowd.py COUNT ADDRESS PORT

A line `ask` on standard input sends one datagram from every client, no more than WINDOW unanswered at a time. When
everybody is answered, or nothing comes for WAIT_S, there is one line of JSON: how many asked, how many were answered,
how many answers were somebody else's. The end of the input ends it.
Uses nothing but the standard library, so that it starts fast.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys

WINDOW = 200
WAIT_S = 5.0


class Crowd:
    """The clients and what came of their last round."""

    def __init__(self, count: int, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._selector = selectors.DefaultSelector()
        self._clients: list[socket.socket] = []
        self._rounds = 0
        for number in range(count):
            client = socket.socket(family, socket.SOCK_DGRAM)
            client.connect((address, port))
            client.setblocking(False)
            self._selector.register(client, selectors.EVENT_READ, number)
            self._clients.append(client)

    def ask(self) -> str:
        """Let everybody ask once; return the counts as JSON."""
        self._rounds += 1
        asked = answered = foreign = 0
        while answered < len(self._clients):
            while asked < len(self._clients) and asked - answered < WINDOW:
                self._clients[asked].send(self._payload(asked))
                asked += 1
            events = self._selector.select(WAIT_S)
            if not events:
                break
            for key, _ in events:
                answer = self._clients[key.data].recv(100)
                answered += 1
                foreign += answer != self._payload(key.data)
        return json.dumps({"asked": asked, "answered": answered, "foreign": foreign})

    def _payload(self, number: int) -> bytes:
        return b"%d of round %d" % (number, self._rounds)


def main(argv: list[str]) -> int:
    """Serve until standard input ends."""
    crowd = Crowd(int(argv[1]), argv[2], int(argv[3]))
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "ask\n":
            print(crowd.ask(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
