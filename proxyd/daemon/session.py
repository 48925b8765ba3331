"""What is the session proxy's own in the frame: its workers' loop, how it opens logs and sockets and resolves names."""

from __future__ import annotations

from proxyd.daemon import demands, identity, sockets
from proxyd.daemon.landing import Landing, land
from proxyd.daemon.monitoring import inherit_monitor, open_monitor
from proxyd.daemon.naming import DnsNaming
from proxyd.daemon.order import Openings
from proxyd.daemon.spawn import Estate, WorkerMain
from proxyd.errors import SetupError
from proxyd.logs.setup import open_logs
from workers import loop
from workers.contract.settings import Settings

PROXY_WORKER: WorkerMain = loop.run
"""The session proxy's loop."""


def land_on(estate: Estate, settings: Settings) -> Landing:
    """Return where to listen with new settings, beside where the proxy does now. Raises SetupError."""
    owner, wishes = identity.look_up(settings).uid, demands.wishes(settings)
    first = estate.listeners[0]
    astray = [one for one, sock in zip(estate.standing, first, strict=True) if sockets.is_astray(one, sock)]
    landing = land(
        estate.standing,
        estate.listeners,
        settings.listeners,
        lambda fresh: sockets.bind_listeners(
            fresh, len(estate.listeners), wishes, owner, estate.standing, estate.given
        ),
        astray,
    )
    kept = (*settings.listeners, *landing.extra)
    try:
        sockets.adapt(landing.sockets, kept, wishes, owner)
    except SetupError:
        landing.undo()
        raise
    return landing


SESSION_PROXY = Openings(
    logs=lambda settings: open_logs(settings, settings.foreground, settings.name),
    listeners=lambda settings, workers, given: sockets.bind_listeners(
        settings.listeners, workers, demands.wishes(settings), identity.look_up(settings).uid, (), given
    ),
    naming=DnsNaming(),
    monitoring=open_monitor,
    land=land_on,
    inherit_monitoring=inherit_monitor,
)
