"""Machines, configurations and a proxy's answers for tests of what people are told of them."""

from __future__ import annotations

import dataclasses

from proxyd.control.facts import Facts
from proxyd.control.inquiry import State
from proxyd.control.protocol import ChildState, ListenerState, RuleState, Status, WorkerState
from proxyd.control.sessions import Session
from proxyd.daemon.answers import TOTALS
from tests.proxyd.config.samples import ACTIONS, config, load
from workers.contract.settings import Settings

FIT = Facts(
    capabilities=frozenset(range(41)),
    files=1_048_576,
    files_raised=1_048_576,
    files_machine=1_000_000,
    port_first=32768,
    port_last=60999,
    ports=28_232,
    receive_bytes=4 << 20,
    memory_bytes=8 << 30,
    strict=(),
    conntrack=None,
    addresses=frozenset({"127.0.0.1", "192.0.2.10"}),
    missing_routes=(),
    shortcuts=(),
)
"""A machine on which nothing is missing."""


SESSION = Session(
    *("0.1.abcde", 0, 1, 5, "A", "normal", True, "[192.0.2.10]:53"),
    *("[10.0.0.7]:40000", "[192.0.2.10]:53", "[203.0.113.1]:53", "[192.0.2.10]:5555"),
    *(3661.0, 20.0, 30.0, 20.0, 40.0, "timeout-both"),
    *(1234, 4, 2048, 400, 2048, 400),
)
"""A session with another number for everything."""


def facts(**changes: object) -> Facts:
    """Return a fit machine but for these."""
    return dataclasses.replace(FIT, **changes)  # type: ignore[arg-type]


def settings(listen: str = "non-transparent [192.0.2.10] port 5300;", sessions: int = 1000, acls: str = "") -> Settings:
    """Return a compiled configuration."""
    rules = acls or f"session-acl OK {{ {ACTIONS} }}"
    return load(config(listen=listen, server=f"max-sessions {sessions}; workers 2;", acls=rules)).settings


def state(**changes: object) -> State:
    """Return a proxy at work: two workers, of which one has died."""
    totals = {name: 0 for name, _ in TOTALS} | {"opened": 7, "received_out": 1234, "forwarded_out": 1230}
    totals |= {"bytes_out": 2048, "queue_overflow": 5}
    proxy = Status(
        program="udp-proxy",
        version="1.2",
        name="DNS",
        pid=4711,
        file="/etc/udp-proxy/dns.cfg",
        generation=1,
        started_unix=1.5,
        uptime_s=3661,
        state="serving",
        level=6,
        sessions=3,
        max_sessions=5000,
        users=None,
        names=0,
        children=[ChildState("worker 0", 4712, "ready"), ChildState("worker 1", 0, "dead")],
        totals=totals,
        dropped_out={"rejected": 4},
        dropped_in={},
        closed={"timeout-both": 2},
    )
    for name, value in changes.items():
        proxy = type(proxy)(**{field: getattr(proxy, field) for field in proxy.__struct_fields__} | {name: value})
    workers = [WorkerState(0, 3, False, totals), WorkerState(1, 0, False, totals)]
    rule = RuleState("A", True, "normal", None, None, None, None, None, None, None, 60 * 10**9)
    return State(proxy, workers, [ListenerState("[192.0.2.10]:53", True, "eth0")], [rule])
