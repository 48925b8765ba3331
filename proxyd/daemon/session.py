"""What is the session proxy's own in the frame: its workers' loop, how it opens logs and sockets and resolves names."""

from __future__ import annotations

from proxyd.daemon import demands, identity, sockets
from proxyd.daemon.monitoring import open_monitor
from proxyd.daemon.naming import DnsNaming
from proxyd.daemon.spawn import WorkerMain
from proxyd.daemon.startup import Openings
from proxyd.logs.setup import open_logs
from workers import loop

PROXY_WORKER: WorkerMain = loop.run
"""The session proxy's loop."""

SESSION_PROXY = Openings(
    logs=lambda settings: open_logs(settings, settings.foreground, settings.name),
    listeners=lambda settings, workers: sockets.bind_listeners(
        settings.listeners, workers, demands.wishes(settings), identity.look_up(settings).uid
    ),
    naming=DnsNaming(),
    monitoring=open_monitor,
)
