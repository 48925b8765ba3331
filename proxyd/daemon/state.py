"""The parent's answer to SIGRTMIN+1: its children, sessions and totals, in one line of the log."""

from __future__ import annotations

import os

from proxyd.daemon.roster import Roster, State
from proxyd.daemon.shared import Shared
from workers.contract.settings import Settings
from workers.contract.slots import CloseReason, Counter, DropReason
from workers.contract.uftp import DropReason as UftpDropReason

_TOTALS = (
    ("opened", Counter.SESSIONS_OPENED),
    ("received-out", Counter.RECEIVED_OUT),
    ("forwarded-out", Counter.FORWARDED_OUT),
    ("received-in", Counter.RECEIVED_IN),
    ("forwarded-in", Counter.FORWARDED_IN),
    ("bytes-out", Counter.BYTES_OUT),
    ("bytes-in", Counter.BYTES_IN),
    ("queue-overflow", Counter.QUEUE_OVERFLOW),
    ("log-shed", Counter.LOG_SHED),
)
_GROUPS = (
    ("dropped-out", Counter.DROPS_OUT, DropReason),
    ("dropped-in", Counter.DROPS_IN, DropReason),
    ("not-used", Counter.UFTP_DROPS, UftpDropReason),
    ("closed", Counter.CLOSES, CloseReason),
)


def describe_state(settings: Settings, roster: Roster, shared: Shared, level: int) -> str:
    """Return the state of the whole proxy in words; counts that are nothing are left out."""
    parts = [
        f"parent {os.getpid()}",
        f"generation {settings.generation}",
        f"level {level}",
        f"sessions {shared.sessions} of {settings.max_sessions}",
    ]
    parts += [f"{child.name} {_process(child.pid, child.state)}" for child in roster.children]
    parts += [f"{name} {count}" for name, word in _TOTALS if (count := shared.total(word))]
    for name, first, reasons in _GROUPS:
        for reason in reasons:
            count = sum(region.words[first + reason] for region in shared.regions)
            if count:
                parts.append(f"{name}-{reason.name.lower().replace('_', '-')} {count}")
    return ", ".join(parts)


def _process(pid: int, state: State) -> str:
    return f"{state.value} ({pid})" if pid else state.value
