"""The table of requirements is whole: each is shown by a test that exists, and the page says what the table does."""

from __future__ import annotations

import os
import re

import pytest

from tests.kit.conformance import PAGE, ROOT, all_tests, ids_of, page, shown
from tests.kit.requirements import REQUIREMENTS

TESTS = all_tests()
WANTED = {f"K-{number}" for number in range(1, 114)} | {"K-50a", "K-50b"}


def test_every_requirement_is_in_the_table() -> None:
    assert REQUIREMENTS.keys() == WANTED


def test_every_test_that_the_table_names_exists() -> None:
    references = {test.reference for test in TESTS}
    missing = [
        f"{number}: {name}" for number, row in REQUIREMENTS.items() for name in row.tests if name not in references
    ]
    assert not missing


def test_every_requirement_is_shown_by_a_test() -> None:
    assert [number for number, found in shown(TESTS).items() if not found] == []


def test_no_test_claims_a_requirement_that_is_none() -> None:
    strangers = {test.reference: ids_of(test.name) - REQUIREMENTS.keys() for test in TESTS}
    assert not {name: ids for name, ids in strangers.items() if ids}


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_x", set()),
        ("test_x_k8", {"K-8"}),
        ("test_x_k35_k50a", {"K-35", "K-50a"}),
        ("test_x_k75_to_k78", {"K-75", "K-76", "K-77", "K-78"}),
        ("test_x_k7_and_more", {"K-7"}),
    ],
)
def test_a_tests_name_tells_what_it_shows(name: str, ids: set[str]) -> None:
    assert ids_of(name) == ids


def test_the_page_is_up_to_date_see_scripts_conformance() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(TESTS)


def test_the_page_links_to_files_that_exist_and_the_script_runs() -> None:
    links = set(re.findall(r"\]\(\.\./([^)]+)\)", PAGE.read_text(encoding="utf-8")))
    assert links
    assert all((ROOT / link).exists() for link in links)
    assert os.access(ROOT / "scripts" / "conformance", os.X_OK)
