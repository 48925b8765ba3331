"""What the parent owes its children: messages that wait until a child's channel has room. Nothing here blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from proxyd.daemon.roster import Child
from workers.contract.channel import ParentEnd
from workers.contract.messages import ToChild
from workers.errors import ContractError


class Handouts:
    """Messages by child and kind; those of a kind leave in order."""

    def __init__(self) -> None:
        self._waiting: dict[Child, dict[type, deque[ToChild]]] = {}

    @property
    def waiting(self) -> bool:
        """Whether anything waits."""
        return any(queue for queues in self._waiting.values() for queue in queues.values())

    def replace(self, child: Child, messages: Iterable[ToChild]) -> None:
        """Owe a child what is true now: of what waits of the same kind, nothing counts any more."""
        queue = deque(messages)
        if queue:
            self._waiting.setdefault(child, {})[type(queue[0])] = queue

    def add(self, child: Child, message: ToChild, most: int) -> bool:
        """Owe a child one message more, unless most of its kind wait already; tell whether it is owed."""
        queue = self._waiting.setdefault(child, {}).setdefault(type(message), deque())
        if len(queue) >= most:
            return False
        queue.append(message)
        return True

    def send(self, child: Child, channel: ParentEnd) -> None:
        """Send a child what waits for it, as far as its channel takes it. A child that is gone is owed nothing."""
        try:
            for queue in self._waiting.get(child, {}).values():
                while queue and channel.send(queue[0]):
                    queue.popleft()
        except ContractError:
            self.forget(child)

    def forget(self, child: Child) -> None:
        """Owe a child nothing any more."""
        self._waiting.pop(child, None)
