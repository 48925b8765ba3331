"""Watching a session: the lane to the worker that has it, and a capture file of what comes through.

The worker never waits for us: what the lane has no room for is missing, and told in the file and at the end.
Source: workers.contract.tapping; proxyctl(8), tap.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from dataclasses import dataclass
from typing import BinaryIO

from proxyd.control import pcapng
from proxyd.control.client import Connection, RefusedError, UnreachableError
from proxyd.control.pcapng import End
from proxyd.control.protocol import AskTap
from proxyd.control.sessions import Session
from proxyd.logs.fields import FieldError, decode_sockaddr
from workers.contract.tapping import ADDRESSES, MAX_BYTES, Kind, Message, Way, decode
from workers.errors import ContractError

LANE_BYTES = 8 << 20
"""What the lane shall hold; the system may give it less (net.core.wmem_max), root gets it."""
PATIENCE_S = 5.0
"""How long a worker may take to begin."""
SO_SNDBUFFORCE = 32
"""Linux; Python has no name for it."""
GONE = "the worker has ended"


@dataclass
class Tally:
    """What has come so far. why: it has ended, None while it goes on."""

    datagrams: int = 0
    payload_bytes: int = 0
    lost: int = 0
    why: str | None = None


@dataclass(frozen=True)
class Bounds:
    """When a tap ends by itself; of each datagram at most snap bytes are kept."""

    datagrams: int
    payload_bytes: int
    span_s: float
    snap: int


def follow(connection: Connection, session: Session, bounds: Bounds, side: str, file: BinaryIO, tally: Tally) -> None:
    """Write a session's datagrams to a file as they come, and count them, until the tap ends.

    side: client or server, whose view of the conversation is shown. Whatever ends it early, the file is complete.
    Raises RefusedError and as Connection.order.
    """
    near, far = open_lane()
    with near:
        with far:
            order = AskTap(
                session.worker,
                session.slot,
                session.began_ns,
                bounds.datagrams,
                bounds.payload_bytes,
                int(bounds.span_s * 1e9),
            )
            connection.order(order, (far.fileno(),))
        begun = _hear(near, PATIENCE_S)
        if begun is None:
            raise UnreachableError(f"the worker says nothing for {PATIENCE_S:g} s")
        if begun.kind is not Kind.BEGUN:
            raise RefusedError(begun.body.decode(errors="replace"))
        recorder = _Recorder(near, begun, bounds.snap, side, file)
        recorder.run(session.id, tally)


def open_lane() -> tuple[socket.socket, socket.socket]:
    """Return our end of a lane, and the worker's, with as much room as the system gives."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for option in (socket.SO_SNDBUF, SO_SNDBUFFORCE):
        with contextlib.suppress(OSError):
            far.setsockopt(socket.SOL_SOCKET, option, LANE_BYTES)
    return near, far


class _Recorder:
    """One tap that has begun, and the file it goes to."""

    def __init__(self, lane: socket.socket, begun: Message, snap: int, side: str, file: BinaryIO) -> None:
        self._lane = lane
        self._addresses = begun.body
        self._side = side
        self._snap = snap
        self._file = file
        # Both clocks go on at the same rate, but for what NTP corrects meanwhile.
        self._epoch_ns = time.time_ns() - time.monotonic_ns()

    def run(self, name: str, tally: Tally) -> None:
        """Write the file. name: the session's, for whoever reads it."""
        self._file.write(pcapng.head("proxyctl", name, f"{self._side} side of session {name}"))
        try:
            while tally.why is None:
                message = _hear(self._lane, 0)
                if message is None:
                    # Nothing waits: what there is so far is for whoever reads along.
                    self._file.flush()
                    message = _hear(self._lane, None)
                if message is not None:
                    self._take(message, tally)
        finally:
            self._file.write(pcapng.foot(time.time_ns(), tally.datagrams + tally.lost, tally.lost))
            self._file.flush()

    def _take(self, message: Message, tally: Tally) -> None:
        missing, tally.lost = message.lost - tally.lost, message.lost
        if message.kind is Kind.DATAGRAM:
            tally.datagrams += 1
            tally.payload_bytes += len(message.body)
            self._file.write(self._block(message, missing))
        elif message.kind is Kind.ENDED:
            tally.why = message.body.decode(errors="replace")

    def _block(self, message: Message, missing: int) -> bytes:
        client, destination, local, _ = ADDRESSES.unpack(self._addresses)
        near, far = (client, destination) if self._side == "client" else (local, message.peer)
        # What a client has sent comes in at its side of the proxy, and goes out at the other one.
        inward = (message.way is Way.OUT) is (self._side == "client")
        ends = _end(near), _end(far)
        # Towards a client everything comes out of where it wrote to; towards a server, out of the proxy's own address.
        source, target = ends if message.way is Way.OUT else (ends[1], ends[0])
        flags = pcapng.INBOUND if inward else pcapng.OUTBOUND
        at_ns = message.at_ns + self._epoch_ns
        return pcapng.datagram(source, target, message.body, at_ns, flags, missing, self._snap)


def _hear(lane: socket.socket, patience_s: float | None) -> Message | None:
    """Return the next message, None when nothing comes for so long; the end of the lane is an end like others.

    patience_s None: as long as it takes.
    """
    if not select.select([lane], [], [], patience_s)[0]:
        return None
    try:
        data = lane.recv(MAX_BYTES)
    except ConnectionError:
        data = b""
    if not data:
        return Message(Kind.ENDED, Way.OUT, 0, 0, b"", GONE.encode())
    try:
        return decode(data)
    except ContractError as error:
        raise UnreachableError(f"another version of the proxy? {error}") from error


def _end(raw: bytes) -> End:
    try:
        address, port = decode_sockaddr(raw)
    except FieldError:
        return End(bytes(4), 0)
    text = address.partition("%")[0]
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return End(socket.inet_pton(family, text), port)
