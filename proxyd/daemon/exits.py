"""The exit statuses of udp-proxy: the starting command's, and that of the proxy itself in the foreground."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitStatus(IntEnum):
    """What the program's end means. Source: udp-proxy(8), EXIT STATUS; sysexits(3head)."""

    OK = 0
    """Started (in the background), or ended as it was asked to."""
    CONFIGURATION = 1
    """The configuration has errors; nothing was opened."""
    USAGE = 64
    """The command line is wrong."""
    UNAVAILABLE = 69
    """It could not be set up: address, pidfile, user, directory, capability, memory, a child that cannot start."""
    SOFTWARE = 70
    """It had to give up while it ran: too many deaths of children, or an unforeseen error."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a proxy's run ended: its exit status, and the reason in the log's words."""

    status: ExitStatus
    reason: str
