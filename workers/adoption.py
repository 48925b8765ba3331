"""Goes on with the sessions of a worker that is no more: each made anew from its slot and the socket the parent kept.

Nothing of it is believed: whoever wrote the slots may have been somebody else's by then. A session that cannot be, or
whose socket is not the one it says, is refused and counted; its permit goes back, its slot is free, its socket closed.
Clients and servers notice nothing of the others: ports, limits, times and servers found are the same.
Source: workers.contract.custody; udp-proxy(8).
"""

from __future__ import annotations

import os
import socket
from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter

from workers.contract.context import WorkerContext
from workers.contract.custody import Kept
from workers.contract.slots import GENERATIONS, CloseReason, Counter, SlotFields
from workers.errors import RevivalError
from workers.listener import Listener
from workers.net import ancillary
from workers.net.transport import FlowKey
from workers.net.upstream import target_address
from workers.parts import Parts
from workers.session.admission import compile_terms, rules_of, shaped_queues
from workers.session.saved import Note, Place, presume_active, read_note, revive
from workers.session.session import Session, Terms
from workers.wire.sockaddr import V4_BYTES, host

PUBLISH_NS = 100_000_000
"""How much later than it last published its counters a worker may have died."""
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_PACKED = (0, 4, 16)


def take_over(context: WorkerContext, parts: Parts, now_ns: int) -> None:
    """Rebuild the sessions that the parent has kept, before the first datagram is read."""
    heirs = Heirs(context, parts, now_ns)
    refused: Tally[str] = Tally()
    gone: list[int] = []
    taken: list[Session] = []
    for kept in sorted(context.kept, key=attrgetter("opened_ns")):
        try:
            taken.append(heirs.take(kept))
        except RevivalError as error:
            refused[error.reason] += 1
            gone.append(kept.slot)
    heirs.finish(taken)
    if parts.offload is not None:
        parts.offload.recover(taken, now_ns)
    parts.keeper.disown(gone)
    parts.permits.give(len(gone))
    parts.permits.settle()
    parts.stats.closes[CloseReason.FAILURE] += len(gone)
    if context.kept:
        parts.journal.note_urgent("sessions-taken-over", 0, len(taken))
    for reason, count in refused.items():
        parts.journal.note_urgent("sessions-refused", 0, count, reason)


