"""What a running proxy shows beside its state: records out of shared memory, users, and a session's datagrams.

Of the datagrams it sees nothing: the asker's own socket is lent to the worker, which writes there.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from proxyd.control import protocol
from proxyd.control.protocol import AskGroups, AskHits, AskTap, AskUsers, Reply
from proxyd.daemon import sockets
from proxyd.daemon.asker import Asker
from proxyd.daemon.spawn import Estate
from workers.contract.groups import GROUP
from workers.contract.messages import Tap
from workers.contract.settings import ListenerSettings
from workers.contract.slots import Region
from workers.contract.tallies import LINES, RULES, Area, Rows, line_key, rule_key

RECORDS_A_MESSAGE = 240
"""Records in one message: as many as fit."""
ROWS_A_MESSAGE = 100
TAPS_A_SECOND = 16
"""A worker looks through all its sessions for each: who asks without end must not keep it from its datagrams."""
_NOTHING = (0, 0, 0)
WITH_RULES = "udp-proxy"
"""The program that has sessions and rules."""


class Tapping(Protocol):
    """Who carries orders to workers."""

    def tap(self, worker: int, order: Tap, lane: int) -> bool:
        """Have a worker copy a session's datagrams to a lane, which stays the caller's; False when it cannot."""
        ...


class Showing:
    """One proxy's. clock: CLOCK_MONOTONIC in nanoseconds."""

    def __init__(self, estate: Estate, conductor: Tapping, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._estate = estate
        self._conductor = conductor
        self._taps_left = TAPS_A_SECOND
        self._second = 0

    def users(self, _request: AskUsers) -> Iterator[Reply]:
        """Yield who sits at which address now."""
        users = self._estate.users
        if users is None:
            yield protocol.Refused("the configuration asks for no users (oob-auth)")
            return
        for part in users.parts:
            entries = [(value, user, groups) for _, value, user, groups in part.entries]
            yield protocol.Users(users.file, users.read_unix, users.complaint, entries)
        yield protocol.Done()

    def groups(self, _request: AskGroups) -> Iterator[Reply]:
        """Yield the groups of a UFTP proxy."""
        program = self._estate.settings.program
        if program == WITH_RULES:
            yield protocol.Refused(f"{program} has sessions, and no UFTP groups")
            return
        for part in slot_records(self._estate, GROUP.size):
            yield protocol.Groups(part.worker, part.now_ns, part.records)
        yield protocol.Done()

    def hits(self, _request: AskHits) -> Iterator[Reply]:
        """Yield what rules have decided, and listeners received."""
        settings, regions = self._estate.settings, self._estate.shared.regions
        rules, lines = _sums(regions, RULES), _sums(regions, LINES)
        by_rule = [
            (acl.name, *rules.get(rule_key(acl.name, acl.kind.value if acl.accept else ""), _NOTHING))
            for acl in settings.acls
        ]
        by_line = [
            (f"[{line.address}]:{line.port}", *lines.get(_line_key(line), _NOTHING)) for line in settings.listeners
        ]
        for start in range(0, len(by_rule), ROWS_A_MESSAGE):
            yield protocol.RuleHits(by_rule[start : start + ROWS_A_MESSAGE])
        for start in range(0, len(by_line), ROWS_A_MESSAGE):
            yield protocol.ListenerHits(by_line[start : start + ROWS_A_MESSAGE])
        yield protocol.Done()

    def tap(self, request: AskTap, asker: Asker) -> Iterator[Reply]:
        """Lend the asker's socket to the worker that has the session; everything else comes through that."""
        program, regions = self._estate.settings.program, self._estate.shared.regions
        lane = asker.take()
        try:
            if program != WITH_RULES:
                yield protocol.Refused(f"{program} has no sessions; tcpdump shows a group's datagrams")
            elif lane is None or not _is_lane(lane):
                yield protocol.Refused("no Unix socket of type SOCK_SEQPACKET came with the question")
            elif request.worker >= len(regions) or regions[request.worker].opened(request.slot) != request.began_ns:
                yield protocol.Refused("there is no such session")
            elif not self._has_time():
                yield protocol.Refused(f"more than {TAPS_A_SECOND} taps in a second: try again")
            elif self._conductor.tap(request.worker, _order(request), lane):
                yield protocol.Done()
            else:
                yield protocol.Refused("the worker cannot be told now")
        finally:
            if lane is not None:
                os.close(lane)

    def _has_time(self) -> bool:
        """Tell whether another tap may be begun now, and count it."""
        second = self._clock() // 1_000_000_000
        if second != self._second:
            self._second, self._taps_left = second, TAPS_A_SECOND
        self._taps_left -= 1
        return self._taps_left >= 0


def slot_records(estate: Estate, size: int) -> Iterator[protocol.Slots]:
    """Yield what lies in the workers' open slots, the first size bytes of each, as messages; one a worker at least."""
    for worker, region in enumerate(estate.shared.regions):
        records: list[bytes] = []
        for slot in region.used():
            start = region.offset(slot)
            records.append(protocol.NUMBER.pack(slot) + region.memory[start : start + size])
            if len(records) == RECORDS_A_MESSAGE:
                yield protocol.Slots(worker, time.monotonic_ns(), b"".join(records))
                records.clear()
        yield protocol.Slots(worker, time.monotonic_ns(), b"".join(records))


def _sums(regions: Sequence[Region], area: Area) -> dict[int, tuple[int, int, int]]:
    """Return the rows of all workers added up, by their keys."""
    sums: dict[int, tuple[int, int, int]] = {}
    for region in regions:
        for key, (_, *found) in Rows(region.words, area).read().items():
            first, second, third = (had + more for had, more in zip(sums.get(key, _NOTHING), found, strict=True))
            sums[key] = first, second, third
    return sums


def _line_key(line: ListenerSettings) -> int:
    return line_key(sockets.raw_sockaddr(line), line.device, transparent=line.transparent)


def _order(request: AskTap) -> Tap:
    return Tap(request.slot, request.began_ns, request.datagrams, request.payload_bytes, request.span_ns)


def _is_lane(descriptor: int) -> bool:
    """Tell whether a stranger's descriptor is a socket that a worker can write to without ever waiting."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        return False
    found = sock.family, sock.type
    sock.detach()
    return found == (socket.AF_UNIX, socket.SOCK_SEQPACKET)
