"""The parts of the table: tests are found in files, and shown by reference and by name."""

from __future__ import annotations

from pathlib import Path

from tests.kit.conformance import Case, all_tests, page, shown
from tests.kit.requirements import REQUIREMENTS


def test_tests_are_found_wherever_they_stand(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "deep"
    folder.mkdir(parents=True)
    (folder / "test_a.py").write_text("def test_one():\n    pass\n\n\ndef helper():\n    pass\n")
    (folder / "kit.py").write_text("def test_no_test():\n    pass\n")
    assert all_tests(tmp_path) == [Case("tests/deep/test_a.py", "test_one", 1)]
    assert all_tests(tmp_path)[0].reference == "deep/test_a.py::test_one"


def test_a_requirement_is_shown_by_who_is_named_and_by_who_says_so() -> None:
    named = [Case(f"tests/{name.partition('::')[0]}", name.partition("::")[2], 1) for name in _references()]
    claims = Case("tests/x.py", "test_it_works_k42", 3)
    found = shown([*named, claims])
    assert claims in found["K-42"]
    assert [test.reference for test in found["K-1"]] == list(REQUIREMENTS["K-1"].tests)
    assert "[it works](../tests/x.py)" in page([*named, claims])


def _references() -> list[str]:
    return sorted({name for row in REQUIREMENTS.values() for name in row.tests})
