"""The skip policy: a skip says what is missing, and where nothing may be missing (CI=true) it is a failure.

Hooked in by tests/conftest.py. An expected failure (xfail) is not a skip and stays what it is.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

NO_REASON = frozenset({"", "unconditional skip"})


def judge(reason: str, strict: bool) -> str | None:
    """Return why this skip is a failure, None where it may pass. strict: nothing may be missing here."""
    if reason in NO_REASON:
        return "skipped without a reason: a skip names what is missing"
    if strict:
        return f"skipped where nothing may be missing (CI=true): {reason}"
    return None


def skip_reason(longrepr: Any) -> str:
    """Return the reason out of a skipped report's longrepr: (file, line, 'Skipped: reason'), or a text."""
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ").removeprefix("Skipped").strip()


def enforce(report: Any) -> None:
    """Turn a skipped report (of a test or of a collected file) into a failed one where the policy says so."""
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    complaint = judge(skip_reason(report.longrepr), strict=os.environ.get("CI") == "true")
    if complaint is not None:
        report.outcome = "failed"
        report.longrepr = complaint


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Judge each test's report."""
    report = yield
    enforce(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """Judge each file's report: a whole module can be skipped."""
    report = yield
    enforce(report)
    return report
