"""Moves datagrams: between the sockets (workers.net) and the engine's decisions (workers.session).

A turn handles the server side first: answers are gathered from all sessions and leave in one system call a listener;
what ended then makes room for what the listeners bring. Receives and sends are batches over the arena's slots; the
engine sees runs: the sizes of one flow's datagrams. What could not be sent is told to the engine with its reason.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from workers.contract.settings import Address, ListenerSettings, Settings
from workers.contract.slots import CloseReason, DropReason, Region
from workers.journal import Journal
from workers.keeper import Keeper
from workers.net import ancillary, segments
from workers.net.ancillary import Control
from workers.net.arena import SLOTS
from workers.net.plain import PythonAddress, to_python
from workers.net.transport import FlowKey, Transport
from workers.net.upstream import Upstreams
from workers.session.admission import Arrival
from workers.session.engine import Engine
from workers.session.kinds import BEHAVIOURS
from workers.session.session import Session
from workers.wire import sockaddr

ROUNDS = 4
"""Full batches read from one listener in a turn, at most: the others must not starve."""
LONG_RUN = 16
"""A server that sends this many datagrams between two turns gets a socket that delivers trains."""

_BUSY = {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EINTR}
_REFUSED = {errno.ECONNREFUSED}
_NO_TRAINS = {errno.EINVAL, errno.EMSGSIZE, errno.EIO}
"""What a path says that does not take trains: segments longer than its MTU, or no checksums in hardware or software."""
_DUMP_BYTES = 16_384
"""Of one datagram's payload at level 9, whatever the configuration says: a message to the parent has its bounds."""
_CONNECTED = frozenset(kind for kind, behaviour in BEHAVIOURS.items() if behaviour.connected)


class Part(NamedTuple):
    """One datagram within a slot: size bytes from start on."""

    slot: int
    start: int
    size: int


@dataclass(slots=True)
class Listener:
    """One listening socket of this worker. raw: its own raw address. wildcard: destinations differ by datagram."""

    index: int
    fd: int
    version: int
    port: int
    raw: bytes
    wildcard: bool
    overflow: int = 0

    @classmethod
    def of(cls, index: int, sock: socket.socket, settings: ListenerSettings) -> Listener:
        """Describe a bound socket."""
        address = settings.address
        raw = sockaddr.encode(address, settings.port)
        return cls(index, sock.fileno(), address.version, settings.port, raw, address.value == 0)


