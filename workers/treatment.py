"""What a rule's datagrams meet on their way: the rates of its queues, and what its answers carry.

Source: udp-proxy.cfg(5), QUEUE, ip-tos-to-client; K-107, K-108.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.buckets import Buckets, Direction
from workers.contract.settings import Settings
from workers.journal import Journal
from workers.net import marking
from workers.session.session import Session
from workers.wire.sockaddr import V4_BYTES


def note_lost_priorities(journal: Journal, queues: Sequence[str]) -> None:
    """Warn of queues whose priority answers cannot carry."""
    for queue in queues:
        journal.note_urgent("priority-lost", 0, queue)


class Treatment:
    """One worker's. priority: whether the kernel takes a priority as control data (marking.takes_priority)."""

    def __init__(self, settings: Settings, buckets: Buckets, *, priority: bool) -> None:
        self._buckets = buckets
        queues = {queue.name: queue for queue in settings.queues}
        self._out = {acl.name: buckets.find(acl.queue_to_server, Direction.OUT) for acl in settings.acls}
        self._in = {acl.name: buckets.find(acl.queue_to_client, Direction.IN) for acl in settings.acls}
        self._marks = {
            (acl.name, version): control
            for acl in settings.acls
            for version in (4, 6)
            if (control := marking.control_data(version, marking.to_client(acl, queues, priority=priority)))
        }

    @property
    def marks(self) -> bool:
        """Whether the answers of any rule carry anything."""
        return bool(self._marks)

    def mark(self, session: Session) -> bytes:
        """Return control data for a session's answers, empty for most."""
        if not self._marks:
            return b""
        version = 4 if len(session.client) == V4_BYTES else 6
        return self._marks.get((session.terms.rule.name, version), b"")

    def allow_out(self, session: Session, sizes: Sequence[int], now_ns: int) -> int:
        """Return how many leading datagrams of a client's run its queue lets through now."""
        bucket = self._out[session.terms.rule.name]
        return len(sizes) if bucket is None else self._buckets.take(bucket, sizes, now_ns)

    def allow_in(self, session: Session, sizes: Sequence[int], now_ns: int) -> int:
        """Return how many leading datagrams of a server's run its queue lets through now."""
        bucket = self._in[session.terms.rule.name]
        return len(sizes) if bucket is None else self._buckets.take(bucket, sizes, now_ns)
