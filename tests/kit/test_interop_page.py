"""The page says what ran, in rows of tests, and hides no failure."""

from __future__ import annotations

from pathlib import Path

from tests.kit.interop_page import ROOT, Case, page, read_report, titles

REPORT = """<testsuites><testsuite>
<testcase classname="tests.interop.test_chain" name="test_a_file_arrives[gcm-both]" time="1"/>
<testcase classname="tests.interop.test_chain" name="test_a_file_arrives[hmac-both]">
  <failure message="no">why</failure></testcase>
<testcase classname="tests.interop.test_chain" name="test_all_is_well"><skipped message="missing: root"/></testcase>
</testsuite></testsuites>"""


def test_a_report_is_read_case_by_case():
    assert read_report(REPORT) == [
        Case("test_chain", "test_a_file_arrives", "gcm-both", "passed"),
        Case("test_chain", "test_a_file_arrives", "hmac-both", "failed"),
        Case("test_chain", "test_all_is_well", "", "skipped"),
    ]


def test_a_row_has_every_case_and_counts_what_passed():
    text = page(read_report(REPORT), {"test_chain": "Chains"}, "today")
    assert "## Chains\n" in text
    assert "| a file arrives | `gcm-both`, `hmac-both` **failed** | 1 of 2 |" in text
    assert "| all is well | *skipped* | 0 of 1 |" in text


def test_a_parameter_cannot_break_the_table():
    text = page([Case("m", "test_x", "0x1|10.0.0.1", "passed")], {"m": "M"}, "today")
    assert r"`0x1\|10.0.0.1`" in text


def test_every_module_of_the_folder_has_a_title(tmp_path: Path):
    (tmp_path / "test_one.py").write_text('"""What it\nshows.\n\nMore."""\n')
    assert titles(tmp_path) == {"test_one": "What it shows"}
    assert "test_chain" in titles(ROOT / "tests" / "interop")