class Forwarder:
    """One worker's datapath. sessions: by the descriptor of their server-side socket."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        transport: Transport,
        poll: select.epoll,
        journal: Journal,
        region: Region,
    ) -> None:
        self.sessions: dict[int, Session] = {}
        self._engine = engine
        self._transport = transport
        self._poll = poll
        self._journal = journal
        rules = {acl.name: index for index, acl in enumerate(settings.acls)}
        self.keeper = Keeper(region, rules, settings.generation)
        self._upstreams = Upstreams(poll, transport, reuse=settings.fast_path)
        self._source = settings.source_address
        self._dump_bytes = min(settings.debug_log.data_limit_bytes or _DUMP_BYTES, _DUMP_BYTES)
        self._fds: list[int] = []
        self._cursor = 0
        self._pending: list[tuple[Session, list[Part]]] = []
        self._line = 0
        self._closing: list[Session] = []

    def listen(self, listener: Listener) -> None:
        """Add a listener, in the order of the settings."""
        self._fds.append(listener.fd)

    # --- server side -------------------------------------------------------------------------------------------------

    def handle_session(self, session: Session, now_ns: int) -> None:
        """Read a session's server-side socket and line up what passes; flush sends it."""
        if session.rule.kind not in _CONNECTED:
            self._hear(session, now_ns)
            return
        if self._cursor == SLOTS or session.listener != self._line:
            self.flush(now_ns)
            self._line = session.listener
        first = self._cursor
        transport = self._transport
        if session.coalesced:
            count = transport.receive_trains(session.fd, first)
        else:
            count = transport.receive_connected(session.fd, first)
        if not count:
            if transport.error:
                self._journal.note("socket-error", session.track, session.target, os.strerror(transport.error))
            return
        self._cursor = first + count
        sizes = transport.sizes(first, count)
        extras = transport.extras(first, count) if session.coalesced else None
        if self._journal.level >= 9:
            self._dump("in", session.target, range(first, first + count), sizes)
        if extras:
            for slot, size in enumerate(sizes, first):
                self._answer_train(session, slot, size, extras[slot].train_bytes if slot in extras else 0, now_ns)
        else:
            passed = self._engine.pass_in(session, sizes, now_ns)
            if passed:
                self._line_up(session, first, sizes if passed == count else sizes[:passed])
        if session.closing is not None and session.sock is not None:
            self._closing.append(session)
        elif count >= LONG_RUN and not session.coalesced:
            self._coalesce(session)

    def _line_up(self, session: Session, first: int, sizes: list[int]) -> None:
        """Line up a run that lies in slots from first on, as trains where sizes are equal."""
        queue, pending = self._transport.queue, self._pending
        client, control = self.keeper.client_offset(session.slot), session.reply_control
        if len(sizes) == 1:
            queue([first], 0, client, control)
            pending.append((session, [Part(first, 0, sizes[0])]))
            return
        pieces = segments.runs(sizes) if session.trains else [(index, 1) for index in range(len(sizes))]
        for index, count in pieces:
            slots = list(range(first + index, first + index + count))
            queue(slots, sizes[index] if count > 1 else 0, client, control)
            pending.append((session, [Part(slot, 0, sizes[slot - first]) for slot in slots]))

    def _answer_train(self, session: Session, slot: int, size: int, train: int, now_ns: int) -> None:
        """Line up one received message that may be a train, as much of it as passes."""
        if session.closing is not None:
            self._engine.refuse_in(session, segments.split(size, train))
            return
        sizes = segments.split(size, train)
        passed = self._engine.pass_in(session, sizes, now_ns)
        parts = _parts(slot, sizes[:passed])
        if passed == len(sizes) and (passed == 1 or session.trains):
            client = self.keeper.client_offset(session.slot)
            self._transport.queue([slot], train if passed > 1 else 0, client, session.reply_control)
            self._pending.append((session, parts))
        elif passed:
            self.flush(now_ns)
            self._send_answers(session, parts)

    def _coalesce(self, session: Session) -> None:
        """Let a busy session's socket deliver trains."""
        session.coalesced = True
        if isinstance(session.sock, socket.SocketType):
            session.sock.setsockopt(socket.IPPROTO_UDP, ancillary.UDP_GRO, 1)

    def _hear(self, session: Session, now_ns: int) -> None:
        """Read an unconnected server-side socket: every datagram's sender is judged."""
        self.flush(now_ns)
        version = _version(session.target)
        count = self._transport.receive(session.fd, version)
        sizes = self._transport.sizes(0, count)
        for slot, size in enumerate(sizes):
            if session.closing is not None:
                self._engine.refuse_in(session, sizes[slot:])
                break
            self._engine.judge(session, self._transport.source(slot, version), size, now_ns)
        if session.closing is not None and session.sock is not None:
            self._closing.append(session)
            self.flush(now_ns)

    def flush(self, now_ns: int) -> None:
        """Send the answers lined up, and end the sessions that were waiting for that."""
        pending, transport = self._pending, self._transport
        if pending:
            fd, sent, total = self._fds[self._line], 0, len(pending)
            while True:
                sent += transport.flush(fd, sent)
                if sent >= total:
                    break
                self._send_answers(*pending[sent])
                sent += 1
            transport.forget()
            pending.clear()
        self._cursor = 0
        if self._closing:
            for session in self._closing:
                if session.sock is not None:
                    self._engine.conclude(session, now_ns)
            self._closing.clear()
            self.close_ended()

    def _send_answers(self, session: Session, parts: list[Part]) -> None:
        """Send answers one by one after the quick way failed; tell the engine what does not leave."""
        fd, client = self._fds[session.listener], self.keeper.client_offset(session.slot)
        if len(parts) > 1:
            session.trains = False
        for part in parts:
            if not self._transport.send_part(fd, *part, client, session.reply_control):
                reason = self._failed(session, session.client)
                self._engine.unsent_in(session, [part.size], reason)

    # --- client side -------------------------------------------------------------------------------------------------

    def handle_listener(self, listener: Listener, now_ns: int) -> None:
        """Read a listener and forward what passes, flow by flow."""
        transport = self._transport
        for _ in range(ROUNDS):
            count = transport.receive(listener.fd, listener.version)
            if not count:
                return
            keys = (transport.flow_keys if listener.wildcard else transport.keys)(count, listener.version)
            sizes = transport.sizes(0, count)
            extras = transport.extras(0, count)
            if self._journal.level >= 9:
                self._dump_flows(listener, sizes)
            if extras:
                self._handle_extras(listener, keys, sizes, extras, now_ns)
            elif count == 1:
                self._forward(listener, keys[0], [0], sizes, now_ns)
            else:
                flows: dict[FlowKey, list[int]] = {}
                for slot, key in enumerate(keys):
                    if key in flows:
                        flows[key].append(slot)
                    else:
                        flows[key] = [slot]
                for key, slots in flows.items():
                    self._forward(listener, key, slots, [sizes[slot] for slot in slots], now_ns)
            if count < SLOTS:
                return

    def _handle_extras(
        self, listener: Listener, keys: Sequence[FlowKey], sizes: list[int], extras: dict[int, Control], now_ns: int
    ) -> None:
        """Forward a batch with trains in it, slot by slot; note what the listener's queue has lost."""
        for slot, key in enumerate(keys):
            train = 0
            if slot in extras:
                train, overflow = extras[slot].train_bytes, extras[slot].overflow
                if overflow is not None:
                    self._engine.stats.overflow += (overflow - listener.overflow) & 0xFFFF_FFFF
                    listener.overflow = overflow
            if train:
                self._forward(listener, key, [slot], segments.split(sizes[slot], train), now_ns, train)
            else:
                self._forward(listener, key, [slot], [sizes[slot]], now_ns)

    def _forward(
        self, listener: Listener, key: FlowKey, slots: list[int], sizes: list[int], now_ns: int, train: int = 0
    ) -> None:
        """Forward one flow's run; what is left when its session ends opens another one.

        slots: one a datagram, or the one that holds a train of datagrams of train bytes each.
        """
        engine, table = self._engine, self._engine.tables[listener.index]
        done, count = 0, len(sizes)
        while done < count:
            session = table.get(key)
            rest = sizes[done:] if done else sizes
            if session is None or (now_ns >= session.check_ns and engine.lapse(session, now_ns)):
                session = self._open(listener, key, slots[0], rest, now_ns)
                if session is None:
                    return
            passed = engine.pass_out(session, rest, now_ns)
            if passed == count:
                self._send_run(session, slots, sizes, train)
            else:
                self._send_parts(session, [_part(slots, sizes, train, done + index) for index in range(passed)])
            done += passed
            if session.closing is not None:
                done += session.closing is not CloseReason.DGRAMS_REACHED
                engine.conclude(session, now_ns)
                self.close_ended()

    def _send_run(self, session: Session, slots: list[int], sizes: list[int], train: int) -> None:
        """Send a whole run the quick way, and what that leaves one by one."""
        target = -1 if session.rule.kind in _CONNECTED else self.keeper.target_offset(session.slot)
        if not train:
            sent = self._transport.send(session.fd, slots, sizes, target, trains=session.trains)
        elif session.trains and len(sizes) > 1:
            self._transport.queue(slots, train, target, b"")
            sent = len(sizes) * self._transport.flush(session.fd, 0)
            self._transport.forget()
        else:
            sent = 0
        if sent < len(sizes):
            self._send_parts(session, [_part(slots, sizes, train, index) for index in range(sent, len(sizes))])

    def _send_parts(self, session: Session, parts: list[Part]) -> None:
        """Send datagrams to the server one by one; tell the engine what does not leave."""
        target = -1 if session.rule.kind in _CONNECTED else self.keeper.target_offset(session.slot)
        if len(parts) > 1 and self._transport.error in _NO_TRAINS:
            session.trains = False
        for part in parts:
            if self._transport.send_part(session.fd, *part, target, b""):
                continue
            if self._transport.error in _REFUSED:
                self._journal.note("socket-error", session.track, session.target, os.strerror(self._transport.error))
                if self._transport.send_part(session.fd, *part, target, b""):
                    continue
            self._engine.unsent_out(session, [part.size], self._failed(session, session.target))

    def _failed(self, session: Session, peer: bytes) -> DropReason:
        """Log why a datagram did not leave, and return the reason it is counted under."""
        code = self._transport.error
        self._journal.note("unsent", session.track, peer, 1, os.strerror(code))
        if code in _BUSY:
            return DropReason.SEND_BUSY
        return DropReason.SEND_REFUSED if code in _REFUSED else DropReason.SEND_FAILED

    # --- beginning and ending ----------------------------------------------------------------------------------------

    def _open(self, listener: Listener, key: FlowKey, slot: int, sizes: list[int], now_ns: int) -> Session | None:
        """Open a session for an unknown client's run, with its socket; None if it may not have one."""
        source = self._transport.source(slot, listener.version)
        destination, control = listener.raw, b""
        if listener.wildcard:
            packet = self._transport.control(slot).packet
            if packet is not None:
                address = Address(listener.version, int.from_bytes(packet.destination, "big"))
                destination = sockaddr.encode(address, listener.port)
                control = ancillary.reply_from(packet)
        engine = self._engine
        session = engine.admit(Arrival(listener.index, source, destination), key, sizes, now_ns)
        if session is None:
            return None
        session.reply_control = control
        target = session.target if session.rule.kind in _CONNECTED else None
        version = _version(session.target)
        try:
            sock = self._upstreams.open(version, self._forced_source(session, version), target)
        except OSError as error:
            engine.fail(session, str(error.filename), os.strerror(error.errno or 0), sizes)
            return None
        session.sock = sock
        session.fd = sock.fileno()
        self.sessions[session.fd] = session
        self.keeper.greet(session)
        engine.begin(session)
        return session

    def _forced_source(self, session: Session, version: int) -> PythonAddress | None:
        """Return the address the configuration forces on the server side, None for the system's choice."""
        forced = session.rule.source_address or self._source
        value = None if forced is None else (forced.addr4 if version == 4 else forced.addr6)
        return None if value is None else to_python(sockaddr.encode(Address(version, value), 0))

    def close_ended(self) -> None:
        """Close the sockets of the sessions that have ended."""
        ended = self._engine.ended
        for session in ended:
            del self.sessions[session.fd]
            version = _version(session.target)
            forced = (session.rule.source_address or self._source) is not None or session.coalesced
            if session.sock is not None:
                self._upstreams.close(session.sock, version, forced=forced)
            session.sock = None
            self.keeper.clear(session)
        ended.clear()

    def drain(self, fd: int) -> None:
        """Empty a descriptor that no session has: a resting socket."""
        self._upstreams.drain(fd)

    # --- level 9 -----------------------------------------------------------------------------------------------------

    def _dump(self, direction: str, peer: bytes, slots: Iterable[int], sizes: list[int]) -> None:
        for slot, size in zip(slots, sizes, strict=True):
            payload = bytes(self._transport.arena.payload(slot, min(size, self._dump_bytes)))
            self._journal.note("payload", 0, direction, peer, size, payload)

    def _dump_flows(self, listener: Listener, sizes: list[int]) -> None:
        for slot, size in enumerate(sizes):
            self._dump("out", self._transport.source(slot, listener.version), [slot], [size])


def _version(raw: bytes) -> int:
    return 4 if len(raw) == sockaddr.V4_BYTES else 6


def _part(slots: list[int], sizes: list[int], train: int, index: int) -> Part:
    return Part(slots[0], index * train, sizes[index]) if train else Part(slots[index], 0, sizes[index])


def _parts(slot: int, sizes: list[int]) -> list[Part]:
    """Return the datagrams of a train that fills one slot; all but the last are as long as the first."""
    return [Part(slot, index * sizes[0], size) for index, size in enumerate(sizes)]
