from __future__ import annotations

from proxyd.config.findings import Findings
from proxyd.errors import ConfigError, Position


def test_findings_are_kept_apart_by_what_they_mean() -> None:
    findings = Findings()
    error, warning = (ConfigError(Position("f", line, 1), "", "found", "") for line in (1, 2))
    findings.error(error)
    findings.warn(warning)
    assert (findings.errors, findings.warnings) == ([error], [warning])
