"""What a reload would open, opened for a moment and closed again: logs and the monitor's socket, where they change.

Whatever is wrong with them is known then, and nothing is left of it: a file that was not there is not there afterwards.
Listeners are tried elsewhere (proxyd.daemon.sockets): an open one would take datagrams.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from proxyd.daemon.renewal import Means, log_settings, shown_at
from workers.contract.settings import Settings


def try_out(before: Settings, after: Settings, means: Means) -> None:
    """Open what the settings after need beside those before, and close it. Raises ProxydError where that cannot be."""
    if log_settings(before) != log_settings(after):
        _try_logs(after, means)
    if shown_at(before) != shown_at(after):
        monitoring = means.monitoring(after)
        if monitoring is not None:
            monitoring.close()


def _try_logs(settings: Settings, means: Means) -> None:
    named = (settings.debug_log.file, settings.stats_log.file)
    # Behind a symbolic link that leads to nothing yet, its target is what would be made; the link is the operator's.
    targets = [Path(os.path.realpath(path)) for path in filter(None, named)]
    absent = [path for path in targets if not os.path.lexists(path)]
    try:
        means.logs(settings).close()
    finally:
        for path in absent:
            with suppress(OSError):
                if not path.stat().st_size:
                    path.unlink()
