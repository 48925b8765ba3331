"""The errors of the parent's side, sorted by whose fault they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a configuration text: file, line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ProxydError(Exception):
    """Anything the parent raises on purpose."""


class ConfigError(ProxydError):
    """One mistake in a configuration: where, in which section, what was found and what was wanted.

    path: the enclosing sections, as `udp-proxy DNS / session-acl INTOK`; empty at file level.
    """

    def __init__(self, position: Position, path: str, found: str, wanted: str) -> None:
        super().__init__(position, path, found, wanted)
        self.position = position
        self.path = path
        self.found = found
        self.wanted = wanted

    def __str__(self) -> str:
        place = f"{self.position}: {self.path}: " if self.path else f"{self.position}: "
        return f"{place}{self.found}; {self.wanted}" if self.wanted else f"{place}{self.found}"


class ConfigErrors(ProxydError):
    """Every mistake of one configuration, in the order of the file."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class SpawnError(ProxydError):
    """Our own mistake: a child is wanted that this program has no work for."""


class SetupError(ProxydError):
    """The machine refused a step of starting; step names it with its object, as `bind [127.0.0.1]:53`."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(step, reason)
        self.step = step
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.step}: {self.reason}"
