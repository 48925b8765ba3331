"""What a worker of session proxies is made of: every part made once, and told of the others that it needs."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass

from workers.answers import DUMP_BYTES
from workers.buckets import Buckets
from workers.contract.context import WorkerContext
from workers.contract.settings import Settings
from workers.contract.slots import Counter
from workers.inbound import Inbound
from workers.journal import Journal
from workers.keeper import Keeper
from workers.knowledge import Knowledge
from workers.listener import Listener
from workers.names import ReverseNames
from workers.net.arena import Arena
from workers.net.interfaces import Interfaces
from workers.net.marking import lost_priorities, takes_priority
from workers.net.mmsg import MmsgTransport
from workers.net.plain import PlainTransport
from workers.net.transport import Transport
from workers.offload import Offload
from workers.origin import Origins, needs_addresses
from workers.outbound import Outbound
from workers.permits import Permits
from workers.policy.timecond import CivilTime
from workers.session.admission import Admission
from workers.session.engine import Engine
from workers.session.saved import Place
from workers.sockets import SessionSockets
from workers.stats import Stats
from workers.tallies import Tallies
from workers.treatment import Treatment, note_lost_priorities
from workers.waiting import Pending, Waiting


def civil_time() -> CivilTime:
    """Return the present in the process's time zone."""
    now = time.localtime()
    return CivilTime(now.tm_mon, now.tm_mday, (now.tm_wday + 1) % 7, now.tm_hour * 60 + now.tm_min)


def watch_addresses(settings: Settings) -> Interfaces | None:
    """Return what keeps the machine's addresses current, None where we may not ask and can do without.

    Raises OSError where a configuration needs them.
    """
    try:
        return Interfaces()
    except OSError:  # a service manager, for one, may forbid the family of sockets
        if needs_addresses(settings):
            raise
        return None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker is made of, each part made once."""

    journal: Journal
    stats: Stats
    permits: Permits
    engine: Engine
    keeper: Keeper
    transport: Transport
    treatment: Treatment
    sockets: SessionSockets
    inbound: Inbound
    outbound: Outbound
    listeners: dict[int, Listener]
    knowledge: Knowledge
    interfaces: Interfaces | None
    tallies: Tallies
    offload: Offload | None


def assemble(context: WorkerContext, poll: select.epoll, now_ns: int) -> Parts:
    """Make a worker's parts."""
    settings, region = context.settings, context.region
    journal, stats = Journal(context.channel, context.level, now_ns), Stats()
    permits = Permits(context.permits, region.words, settings.max_sessions)
    names: ReverseNames[Pending] = ReverseNames(settings.resolver.initial_timeout_ns)
    admission = Admission.of(settings, civil_time, names.find)
    engine = Engine(admission, len(context.listeners), permits, journal, stats)
    engine.welcoming -= context.retired
    transport: Transport = (MmsgTransport if settings.fast_path else PlainTransport)(Arena(), region.memory)
    rules = {acl.name: index for index, acl in enumerate(settings.acls)}
    places = tuple(Place.of(listener) for listener in settings.listeners)
    keeper = Keeper(region, rules, settings.generation, places, context.custody)
    interfaces = watch_addresses(settings)
    known = interfaces if needs_addresses(settings) else None
    sockets = SessionSockets(settings, engine, transport, poll, keeper, known)
    if interfaces is not None:
        sockets.follow(interfaces.table)
    listeners = [Listener.of(index, sock, settings.listeners[index]) for index, sock in enumerate(context.listeners)]
    for sock in context.listeners:
        transport.adopt(sock)
    dump_bytes = min(settings.debug_log.data_limit_bytes or DUMP_BYTES, DUMP_BYTES)
    lost = lost_priorities(settings)
    priority = not lost or takes_priority()
    if context.index == 0:
        note_lost_priorities(journal, () if priority else lost)
    older = [acl for earlier in context.earlier.values() for acl in earlier.acls]
    treatment = Treatment(settings, Buckets(settings.queues, context.rates), priority=priority, older=older)
    inbound = Inbound(engine, transport, sockets, journal, listeners, treatment, dump_bytes)
    origins = Origins(transport, engine.trails, known, first_worker=context.index == 0)
    outbound = Outbound(engine, transport, sockets, journal, origins, inbound.hearing, treatment)
    outbound.dump_bytes = dump_bytes
    tallies = Tallies(region.words, settings, stats, listeners)
    offload = None
    if context.records is not None:
        context.records.clear(region.words[Counter.TOP])
        turn_to = tallies.intake.turn_to
        offload = engine.kernel = Offload(context.records, context.channel, journal, stats, turn_to, now_ns)
    by_fd = {listener.fd: listener for listener in listeners}
    outbound.waiting = Waiting(names, engine, transport, context.channel, context.index)
    knowledge = Knowledge(admission, outbound.waiting, outbound.resume)
    for part in context.users:
        knowledge.take(part, now_ns)
    return Parts(
        journal,
        stats,
        permits,
        engine,
        keeper,
        transport,
        treatment,
        sockets,
        inbound,
        outbound,
        by_fd,
        knowledge,
        interfaces,
        tallies,
        offload,
    )
