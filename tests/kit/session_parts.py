"""Parts for tests of the session engine: rules in a line, raw socket addresses, a real journal that is read back and
held against the catalogue, and a real pool of permits.
"""

from __future__ import annotations

import os
import struct
from typing import Any

from workers.contract.catalogue import EVENTS, Kind
from workers.contract.channel import LocalChannel
from workers.contract.messages import FromChild, LogBatch, LogRecord
from workers.contract.settings import (
    AclSettings,
    Address,
    AddressRange,
    HostCondition,
    HostList,
    HostMember,
    HostName,
    Limits,
    SessionKind,
    Sock,
    SourceAddress,
    SourcePort,
    TimeCondition,
)
from workers.contract.slots import HEADER_BYTES
from workers.journal import Journal
from workers.permits import Permits
from workers.policy.timecond import CivilTime

SECOND = 1_000_000_000
LOCAL, REMOTE = 0x0A000000, 0xC0000200
"""The networks of clients (10.0.0.0) and servers (192.0.2.0)."""
PROXY_PORT, SERVER_PORT = 5300, 53
MONDAY_NOON = CivilTime(6, 15, 1, 720)

_TYPES: dict[Kind, tuple[type, ...]] = {
    Kind.TEXT: (str, type(None)),
    Kind.NUMBER: (int,),
    Kind.SOCK: (bytes, type(None)),
    Kind.HOST: (bytes, str),
    Kind.SECONDS: (int,),
    Kind.FLAG: (int,),
    Kind.DUMP: (bytes,),
}
_SOCK_BYTES = (16, 28)


def sock(host: int, port: int) -> bytes:
    """Return the raw address of an IPv4 host: struct sockaddr_in, built without the code under test."""
    return struct.pack("=H", 2) + struct.pack("!HI8x", port, host)


def sock6(host: int, port: int) -> bytes:
    """Return the raw address of an IPv6 host, struct sockaddr_in6; host: as a 128-bit number."""
    return struct.pack("=H", 10) + struct.pack("!HI16s", port, 0, host.to_bytes(16, "big")) + struct.pack("=I", 0)


def client(number: int, port: int = 40_000) -> bytes:
    """Return a client's raw address."""
    return sock(LOCAL + number, port)


def server(number: int = 1, port: int = SERVER_PORT) -> bytes:
    """Return a server's raw address."""
    return sock(REMOTE + number, port)


PROXY = sock(LOCAL, PROXY_PORT)
"""The raw address that clients write to."""
TARGET = Sock(Address(4, REMOTE + 1), SERVER_PORT)
"""Where rules send to unless they say otherwise: server() as the configuration has it."""


def hosts(*addresses: Address) -> tuple[HostCondition, ...]:
    """Return a condition that names single addresses."""
    members = (HostMember(AddressRange(version, value, value)) for version, value in addresses)
    return (HostCondition(HostList(tuple(members))),)


def rule(
    name: str = "R",
    *,
    accept: bool = True,
    clients: tuple[int, ...] = (),
    plug_to: Sock | None = TARGET,
    kind: SessionKind = SessionKind.NORMAL,
    time: TimeCondition | None = None,
    source_port: SourcePort | None = None,
    **limits: int,
) -> AclSettings:
    """Return a rule. clients: their numbers, none: everybody. limits: as the fields of Limits are called.

    source_port: with it, the source address is the client's too.
    """
    sources = hosts(*(Address(4, LOCAL + number) for number in clients)) if clients else ()
    return AclSettings(
        name,
        accept,
        sources=sources,
        plug_to=plug_to,
        kind=kind,
        time=time,
        source_address=None if source_port is None else SourceAddress(client=True),
        source_port=source_port,
        limits=Limits(**limits),
    )


def named(name: str, port: int | None = SERVER_PORT) -> Sock:
    """Return a target by name."""
    return Sock(HostName(name), port)


class Diary:
    """A real journal whose records stay here, each held against the catalogue when it arrives.

    records: what was flushed so far.
    """

    def __init__(self, level: int = 9) -> None:
        self.records: list[LogRecord] = []
        self.journal = Journal(LocalChannel(self._deliver), level, 0)

    def _deliver(self, message: FromChild) -> None:
        if isinstance(message, LogBatch):
            for record in message.records:
                check_record(record)
            self.records += message.records

    def take(self, *events: str) -> list[LogRecord]:
        """Return the records of these events (none: all) since last asked, and forget all."""
        self.journal.flush()
        records, self.records = self.records, []
        return [record for record in records if not events or record.event in events]


class WrongRecordError(Exception):
    """A record is not what the catalogue says its event has."""


def check_record(record: LogRecord) -> None:
    """Raise WrongRecordError unless the fields are as many, and of the kinds, as the catalogue says."""
    event = EVENTS[record.event]
    if len(record.fields) != len(event.fields):
        raise WrongRecordError(f"{record}: {len(event.fields)} fields are wanted")
    for (name, kind), value in zip(event.fields, record.fields, strict=True):
        if not isinstance(value, _TYPES[kind]) or not _fits(kind, value):
            raise WrongRecordError(f"{record}: {name} is no {kind.value}")


def _fits(kind: Kind, value: Any) -> bool:
    if kind is Kind.SOCK or (kind is Kind.HOST and isinstance(value, bytes)):
        return value is None or len(value) in _SOCK_BYTES
    if kind is Kind.FLAG:
        return value in (0, 1)
    return kind is not Kind.SECONDS or value >= 0


class Pool:
    """A proxy's free sessions, as the parent makes them; a context manager that closes them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.fd = os.eventfd(capacity, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def permits(self) -> tuple[Permits, memoryview]:
        """Return one worker's view, and its header in which it counts what it holds."""
        words = memoryview(bytearray(HEADER_BYTES)).cast("Q")
        return Permits(self.fd, words, self.capacity), words

    def free(self) -> int:
        """Return how many sessions are free, leaving them so."""
        count = 0
        while True:
            try:
                os.eventfd_read(self.fd)
            except BlockingIOError:
                break
            count += 1
        if count:
            os.eventfd_write(self.fd, count)
        return count
