"""UFTP groups as they come from a proxy's shared memory, made readable: whose, how far, how many clients.

What a record holds is at most a second old. Source: workers.contract.groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from proxyd.control import protocol
from proxyd.control.protocol import NUMBER
from proxyd.logs.fields import FieldError, decode_sockaddr
from workers.contract.groups import GROUP, GroupFlag, GroupPhase

_NS = 1e9
_US = 1e6


class Group(msgspec.Struct, frozen=True):
    """One transfer. Times in seconds; ids in hexadecimal, as in the log.

    phase: announced, keyed (clients are getting the key) or receiving. clients, ready: those known, and those that have
    finished set-up or the whole transfer; None in a server proxy, which does not look. file, file_size, progress: of
    the newest file that was announced openly, None: not known; progress from 0 to 1, by the bytes that have passed.
    """

    id: str
    worker: int
    phase: str
    encrypted: bool
    server: str
    server_uid: str
    to: str
    clients: int | None
    ready: int | None
    grtt_s: float
    robust: int
    block_size: int
    age_s: float
    idle_s: float
    datagrams: int
    bytes: int
    file_id: int | None
    file: str | None
    file_size: int | None
    file_bytes: int | None
    progress: float | None


def read(part: protocol.Groups) -> Iterator[Group]:
    """Yield the groups of a message; records that are being written at this moment may be left out."""
    step = NUMBER.size + GROUP.size
    for start in range(0, len(part.records) - step + 1, step):
        try:
            yield read_one(part.worker, part.now_ns, GROUP.unpack_from(part.records, start + NUMBER.size))
        except FieldError:
            continue


def read_one(worker: int, now_ns: int, fields: tuple[Any, ...]) -> Group:
    """Make a group of a record's fields. Raises FieldError for what is none."""
    _, phase, flags, instance, group_id, uid, clients, ready, grtt_us, file_id, robust, block_size = fields[:12]
    began, heard, _, datagrams, passed, file_bytes, size, server, to, name = fields[12:]
    if phase not in _PHASES:
        raise FieldError(f"phase {phase} of a group")
    gathers = bool(flags & GroupFlag.GATHERS)
    return Group(
        id=f"{group_id:08X}/{instance:02X}",
        worker=worker,
        phase=_PHASES[phase],
        encrypted=bool(flags & GroupFlag.ENCRYPTED),
        server=_sock(server),
        server_uid=f"{uid:08X}",
        to=_sock(to),
        clients=clients if gathers else None,
        ready=ready if gathers else None,
        grtt_s=grtt_us / _US,
        robust=robust,
        block_size=block_size,
        age_s=_seconds(now_ns - began),
        idle_s=_seconds(now_ns - heard),
        datagrams=datagrams,
        bytes=passed,
        file_id=file_id or None,
        file=name.rstrip(b"\0").decode(errors="replace") if file_id else None,
        file_size=size if file_id else None,
        file_bytes=file_bytes if file_id else None,
        progress=_progress(file_bytes, size) if file_id else None,
    )


def _progress(passed: int, size: int) -> float:
    """Return how much of a file has passed; what is sent twice does not make it more than all."""
    return round(min(passed / size, 1.0), 4) if size else 1.0


def _seconds(ns: int) -> float:
    return round(max(ns, 0) / _NS, 3)


def _sock(raw: bytes) -> str:
    if not any(raw):
        return "-"
    address, port = decode_sockaddr(raw)
    return f"[{address}]:{port}"


_PHASES = {phase.value: phase.name.lower() for phase in GroupPhase}
