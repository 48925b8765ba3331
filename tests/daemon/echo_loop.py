"""A worker's loop for tests of the frame: it answers every datagram with its own process id and the datagram.

Payloads that begin with `!` are orders: crash, sleep, breach, records, permits, state.
"""

from __future__ import annotations

import os
import select
import signal
import time

from workers.contract.context import WorkerContext
from workers.contract.exitcodes import ExitCode
from workers.contract.messages import LogBatch, LogRecord, Names, Ready
from workers.contract.slots import Counter


def run(context: WorkerContext) -> ExitCode:
    """Serve until SIGTERM or until the parent is gone."""
    worker = EchoWorker(context)
    if context.names is None or context.names.addresses:
        worker.tell_names("begins with", context.names)
    epoll = select.epoll()
    epoll.register(context.wakeup, select.EPOLLIN)
    if context.channel.fileno() >= 0:
        epoll.register(context.channel.fileno(), select.EPOLLIN)
    for sock in context.listeners:
        epoll.register(sock.fileno(), select.EPOLLIN)
    while not worker.stopping:
        for descriptor, _ in epoll.poll():
            if descriptor == context.wakeup:
                worker.handle_signals()
            elif descriptor == context.channel.fileno():
                worker.handle_messages()
            else:
                worker.echo(descriptor)
    return ExitCode.STOPPED


class EchoWorker:
    """The state of one echoing worker."""

    def __init__(self, context: WorkerContext) -> None:
        self.stopping = False
        self.level = context.level
        self._context = context
        self._sockets = {sock.fileno(): sock for sock in context.listeners}
        self._orders = {
            b"!crash": self._crash,
            b"!sleep": lambda: time.sleep(30),
            b"!ready": lambda: context.channel.send(Ready()),
            b"!names": lambda: context.channel.send(Names({})),
            b"!forge": lambda: self.log("terminating", "a child says so"),
            b"!permit": self._take_permit,
        }

    def log(self, event: str, *fields: str | int | bytes | None) -> None:
        self._context.channel.send(LogBatch([LogRecord(event, 0, fields)], 0))

    def handle_signals(self) -> None:
        for number in os.read(self._context.wakeup, 100):
            if number == signal.SIGTERM:
                self.stopping = True
            elif number == signal.SIGRTMIN + 1:
                self.log("state", f"worker {self._context.index} of process {os.getpid()}")
            else:
                self.level += {signal.SIGUSR1: 1, signal.SIGUSR2: -1}[signal.Signals(number)]
                self.log("state", f"worker {self._context.index} has level {self.level}")

    def handle_messages(self) -> None:
        while (names := self._context.channel.receive()) is not None:
            self.tell_names("knows", names)

    def tell_names(self, how: str, names: Names | None) -> None:
        pairs = names and {name: [value.hex() for _, value in found] for name, found in names.addresses.items()}
        self.log("state", f"worker {self._context.index} {how} {pairs}")

    def echo(self, descriptor: int) -> None:
        sock = self._sockets[descriptor]
        payload, source = sock.recvfrom(65536)
        if payload in self._orders:
            self._orders[payload]()
        sock.sendto(f"{os.getpid()} ".encode() + payload[:60000], source)

    def _crash(self) -> None:
        raise RuntimeError("told to crash")

    def _take_permit(self) -> None:
        os.eventfd_read(self._context.permits)
        self._context.region.words[Counter.PERMITS] += 1
        self._context.region.words[Counter.SESSIONS] += 1
