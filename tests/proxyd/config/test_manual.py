from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from proxyd.config.keywords import KEYWORDS
from proxyd.config.manual import page
from proxyd.config.prototype import Scope
from tests.kit.requirement import requires_program

PAGE = Path(__file__).parents[3] / "etc" / "man" / "udp-proxy.cfg.5"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("scope", [scope for scope in KEYWORDS if scope not in (Scope.EXPRESSION, Scope.IGNORED)])
def test_every_keyword_has_an_entry(scope: Scope) -> None:
    text = page().replace("\\-", "-")
    for row in KEYWORDS[scope]:
        assert f'.It Li "{row.name}' in text


@requires_program("mandoc")
def test_the_page_is_clean() -> None:
    ran = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(PAGE)], capture_output=True, text=True, check=False, timeout=30
    )
    assert (ran.returncode, ran.stdout) == (0, "")
