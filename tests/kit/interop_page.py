"""Which combinations of our UFTP proxy with the original programs ran and passed: docs/uftp-interop.md.

Made of the reports (JUnit XML) of one run of tests/interop; see scripts/interop.
"""

from __future__ import annotations

import ast
import platform
import sys
import time
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "uftp-interop.md"
_BAD = ("failure", "error")
_HEAD = """# Our UFTP proxy beside the original programs: what ran, and what passed

Written by `scripts/interop` from a run of `tests/interop`: {when}, Linux {kernel}, UFTP 4.10.2 (Debian's `uftp`).
A case names what differs: which of the two proxies of the chain are ours (`both`, `server-proxy`, `client-proxy`, or
each by its name), the server's cipher and key exchange, and so on.
"""


class Case(NamedTuple):
    """One test with one set of parameters. outcome: passed, failed or skipped."""

    module: str
    test: str
    parameters: str
    outcome: str


def read_report(text: str) -> list[Case]:
    """Return the cases of a report, in its order."""
    return [_case(element) for element in xml.fromstring(text).iter("testcase")]


def _case(element: xml.Element) -> Case:
    test, _, parameters = element.attrib["name"].partition("[")
    kinds = {child.tag for child in element}
    outcome = "failed" if kinds & set(_BAD) else "skipped" if "skipped" in kinds else "passed"
    return Case(element.attrib["classname"].rpartition(".")[2], test, parameters.removesuffix("]"), outcome)


def page(cases: Sequence[Case], titles: dict[str, str], when: str) -> str:
    """Return docs/uftp-interop.md. titles: what each module is about."""
    lines = [_HEAD.format(when=when, kernel=platform.release())]
    for module in sorted({case.module for case in cases}):
        own = [case for case in cases if case.module == module]
        lines += [f"## {titles[module]}", "", "| | cases | passed |", "| --- | --- | --- |"]
        lines += [_row(test, [case for case in own if case.test == test]) for test in _in_order(own)]
        lines.append("")
    return "\n".join(lines)


def _in_order(cases: Iterable[Case]) -> list[str]:
    return list(dict.fromkeys(case.test for case in sorted(cases)))


def _row(test: str, cases: Sequence[Case]) -> str:
    words = test.removeprefix("test_").replace("_", " ")
    passed = sum(case.outcome == "passed" for case in cases)
    marks = {"passed": "", "failed": " **failed**", "skipped": " *skipped*"}
    named = ", ".join(f"{_cell(case.parameters)}{marks[case.outcome]}" for case in sorted(cases)).strip()
    return f"| {words} | {named} | {passed} of {len(cases)} |"


def _cell(text: str) -> str:
    """Return a parameter as it may stand in a table."""
    return f"`{text}`".replace("|", r"\|") if text else ""


def titles(folder: Path) -> dict[str, str]:
    """Return the first sentence of each test module's docstring, without its full stop."""
    found = {}
    for path in folder.glob("test_*.py"):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
        found[path.stem] = " ".join(text.partition("\n\n")[0].split()).removesuffix(".")
    return found


def main(reports: Sequence[str]) -> None:
    """Write the page from the reports of these names."""
    cases = [case for name in reports for case in read_report(Path(name).read_text(encoding="utf-8"))]
    text = page(cases, titles(ROOT / "tests" / "interop"), time.strftime("%Y-%m-%d"))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
