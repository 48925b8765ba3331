"""What the documents promise: the files, commands, statuses and message ids they name are there."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from proxyd.daemon.exits import ExitStatus
from workers.contract.catalogue import EVENTS
from workers.contract.slots import CLOSE_WORDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(ROOT.glob("*.md"))
MANUALS = sorted((ROOT / "etc" / "man").glob("*.[1578]"))
CATALOGUE = {line.id for event in EVENTS.values() for line in event.lines}

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing


@every_document
def test_scripts_that_are_named_can_be_run(document: Path) -> None:
    named = set(re.findall(r"(?<![\w/])(scripts/\w+|\.ci/\w+)(?![\w./])", document.read_text()))
    missing = [name for name in named if not os.access(ROOT / name, os.X_OK)]
    assert not missing


def test_the_readme_begins_with_the_two_commands() -> None:
    words = (ROOT / "README.md").read_text().split("```")[1].split()
    assert words[0] == "scripts/run"
    assert "scripts/test" in words


def test_every_command_has_its_manual_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for command in project["scripts"]:
        (path,) = (ROOT / "etc" / "man").glob(f"{command}.[18]")
        page = path.read_text()
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "DIAGNOSTICS", "SEE ALSO"):
            assert f".Sh {section}\n" in page
    assert ".Sh SIGNALS\n" in (ROOT / "etc" / "man" / "udp-proxy.8").read_text()


@pytest.mark.parametrize("page", MANUALS, ids=[path.name for path in MANUALS])
def test_a_manual_page_names_no_message_that_is_not_there(page: Path) -> None:
    assert set(re.findall(r"\b[A-Z]{4}-\d{3}-[A-Z]\b", page.read_text())) <= CATALOGUE


def test_udp_proxy_8_explains_every_message_and_every_end_of_a_session() -> None:
    page = (ROOT / "etc" / "man" / "udp-proxy.8").read_text()
    assert not [line for line in CATALOGUE if line not in page and not line.startswith("UFTP-")]
    assert not [word for word in CLOSE_WORDS if word not in page]


def test_exit_statuses_are_those_of_the_program() -> None:
    wanted = {int(status) for status in ExitStatus}
    page = (ROOT / "etc" / "man" / "udp-proxy.8").read_text().partition(".Sh EXIT STATUS")[2].partition(".Sh")[0]
    assert {int(status) for status in re.findall(r"^\.It (\d+)$", page, re.MULTILINE)} == wanted
    table = (ROOT / "README.md").read_text().partition("| `udp-proxy` |")[2].partition("\n\n")[0]
    assert {int(status) for status in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == wanted


def test_the_demonstration_talks_where_its_configuration_says() -> None:
    configuration = (ROOT / "etc" / "demo.cfg").read_text()
    program = (ROOT / "scripts" / "demo.py").read_text()
    listen = re.search(r"non-transparent \[([\d.]+)\] port (\d+);", configuration)
    plug = re.search(r"plug-to \[([\d.]+)\] : (\d+);", configuration)
    assert listen
    assert plug
    assert f'PROXY = ("{listen[1]}", {listen[2]})' in program
    assert f'UPSTREAM = ("{plug[1]}", {plug[2]})' in program
