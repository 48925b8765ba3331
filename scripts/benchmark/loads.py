"""The three kinds of load: a closed loop, sessions of one request, and an offered rate."""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass

from .datagrams import BATCH_SLOTS, PAYLOAD_BYTES
from .peers import Clients, Echo, open_sessions
from .window import NANOSECONDS, Traffic, Window, now_ns

_CENSUS_NS = NANOSECONDS // 2  # from one census to the next
_ROLL_CALL_NS = NANOSECONDS // 5  # how long each looks: far above any round trip
_LOST_NS = NANOSECONDS // 2  # an answer that takes longer does not come
_DRAIN_NS = NANOSECONDS // 5  # after such a silence nothing is under way any more
_AT_ONCE = 8  # new sockets between two turns of the echo


class Census:
    """Finds the tokens of a closed loop that went missing: those not seen in a whole roll call.

    Looks a fifth of a second out of every seven tenths, for it costs a little for each datagram."""

    def __init__(self, tokens: int, at_ns: int) -> None:
        self._all = frozenset(range(tokens))
        self._seen: set[int] = set()
        self._due_ns = at_ns + _CENSUS_NS
        self._until_ns = 0
        self.looking = False

    def note(self, tokens: list[int]) -> None:
        """Take down who is here; wanted only while looking."""
        self._seen.update(tokens)

    def missing(self, at_ns: int) -> list[int]:
        """Return the tokens found missing at the end of a roll call, nothing at other times."""
        if self.looking and at_ns >= self._until_ns:
            self.looking = False
            self._due_ns = at_ns + _CENSUS_NS
            return sorted(self._all - self._seen)
        if not self.looking and at_ns >= self._due_ns:
            self.looking = True
            self._seen.clear()
            self._until_ns = at_ns + _ROLL_CALL_NS
        return []


def run_closed(echo: Echo, clients: Clients, flows: int, outstanding: int, window: Window) -> Traffic:
    """Keep outstanding datagrams of each flow under way: an answer is sent out again at once."""
    open_sessions(echo, clients, 0, flows)
    window.open()
    absent = list(range(flows * outstanding))
    put_in = sent_again = 0
    census = Census(len(absent), now_ns())
    while True:
        at_ns = now_ns()
        if at_ns >= window.edge_ns and not window.cross():
            break
        absent += census.missing(at_ns)
        if absent:
            fresh, absent = absent[:BATCH_SLOTS], absent[BATCH_SLOTS:]
            clients.send_tokens(fresh, flows)
            put_in += len(fresh)
        echo.serve()
        count = clients.receive()
        if count:
            at_ns = now_ns()
            window.keep(at_ns, clients.stamps(count))
            if census.looking:
                census.note(clients.tokens(count))
            clients.send_again(count, at_ns)
            sent_again += count
    lost = put_in - len(set(_drain(echo, clients)))
    return window.traffic(put_in + sent_again, lost)


def run_paced(echo: Echo, clients: Clients, flows: int, rate: float, window: Window) -> Traffic:
    """Offer rate datagrams a second, spread over the flows in turn, whether or not answers come."""
    open_sessions(echo, clients, 0, flows)
    ring = clients.ring(flows)
    window.open()
    began_ns = now_ns()
    offered = answered = 0
    while True:
        at_ns = now_ns()
        if at_ns >= window.edge_ns and not window.cross():
            break
        due = int((at_ns - began_ns) * rate / NANOSECONDS) - offered
        if due > 0:
            offered += ring.send(due)
        echo.serve()
        count = clients.receive()
        if count:
            window.keep(now_ns(), clients.stamps(count))
            answered += count
    answered += len(_drain(echo, clients))
    return window.traffic(offered, max(0, offered - answered))


def _drain(echo: Echo, clients: Clients) -> list[int]:
    """Return the tokens of the answers that still come in."""
    tokens: list[int] = []
    until_ns = now_ns() + _DRAIN_NS
    while now_ns() < until_ns:
        if (count := clients.receive()) + echo.serve():
            tokens += clients.tokens(count)
            until_ns = now_ns() + _DRAIN_NS
    return tokens


def run_requests(echo: Echo, target: tuple[str, int], outstanding: int, window: Window) -> Traffic:
    """Keep outstanding requests under way, each from a new socket that is closed after its one answer."""
    requests = _Requests(target)
    window.open()
    while True:
        at_ns = now_ns()
        if at_ns >= window.edge_ns and not window.cross():
            break
        for _ in range(min(_AT_ONCE, outstanding - len(requests.pending))):
            requests.ask()
        echo.serve()
        requests.take_answers(window)
        requests.give_up(at_ns - _LOST_NS)
    offered, lost = requests.offered - len(requests.pending), requests.lost
    requests.close()
    return window.traffic(offered, lost)


@dataclass(frozen=True, slots=True)
class _Request:
    sock: socket.socket
    sent_ns: int


class _Requests:
    """Clients that live for one request each; pending has them by descriptor, oldest first."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._epoll = select.epoll()
        self._payload = bytes(PAYLOAD_BYTES)
        self.pending: dict[int, _Request] = {}
        self.offered = 0
        self.lost = 0

    def ask(self) -> None:
        """Send a request from a port of its own."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.connect(self._target)
        fd = sock.fileno()
        self._epoll.register(fd, select.EPOLLIN)
        self.pending[fd] = _Request(sock, now_ns())
        sock.send(self._payload)
        self.offered += 1

    def take_answers(self, window: Window) -> None:
        """Take up to _AT_ONCE answers and close their sockets."""
        for fd, _ in self._epoll.poll(0, _AT_ONCE):
            request = self.pending.pop(fd)
            request.sock.recv(PAYLOAD_BYTES)
            at_ns = now_ns()
            request.sock.close()
            window.keep(at_ns, request.sent_ns.to_bytes(8, "little"))

    def give_up(self, before_ns: int) -> None:
        """Count the requests sent before before_ns as lost."""
        while self.pending:
            fd, request = next(iter(self.pending.items()))
            if request.sent_ns >= before_ns:
                break
            del self.pending[fd]
            request.sock.close()
            self.lost += 1

    def close(self) -> None:
        """Close what is still open."""
        for request in self.pending.values():
            request.sock.close()
        self._epoll.close()
