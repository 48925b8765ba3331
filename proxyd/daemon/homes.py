"""Which worker gets a client's datagrams from now on: what the kernel will choose, found out without a datagram.

Where a program steers a listener's datagrams, its arithmetic is done here; where the kernel's hash does, the kernel is
asked. A client that wrote to everybody on a network is the first worker's.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from proxyd.daemon.demands import Choice
from proxyd.daemon.sockets import raw_sockaddr
from workers.contract.settings import ListenerSettings
from workers.net.cbpf import socket_of
from workers.net.delivery import Delivery, Flow
from workers.net.interfaces import Table
from workers.wire import sockaddr

EVERYBODY4 = b"\xff\xff\xff\xff"
FIRST = 0


class Caller(NamedTuple):
    """Who writes to whom, raw: by the listener and the worker that have heard it so far."""

    listener: int
    source: bytes
    destination: bytes
    worker: int


class Home(NamedTuple):
    """The listener that hears a client from now on, and the worker; None where the kernel knows no socket of ours."""

    listener: int
    worker: int | None


class Homes:
    """Homes among so many workers. choices: who gets what, by listener. cookies: the worker behind each socket.

    table: the machine's addresses. anew: the listeners whose clients are spread anew; who is heard by another one, and
    by the same as before, has the worker that it had.
    """

    def __init__(
        self,
        listeners: Sequence[ListenerSettings],
        choices: Sequence[Choice],
        workers: int,
        cookies: Mapping[int, int],
        delivery: Delivery,
        table: Table,
        anew: Collection[int],
    ) -> None:
        self._listeners = listeners
        self._choices = choices
        self._workers = workers
        self._cookies = cookies
        self._delivery = delivery
        self._table = table
        self._anew = anew
        self._known: dict[Caller, Home] = {}
        self._exact = {
            raw_sockaddr(listener): index
            for index, listener in enumerate(listeners)
            if listener.address.value and not listener.transparent
        }
        self._interfaces = [_interface(listener) for listener in listeners]

    def learn(self, callers: Iterable[Caller]) -> None:
        """Find out the homes of callers, many at once; nobody knows them where the kernel cannot be asked."""
        asked: list[tuple[Caller, int]] = []
        for caller in callers:
            if caller in self._known:
                continue
            listener = self._hears(caller)
            self._known[caller] = Home(listener, self._reckon(listener, caller))
            if self._known[caller].worker is None:
                asked.append((caller, listener))
        flows = [Flow(caller.source, caller.destination, self._enters(caller, listener)) for caller, listener in asked]
        try:
            cookies = self._delivery.takers(flows)
        except OSError:
            cookies = [None] * len(flows)
        for (caller, listener), cookie in zip(asked, cookies, strict=True):
            self._known[caller] = Home(listener, None if cookie is None else self._cookies.get(cookie))

    def of(self, caller: Caller) -> Home:
        """Return the home of a caller; of one that was not learnt, nobody knows the worker."""
        return self._known.get(caller) or Home(self._hears(caller), None)

    def _hears(self, caller: Caller) -> int:
        """Return the listener that hears a caller by now: the kernel gives datagrams to who is more particular."""
        if self._listeners[caller.listener].transparent:
            return caller.listener
        return self._exact.get(caller.destination, caller.listener)

    def _reckon(self, listener: int, caller: Caller) -> int | None:
        """Return the worker, None where only the kernel knows it."""
        choice = self._choices[listener]
        if listener == caller.listener and listener not in self._anew:
            return caller.worker
        if self._workers == 1 or choice is Choice.FIRST or self._is_everybody(listener, caller.destination):
            return FIRST
        return socket_of(caller.source, self._workers) if choice is Choice.CLIENT else None

    def _is_everybody(self, listener: int, destination: bytes) -> bool:
        if self._listeners[listener].address.value or len(destination) != sockaddr.V4_BYTES:
            return False
        host = destination[4:8]
        return host == EVERYBODY4 or self._table.broadcast_of(host) is not None

    def _enters(self, caller: Caller, listener: int) -> int:
        return self._interfaces[listener] or sockaddr.scope_of(caller.destination)


def _interface(listener: ListenerSettings) -> int:
    """Return the interface that a listener's sockets are bound to, 0 for none."""
    try:
        return 0 if listener.device is None else socket.if_nametoindex(listener.device)
    except OSError:
        return 0
