"""How sessions are left when a run ends: laid up with the service manager as far as it has room for them, and of those
that end with the run the last records are written.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import TypeAlias

from proxyd.daemon import fdstore, lastrecords
from proxyd.daemon.bequest import Left, pack
from proxyd.daemon.journal import SessionJournal
from proxyd.daemon.notify import Notifier
from proxyd.daemon.spawn import Estate
from proxyd.logs.fields import FieldError
from workers.contract.custody import Kept
from workers.contract.slots import GENERATIONS

Sessions: TypeAlias = Sequence[Sequence[Kept]]
"""By worker."""


def lay_up(estate: Estate, left: Left, notifier: Notifier, stored: int, journal: SessionJournal) -> None:
    """Give the service manager all that it has room for; without listeners and memory there is no use in it.

    left: everything. stored: how many descriptors it keeps.
    """
    total, laid = sum(map(len, left.kept)), []
    try:
        room = stored - len(pack(estate, left._replace(kept=[])).descriptors) - 1
        if room >= 0:
            laid = _trim(left.kept, room)
            fdstore.lay_up(notifier, pack(estate, left._replace(kept=laid)))
    except OSError as error:
        journal.note("not-laid-up", error.strerror or str(error))
        bury(estate, left.kept, [], journal)
        return
    if total > room:
        journal.note("not-laid-up", f"of {total} sessions there is room for {max(room, 0)}")
    if room >= 0:
        journal.note("laid-up", sum(map(len, laid)))
    bury(estate, left.kept, laid, journal)


def bury(estate: Estate, kept: Sessions, safe: Sessions, journal: SessionJournal) -> None:
    """Write the last records of all sessions that nobody has, now that the workers rest. safe: those somebody has."""
    settings, now_ns = estate.settings, time.monotonic_ns()
    generations = {**estate.earlier, settings.generation % GENERATIONS: settings}
    for worker, region in enumerate(estate.shared.regions):
        ours = kept[worker] if worker < len(kept) else ()
        others = safe[worker] if worker < len(safe) else ()
        for track, fields in lastrecords.records(region, ours, others, generations, now_ns):
            # What a worker has written of a session may be nonsense; the other ones have their records.
            with contextlib.suppress(FieldError):
                journal.note(lastrecords.EVENT, *fields, track=track)


def _trim(kept: Sessions, room: int) -> list[Sequence[Kept]]:
    """Return sessions as there is room for them, those of the first workers first."""
    trimmed: list[Sequence[Kept]] = []
    for sessions in kept:
        trimmed.append(sessions[:room])
        room -= len(trimmed[-1])
    return trimmed
