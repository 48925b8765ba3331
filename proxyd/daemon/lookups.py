"""Workers' questions for the names of addresses, passed on to the resolver, and its answers to who asked. Bounded."""

from __future__ import annotations

from collections.abc import Collection

from proxyd.daemon.handout import Handouts
from proxyd.daemon.roster import Child
from workers.contract.messages import Looked, Lookup

LOOKUPS_A_WORKER = 1024
"""Questions of one worker that wait for the resolver or its answer, at most; a worker has no more clients waiting."""


class Lookups:
    """How many questions of each worker are under way. handouts: what waits for children."""

    def __init__(self, handouts: Handouts) -> None:
        self._handouts = handouts
        self._asking: dict[Child, int] = {}

    def ask(self, worker: Child, resolver: Child | None, message: Lookup) -> None:
        """Pass a worker's question on; without an answer the worker helps itself when its time is up."""
        waiting = self._asking.get(worker, 0)
        if resolver is None or waiting >= LOOKUPS_A_WORKER:
            return
        question = Lookup(worker.index, message.version, message.value)
        if self._handouts.add(resolver, question, LOOKUPS_A_WORKER):
            self._asking[worker] = waiting + 1

    def answer(self, present: Collection[Child], message: Looked) -> None:
        """Pass an answer on to the worker that asked, if it is present still."""
        asker = next((child for child in present if child.index == message.worker and child in self._asking), None)
        if asker is not None:
            self._asking[asker] = max(self._asking[asker] - 1, 0)
            self._handouts.add(asker, message, LOOKUPS_A_WORKER)

    def forget(self, worker: Child) -> None:
        """Forget a worker's questions."""
        self._asking.pop(worker, None)

    def clear(self) -> None:
        """Forget all questions: their answers will never come."""
        self._asking.clear()
