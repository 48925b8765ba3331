"""How many descriptors a process may open: raised to what the configuration's sessions need, before the first fork."""

from __future__ import annotations

import resource
from pathlib import Path

from workers.contract.custody import BATCH
from workers.contract.settings import Settings

_SPARE = 64
"""Logs, epoll, pipes, standard streams."""
_PER_WORKER = 4
"""In the parent: ends of the channel and of custody, and the region with its mapping."""
_KERNEL_LIMIT = Path("/proc/sys/fs/nr_open")


def needed(settings: Settings, workers: int) -> int:
    """Return what the hungriest process may open: the parent with all listeners, and a duplicate of each session's
    socket; of those that have ended, it has a batch a worker still, and one that it is just being sent.
    """
    unreleased = BATCH * (workers + 1)
    return settings.max_sessions + unreleased + workers * (len(settings.listeners) + _PER_WORKER) + _SPARE


def raise_limit(wanted: int) -> str | None:
    """Let this process and its children open so many descriptors; return a warning when that is not permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return None
    if hard < wanted:
        hard = _raise_hard_limit(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    if hard >= wanted:
        return None
    return f"only {hard} open files are permitted, {wanted} may be needed: sessions beyond that will fail"


def _raise_hard_limit(wanted: int, hard: int) -> int:
    """Try to raise the hard limit too; return what it is then."""
    possible = min(wanted, int(_KERNEL_LIMIT.read_text()))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, max(possible, hard)))
    except (PermissionError, ValueError):
        return hard
    return max(possible, hard)
