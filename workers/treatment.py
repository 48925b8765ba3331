"""What a rule's datagrams meet on their way: the rates of its queues, and what its answers carry.

Source: udp-proxy.cfg(5), QUEUE, ip-tos-to-client; K-107, K-108.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workers.buckets import Buckets, Direction
from workers.contract.settings import AclSettings, Settings
from workers.journal import Journal
from workers.net import marking
from workers.session.session import Session
from workers.wire.sockaddr import V4_BYTES


def note_lost_priorities(journal: Journal, queues: Sequence[str]) -> None:
    """Warn of queues whose priority answers cannot carry."""
    for queue in queues:
        journal.note_urgent("priority-lost", 0, queue)


class Treatment:
    """One worker's. priority: whether the kernel takes a priority as control data (marking.takes_priority).

    older: rules that are not the configuration's any more, and whose sessions go on; their queues are those of today.
    """

    def __init__(
        self, settings: Settings, buckets: Buckets, *, priority: bool, older: Iterable[AclSettings] = ()
    ) -> None:
        self._buckets = buckets
        self._queues = {queue.name: queue for queue in settings.queues}
        self._priority = priority
        self._out: dict[str | None, int | None] = {name: buckets.find(name, Direction.OUT) for name in self._queues}
        self._in: dict[str | None, int | None] = {name: buckets.find(name, Direction.IN) for name in self._queues}
        self._marks: dict[tuple[str | None, int | None, int], bytes] = {}
        self.marks = any(self._mark(acl, version) for acl in (*settings.acls, *older) for version in (4, 6))
        """Whether the answers of any rule carry anything."""

    def mark(self, session: Session) -> bytes:
        """Return control data for a session's answers, empty for most."""
        if not self.marks:
            return b""
        return self._mark(session.terms.rule, 4 if len(session.client) == V4_BYTES else 6)

    def _mark(self, rule: AclSettings, version: int) -> bytes:
        key = rule.queue_to_client, rule.tos_to_client, version
        control = self._marks.get(key)
        if control is None:
            marks = marking.to_client(rule, self._queues, priority=self._priority)
            control = self._marks[key] = marking.control_data(version, marks)
        return control

    def allow_out(self, session: Session, sizes: Sequence[int], now_ns: int) -> int:
        """Return how many leading datagrams of a client's run its queue lets through now."""
        bucket = self._out.get(session.terms.rule.queue_to_server)
        return len(sizes) if bucket is None else self._buckets.take(bucket, sizes, now_ns)

    def allow_in(self, session: Session, sizes: Sequence[int], now_ns: int) -> int:
        """Return how many leading datagrams of a server's run its queue lets through now."""
        bucket = self._in.get(session.terms.rule.queue_to_client)
        return len(sizes) if bucket is None else self._buckets.take(bucket, sizes, now_ns)
