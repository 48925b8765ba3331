"""A worker's parts, put together: listeners by their descriptors, warnings said once, local time."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from tests.kit.datapath import datapath
from tests.kit.traffic import address, forward_to, udp
from tests.kit.worker_runner import leave_descriptors
from tests.workers.forked import in_child
from workers.contract.settings import AclSettings, ListenerSettings, QueueSettings, Settings
from workers.net.marking import takes_priority
from workers.parts import civil_time, watch_addresses

RULE = forward_to(("192.0.2.1", 53))


def test_every_listener_is_known_by_its_descriptor() -> None:
    with datapath(RULE, hosts=("127.0.0.1", "127.0.0.2")) as path:
        found = path.parts.listeners
        assert [(listener.fd, listener.index) for listener in found.values()] == list(zip(found, (0, 1), strict=True))
        assert [listener.sock.getsockname() for listener in found.values()] == path.to


@pytest.mark.parametrize(("transparent", "said"), [(False, "None"), (True, "OSError: [Errno 24]")])
def test_where_we_may_not_ask_for_addresses_only_who_needs_them_fails(transparent: bool, said: str) -> None:
    settings = Settings("T", (ListenerSettings(address("127.0.0.1"), 5, transparent),), 9, 1, (RULE,))

    def look() -> object:
        leave_descriptors(0)
        return watch_addresses(settings)

    assert in_child(look).startswith(said)


def test_lost_priorities_are_told_by_the_first_worker_where_the_kernel_loses_them() -> None:
    rule = AclSettings("ALL", accept=True, plug_to=RULE.plug_to, queue_to_client="gold")
    with datapath(rule, queues=(QueueSettings("gold", priority=3),)) as path, udp() as client:
        client.sendto(b"", path.to[0])
        path.turn()
        assert len(path.logged("priority-lost")) == (not takes_priority())


def test_local_time_is_the_process_s_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "TST-05:30")
    time.tzset()
    try:
        while True:  # until no minute began in between
            before, found = datetime.now(), civil_time()
            if before.minute == datetime.now().minute:
                break
    finally:
        monkeypatch.undo()
        time.tzset()
    weekday = before.isoweekday() % 7
    assert found == (before.month, before.day, weekday, before.hour * 60 + before.minute)
