"""What came of reading a program's configuration again, by whatever way that program has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxyd.daemon.spawn import WorkerMain
from proxyd.errors import ConfigErrors, ProxydError
from workers.contract.settings import Settings


@dataclass(frozen=True, slots=True)
class Reading:
    """A valid configuration, read while the proxy runs.

    names: host names to resolve. warnings: for the log. text: what it was made from, so that newer code can make it
    again. worker: the workers' loop, None: the one there is. places: where in the file a keyword of the proxy's own
    section stands, as `file:line:column`.
    """

    settings: Settings
    names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    text: str = ""
    worker: WorkerMain | None = None
    places: Mapping[str, str] = field(default_factory=dict)


def mistakes(error: ProxydError) -> tuple[str, ...]:
    """Return what an error says, a line each mistake."""
    return tuple(map(str, error.errors)) if isinstance(error, ConfigErrors) else tuple(str(error).splitlines())
