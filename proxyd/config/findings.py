"""What the checks of a configuration find, sorted by what it means for the proxy."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxyd.errors import ConfigError


@dataclass(slots=True)
class Findings:
    """errors: no use without mending. warnings: perhaps not what was meant."""

    errors: list[ConfigError] = field(default_factory=list)
    warnings: list[ConfigError] = field(default_factory=list)

    def error(self, error: ConfigError) -> None:
        """Note a mistake."""
        self.errors.append(error)

    def warn(self, warning: ConfigError) -> None:
        """Note something to look at."""
        self.warnings.append(warning)
