"""The exit statuses of uftpproxyd. Source: uftpproxyd(8), EXIT STATUS."""

from __future__ import annotations

from enum import IntEnum

from proxyd.daemon.exits import Ending
from proxyd.daemon.exits import ExitStatus as FrameStatus
from proxyd.daemon.supervisor import STOPPING


class ExitStatus(IntEnum):
    """What the program's end means."""

    STARTED = 0
    """It runs in the background; or, in the foreground, it has ended by itself: drained, or another has taken over."""
    USAGE = 1
    """The command line, a list or the pidfile is wrong."""
    NETWORK = 2
    KEYS = 3
    LOG = 4
    MEMORY = 5
    """Memory or processes ran out, or the workers could not be made what they have to be."""
    INTERRUPTED = 6
    """SIGINT or SIGTERM, in the foreground."""


_BY_STEP = {
    "open": ExitStatus.LOG,
    "log:": ExitStatus.LOG,
    "pidfile": ExitStatus.USAGE,
    "app-user": ExitStatus.USAGE,
    "chroot-dir": ExitStatus.USAGE,
    "bind": ExitStatus.NETWORK,
    "share": ExitStatus.NETWORK,
    "join": ExitStatus.NETWORK,
    "check": ExitStatus.NETWORK,
}
"""By the first word of the step that failed: with it the reason of an Ending begins."""


def status_of(ending: Ending, foreground: bool) -> ExitStatus:
    """Return the exit status for the end of a run."""
    if ending.status is FrameStatus.OK:
        interrupted = foreground and ending.reason in STOPPING.values()
        return ExitStatus.INTERRUPTED if interrupted else ExitStatus.STARTED
    return _BY_STEP.get(ending.reason.partition(" ")[0], ExitStatus.MEMORY)
