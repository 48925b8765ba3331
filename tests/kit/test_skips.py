"""The skip policy, as a test run meets it: pytest run on small files of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.skips import judge, skip_reason

ROOT = Path(__file__).parents[2]


def run_pytest(folder: Path, body: str, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(
        "from tests.kit.skips import pytest_make_collect_report, pytest_runtest_makereport\n"
    )
    (folder / "test_sample.py").write_text("import pytest\n" + body)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder],
        env={
            **os.environ,
            "CI": ci,
            "PYTHONPATH": str(ROOT),
            "PYTEST_ADDOPTS": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )


SKIPS = {
    "test": "def test_one():\n    pytest.skip('missing: a tape drive')\n",
    "mark": "@pytest.mark.skipif(True, reason='missing: a tape drive')\ndef test_one():\n    pass\n",
    "module": "pytest.skip('missing: a tape drive', allow_module_level=True)\n",
}


@pytest.mark.parametrize("body", SKIPS.values(), ids=SKIPS)
def test_a_skip_with_a_reason_passes_at_home_and_fails_in_ci(tmp_path: Path, body: str) -> None:
    assert run_pytest(tmp_path, body, ci="").returncode in (0, 5)
    in_ci = run_pytest(tmp_path, body, ci="true")
    assert in_ci.returncode in (1, 2)
    assert "nothing may be missing (CI=true): missing: a tape drive" in in_ci.stdout


def test_a_skip_without_a_reason_fails_everywhere(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "@pytest.mark.skip\ndef test_one():\n    pass\n", ci="")
    assert done.returncode == 1
    assert "skipped without a reason" in done.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    body = "@pytest.mark.xfail(reason='known', strict=True)\ndef test_one():\n    raise AssertionError\n"
    assert run_pytest(tmp_path, body, ci="true").returncode == 0


@pytest.mark.parametrize(
    ("reason", "strict", "failed"), [("missing: root", False, False), ("missing: root", True, True), ("", False, True)]
)
def test_the_judgement_follows_reason_and_strictness(reason: str, strict: bool, failed: bool) -> None:
    assert (judge(reason, strict) is not None) is failed


def test_the_reason_is_read_from_both_forms_of_a_report() -> None:
    assert skip_reason(("file.py", 3, "Skipped: missing: dig")) == "missing: dig"
    assert skip_reason("Skipped: missing: dig") == "missing: dig"
