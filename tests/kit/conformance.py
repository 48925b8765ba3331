"""Which tests show which requirement of the generic proxy: the table that docs/conformance.md is made of.

A test shows the requirements that its name ends with (`_k23`, `_k35_k37`, `_k75_to_k79`); where its name has no room
for that, the table names it. Requirements are the operator's, in few words; the manual pages have them in full.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.kit.requirements import REQUIREMENTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"
_IDS = re.compile(r"_k(\d+[ab]?)(?:_to_k(\d+))?(?=_k|_and|$)")
_HEAD = """# What shows that the generic proxy does what it must

Written by `scripts/conformance` from `tests/kit/requirements.py` and the names of the tests. A test fails when this
page is not up to date, when a requirement has no test, or when a test that is named here is gone.

"""


class Case(NamedTuple):
    """One test: its file, from the project's root, its name, and the line it begins at."""

    path: str
    name: str
    line: int

    @property
    def reference(self) -> str:
        """The test as the table names it: its path below tests/, and its name."""
        return f"{self.path.removeprefix('tests/')}::{self.name}"


def all_tests(root: Path = ROOT) -> list[Case]:
    """Return every test of the project, in the order of files and lines."""
    return [test for path in sorted((root / "tests").rglob("test_*.py")) for test in _tests_of(path, root)]


def _tests_of(path: Path, root: Path) -> Iterator[Case]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield Case(str(path.relative_to(root)), node.name, node.lineno)


def ids_of(name: str) -> set[str]:
    """Return the requirements that a test's name tells: test_x_k35_k37 shows K-35 and K-37."""
    found: set[str] = set()
    for first, last in _IDS.findall(name):
        found |= {f"K-{number}" for number in range(int(first), int(last) + 1)} if last else {f"K-{first}"}
    return found


def shown(tests: list[Case]) -> dict[str, list[Case]]:
    """Return the tests that show each requirement. Raises KeyError for a test that the table names and nobody has."""
    by_reference = {test.reference: test for test in tests}
    found = {number: [by_reference[name] for name in row.tests] for number, row in REQUIREMENTS.items()}
    for test in tests:
        for number in sorted(ids_of(test.name) & found.keys()):
            if test not in found[number]:
                found[number].append(test)
    return found


def page(tests: list[Case]) -> str:
    """Return docs/conformance.md."""
    lines = [_HEAD + "| | requirement | shown by |", "| --- | --- | --- |"]
    for number, found in shown(tests).items():
        links = "<br>".join(f"[{_words(test)}](../{test.path})" for test in found)
        lines.append(f"| {number} | {REQUIREMENTS[number].text} | {links} |")
    return "\n".join(lines) + "\n"


def _words(test: Case) -> str:
    return re.sub(r"(_k\d+[ab]?(_to_k\d+)?)+$", "", test.name.removeprefix("test_")).replace("_", " ")


if __name__ == "__main__":
    PAGE.write_text(page(all_tests()), encoding="utf-8")
