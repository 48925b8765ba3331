"""Both ends of the proxied traffic: the upstream that echoes, and clients that share one socket.

They live in one process and take turns, so that neither waits for the scheduler to let the other run.
"""

from __future__ import annotations

import os
import socket
import struct

from .datagrams import BATCH_SLOTS, SLOT_WORDS, Batch, open_socket
from .errors import CannotMeasure
from .window import NANOSECONDS, now_ns

_LOOPBACK = "127.0.0.1"
_OPENING = 64  # sessions asked for at a time
_RESEND_NS = NANOSECONDS // 5
_GIVE_UP_NS = 20 * NANOSECONDS
_PROBE_NS = NANOSECONDS // 20
_FIRST_SOURCE = struct.unpack("!I", socket.inet_aton("127.1.0.1"))[0]


def source_of(flow: int) -> bytes:
    """Return the address that tells this flow from the others: 127.1.0.1 and on."""
    return struct.pack("!I", _FIRST_SOURCE + flow)


class Echo:
    """The upstream: sends every datagram back where it came from."""

    def __init__(self) -> None:
        self._socket = open_socket(_LOOPBACK)
        self._batch = Batch(BATCH_SLOTS)
        self._fd = self._socket.fileno()
        self.port: int = self._socket.getsockname()[1]

    def serve(self) -> int:
        """Answer what waits, at most one batch; return how many datagrams that was."""
        count = self._batch.receive(self._fd)
        if count:
            self._batch.send(self._fd, count)
        return count

    def discard(self) -> None:
        """Take what is left over from an earlier run off the socket."""
        while self._batch.receive(self._fd):
            pass

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


class Clients:
    """Any number of clients of one target: flows with a source address each, on one socket.

    Every datagram carries its flow's token and the instant it was sent."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._socket = open_socket("0.0.0.0", packet_info=True)
        self._target = target
        self._received = Batch(BATCH_SLOTS, packet_info=True)
        self._fresh = Batch(BATCH_SLOTS, packet_info=True)
        self._fd = self._socket.fileno()

    def receive(self) -> int:
        """Take up to one batch of answers; return how many."""
        return self._received.receive(self._fd)

    def stamps(self, count: int) -> bytes:
        """Return the instants at which the datagrams just received were sent."""
        return self._received.stamps[: count * SLOT_WORDS : SLOT_WORDS].tobytes()

    def tokens(self, count: int) -> list[int]:
        """Return the tokens of the datagrams just received."""
        return self._received.tokens[: count * SLOT_WORDS : SLOT_WORDS].tolist()

    def send_again(self, count: int, at_ns: int) -> None:
        """Send the datagrams just received once more, each from its own flow, stamped at_ns."""
        self._received.stamps[: count * SLOT_WORDS : SLOT_WORDS] = _repeat(at_ns, count)
        self._received.send(self._fd, count)

    def send_tokens(self, tokens: list[int], flows: int) -> None:
        """Send a datagram for each token, at most BATCH_SLOTS, from flow token modulo flows."""
        batch = self._fresh
        for slot, token in enumerate(tokens):
            batch.address(slot, source_of(token % flows), self._target)
            batch.tokens[slot * SLOT_WORDS] = token
        batch.stamps[: len(tokens) * SLOT_WORDS : SLOT_WORDS] = _repeat(now_ns(), len(tokens))
        batch.send(self._fd, len(tokens))

    def ring(self, flows: int) -> Ring:
        """Return datagrams of the flows in turn, ready to be sent in any number."""
        return Ring(self._fd, self._target, flows)

    def close(self) -> None:
        """Give the port back; its answers are nobody's from now on."""
        self._socket.close()


class Ring:
    """Datagrams prepared once and sent round and round, for an offered rate."""

    def __init__(self, fd: int, target: tuple[str, int], flows: int) -> None:
        self._fd = fd
        self._slots = flows * max(1, BATCH_SLOTS // flows)
        self._next = 0
        self._batch = Batch(self._slots, packet_info=True)
        for slot in range(self._slots):
            self._batch.address(slot, source_of(slot % flows), target)

    def send(self, count: int) -> int:
        """Send up to count datagrams, stamped now; return how many: fewer at the ring's end."""
        first = self._next
        count = min(count, BATCH_SLOTS, self._slots - first)
        stop = first + count
        self._batch.stamps[first * SLOT_WORDS : stop * SLOT_WORDS : SLOT_WORDS] = _repeat(now_ns(), count)
        self._batch.send(self._fd, count, first)
        self._next = stop % self._slots
        return count


def open_sessions(echo: Echo, clients: Clients, first: int, stop: int) -> None:
    """Have the proxy open a session for each of the flows first to stop - 1, and see an answer through each."""
    asked: dict[int, int] = {}
    waiting = list(range(stop - 1, first - 1, -1))
    give_up_ns = now_ns() + _GIVE_UP_NS
    while waiting or asked:
        if room := min(_OPENING - len(asked), len(waiting)):
            tokens = [waiting.pop() for _ in range(room)]
            clients.send_tokens(tokens, stop)
            asked.update(dict.fromkeys(tokens, now_ns()))
        echo.serve()
        for token in clients.tokens(clients.receive()):
            asked.pop(token, None)
        if now_ns() > give_up_ns:
            raise CannotMeasure(f"{len(asked) + len(waiting)} of {stop - first} sessions got no answer")
        oldest = next(iter(asked), None)
        if oldest is not None and now_ns() - asked[oldest] > _RESEND_NS:
            waiting.append(oldest)
            del asked[oldest]


def wait_for_answer(echo: Echo, target: tuple[str, int], seconds: float) -> bool:
    """Send a datagram to target now and then until one comes back; return whether one did.

    Each try has a port of its own: a proxy may let one datagram pass and no more."""
    give_up_ns = now_ns() + int(seconds * NANOSECONDS)
    while now_ns() < give_up_ns:
        clients = Clients(target)
        clients.send_tokens([0], 1)
        until_ns = now_ns() + _PROBE_NS
        while now_ns() < until_ns:
            echo.serve()
            if clients.receive():
                clients.close()
                return True
            os.sched_yield()
        clients.close()
    return False


def _repeat(value: int, count: int) -> memoryview:
    return memoryview(struct.pack("=Q", value) * count).cast("Q")
