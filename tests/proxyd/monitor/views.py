"""Views for tests: shared memory that the test fills in, and what the configuration calls things."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from proxyd.control.protocol import ListenerState, RuleState
from proxyd.daemon.board import Board
from proxyd.monitor.view import View
from workers.contract.settings import Address, HostName, SessionKind, Sock
from workers.contract.slots import SLOT, Counter, Region
from workers.contract.tallies import LINES, RULES, TARGETS, Rows, line_key, rule_key, target_key
from workers.wire import sockaddr

LISTENERS = (
    ListenerState("[192.0.2.1]:53", transparent=False, device=None),
    ListenerState("[::]:53", transparent=True, device="eth0"),
)
KEYS = (
    line_key(sockaddr.encode(Address(4, 0xC0000201), 53), None, transparent=False),
    line_key(sockaddr.encode(Address(6, 0), 53), "eth0", transparent=True),
)
TARGETS_BY_NAME = {
    "[203.0.113.53]:53": target_key(Sock(Address(4, 0xCB007135), 53)),
    "ns.example:53": target_key(Sock(HostName("ns.example"), 53)),
}
KINDS = tuple(kind.value for kind in SessionKind)


def rule(name: str, *, accept: bool = True, kind: str = "normal", both_ns: int | None = 60_000_000_000) -> RuleState:
    return RuleState(name, accept, kind, None, None, None, None, None, None, None, both_ns)


RULE_STATES = [rule("LAN"), rule("SYSLOG", kind="one-way"), rule("REST", accept=False)]


@contextmanager
def a_view(workers: int = 2, program: str = "udp-proxy", slots: int = 4) -> Iterator[View]:
    """Give a view of workers that turn and have nothing to do."""
    regions = tuple(Region.create(f"monitor {index}", slots) for index in range(workers))
    for region in regions:
        region.words[Counter.TURNS] = 1
    try:
        yield View(
            program,
            "TEST",
            "0.1",
            100,
            3,
            regions,
            1_700_000_000.0,
            Board(),
            rules={3: RULE_STATES},
            listeners=LISTENERS,
            line_keys=KEYS,
            targets=TARGETS_BY_NAME,
        )
    finally:
        for region in regions:
            region.unmap()


def count_rule(view: View, worker: int, name: str, kind: str, *values: int) -> None:
    """Write what a worker has counted for a rule: accepted, rejected, unopened."""
    words = view.regions[worker].words
    start = Rows(words, RULES).claim([rule_key(name, kind)])[rule_key(name, kind)]
    for word, value in enumerate(values, start + 1):
        words[word] = value


def hear_of(view: View, worker: int, name: str, answered_ns: int, refused_ns: int) -> None:
    """Write when a worker has heard of a server."""
    words, key = view.regions[worker].words, TARGETS_BY_NAME[name]
    start = Rows(words, TARGETS).claim([key])[key]
    words[start + 1], words[start + 2] = answered_ns, refused_ns


def count_lines(view: View, worker: int, *rows: tuple[int, ...]) -> None:
    """Write what a worker's listeners have counted: received, bytes, lost, of each."""
    words = view.regions[worker].words
    starts = Rows(words, LINES).claim(KEYS)
    for key, row in zip(KEYS, rows, strict=False):
        for word, value in enumerate(row, starts[key] + 1):
            words[word] = value


def open_session(view: View, worker: int, slot: int, client: int = 1, rule_index: int = 0, generation: int = 3) -> None:
    """Write a session into a slot, of a client 10.0.0.N."""
    region = view.regions[worker]
    peers = (
        sockaddr.encode(Address(4, 0x0A000000 + client), 4000),
        sockaddr.encode(Address(4, 0xC0000201), 53),
        sockaddr.encode(Address(4, 0xC0000202), 53),
        sockaddr.encode(Address(4, 0xC0000203), 5000 + slot),
    )
    began = 1_000_000_000 * (slot + 1)
    values = (
        1,
        KINDS.index("normal"),
        0,
        4,
        0,
        began,
        began,
        began,
        began,
        1,
        2,
        30,
        40,
        31,
        41,
        rule_index,
        generation,
        *peers,
    )
    SLOT.pack_into(region.memory, region.offset(slot), *values)
    region.words[Counter.TOP] = max(region.words[Counter.TOP], slot + 1)
    region.words[Counter.SESSIONS] += 1