class Heirs:
    """Makes sessions from what was kept of them, one by one, the oldest first."""

    def __init__(self, context: WorkerContext, parts: Parts, now_ns: int) -> None:
        self._context = context
        self._parts = parts
        self._now_ns = now_ns
        self._listeners = {
            Place.of(settings): listener
            for settings, listener in zip(context.settings.listeners, parts.listeners.values(), strict=True)
        }
        self._exact = {
            listener.raw: listener
            for listener in parts.listeners.values()
            if not (listener.wildcard or listener.transparent)
        }
        self._generations = dict(context.earlier)
        self._generations[context.settings.generation % GENERATIONS] = context.settings
        self._queues = {
            generation: {queue.name: queue for queue in settings.queues}
            for generation, settings in self._generations.items()
        }
        self._terms: dict[tuple[int, int], Terms | None] = {}

    def take(self, kept: Kept) -> Session:
        """Go on with one session. Raises RevivalError, and then its descriptor is closed."""
        sock = _as_socket(kept.fd)
        try:
            return self._resume(kept, sock)
        except OSError as error:
            sock.close()
            raise RevivalError(os.strerror(error.errno or 0)) from error
        except RevivalError:
            sock.close()
            raise

    def finish(self, sessions: Iterable[Session]) -> None:
        """Do what needs all sessions to be there, and let new ones begin."""
        parts, taken = self._parts, list(sessions)
        for session in taken:
            if session.fixed:
                parts.inbound.hearing.recognise(session, session.target)
                parts.sockets.fix(session, self._now_ns)
        parts.engine.go_on(taken)
        parts.sockets.end_resuming()

    def _resume(self, kept: Kept, sock: socket.SocketType) -> Session:
        region, now_ns, parts = self._context.region, self._now_ns, self._parts
        if region.opened(kept.slot) != kept.opened_ns:
            raise RevivalError("its slot is another session's")
        saved, note = region.fields(kept.slot), read_note(kept.note)
        session = revive(saved, region.track(kept.slot), note, self._terms_of(saved), kept.slot, now_ns)
        swept_ns = region.words[Counter.SWEPT]
        if swept_ns:
            presume_active(session, swept_ns, min(now_ns, region.words[Counter.PUBLISHED] + PUBLISH_NS))
        listener = self._listener_of(note.place, session)
        session.listener, session.key = listener.index, self._key(session, listener)
        session.reply_control = _reply_control(note, session) + parts.treatment.mark(session)
        _check_socket(sock, session, saved)
        if session.key in parts.engine.tables[listener.index]:
            raise RevivalError("its client has another one")
        parts.sockets.resume(session, sock, self._queues[saved.generation])
        parts.engine.resume(session, now_ns)
        return session

    def _listener_of(self, place: Place, session: Session) -> Listener:
        """Return the listener that hears a session's client by now. Raises RevivalError.

        A reload may have bound an address beside a wildcard: the kernel gives datagrams to who is more particular.
        """
        exact = None if place.transparent else self._exact.get(session.destination)
        listener = exact or self._listeners.get(place)
        if listener is None:
            raise RevivalError("its listener is gone")
        return listener

    def _terms_of(self, saved: SlotFields) -> Terms:
        key = saved.generation, saved.rule
        if key not in self._terms:
            self._terms[key] = self._compile(*key)
        terms = self._terms[key]
        if terms is None:
            raise RevivalError("its rule is unknown")
        return terms

    def _compile(self, generation: int, rule: int) -> Terms | None:
        """Return the terms of a rule: those of new sessions, where it is one of ours."""
        settings = self._generations.get(generation)
        if settings is None or rule >= len(settings.acls):
            return None
        if settings is self._context.settings:
            return self._parts.engine.admission.terms[rule]
        terms = compile_terms(rules_of(settings)[rule], shaped_queues(self._context.settings))
        return None if terms is None else self._with_tally(terms)

    def _with_tally(self, terms: Terms) -> Terms:
        """Return an earlier rule's terms with the tally of a rule of ours with the same server, where there is one.

        Sessions that have begun add nothing to it but what is the server's: when it answered, and when it was refused.
        """
        server = terms.rule.plug_to
        ours = (mine for mine in self._parts.engine.admission.terms if mine is not None)
        heir = next((mine for mine in ours if mine.rule.plug_to == server), None)
        return terms if server is None or heir is None else replace(terms, tally=heir.tally)

    def _key(self, session: Session, listener: Listener) -> FlowKey:
        """Return what finds a session on its listener. Raises RevivalError where it cannot be there."""
        version = 4 if len(session.client) == V4_BYTES else 6
        if version != listener.version or not (listener.wildcard or session.destination == listener.raw):
            raise RevivalError("its addresses are not its listener's")
        transport = self._parts.transport
        if not listener.wildcard:
            return transport.key(session.client)
        return transport.flow_key(session.client, host(session.destination))


def _as_socket(descriptor: int) -> socket.SocketType:
    try:
        return socket.SocketType(fileno=descriptor)
    except OSError as error:
        os.close(descriptor)
        raise RevivalError("what was kept for it is no socket") from error


def _check_socket(sock: socket.SocketType, session: Session, saved: SlotFields) -> None:
    """See that a socket can be the session's, and never blocks. Raises OSError, RevivalError."""
    if (sock.family, sock.type, sock.proto) != (_FAMILIES[saved.side], socket.SOCK_DGRAM, socket.IPPROTO_UDP):
        raise RevivalError("its socket is of another kind")
    sock.setblocking(False)
    port, peer = sock.getsockname()[1], _peer_of(sock)
    if port != int.from_bytes(saved.local[2:4], "big") or not port:
        raise RevivalError("its socket has another port")
    if peer is None and session.connected:
        raise RevivalError("its socket has no server")
    if peer is not None and not (session.connected or session.fixed):
        raise RevivalError("its socket has a server already")
    if peer is not None and peer != target_address(session.target)[:2]:
        raise RevivalError("its socket has another server")


def _peer_of(sock: socket.SocketType) -> tuple[str, int] | None:
    """Return the peer's address and port, None where the socket has none."""
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return None
    return host.partition("%")[0], port


def _reply_control(note: Note, session: Session) -> bytes:
    """Return control data for answers that leave from another address than the listener's. Raises RevivalError."""
    if len(note.local) not in _PACKED:
        raise RevivalError("its note cannot be read")
    if note.local and len(note.local) != (4 if len(session.client) == V4_BYTES else 16):
        raise RevivalError("its addresses do not fit each other")
    return ancillary.from_address(note.local, note.interface) if note.local else b""
