"""Every command of docs/ and the README is run, on hosts as the page has them, and prints what the page says.

What no test can run says so in its first line, and why.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.scenes import SCENES
from tests.docs.stage import Stage
from tests.kit.machine import ROOT
from tests.kit.pages import EXCUSE, Block, blocks, read
from tests.kit.requirement import requires_program, requires_root

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
WITHIN_S = 300.0
LONG = ("getting-started.md", *(f"uftp-topologies.md Figure {number}" for number in (2, 3, 4)))
"""Every night."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation, to be unpacked on the hosts that have our programs already; made once for all test processes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    tree, file = folder / "installed", folder / "installed.tar"
    with (folder / "installing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            install = ["env", f"DESTDIR={tree}", ROOT / "scripts" / "install"]
            subprocess.run(install, check=True, capture_output=True, timeout=WITHIN_S)
            subprocess.run(["tar", "-C", tree, "-cf", file, "."], check=True, timeout=WITHIN_S)
    return file


def part(name: str) -> list[Block]:
    """Return the blocks of a page, or of the part of it that begins with a heading."""
    file, _, heading = name.partition(" ")
    (page,) = (page for page in PAGES if page.name == file)
    if not heading:
        return read(page)
    text = page.read_text()
    (found,) = (section for section in re.split(r"^## ", text, flags=re.MULTILINE) if section.startswith(heading))
    return blocks(found)


@pytest.mark.timeout(400)
@requires_root
@requires_program(
    *("curl", "dig", "flock", "ip", "nft", "nsd", "nsenter", "start-stop-daemon", "sysctl", "uftp", "uftpd", "unshare"),
)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.night if name in LONG else ()) for name in SCENES]
)
def test_a_page_is_true_from_its_first_command_to_its_last(name: str, tmp_path: Path, archive: Path) -> None:
    with Stage(SCENES[name], tmp_path, archive) as stage:
        for block in part(name):
            stage.carry_out(block)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_commands_that_are_not_run_say_why(page: Path) -> None:
    for block in read(page):
        assert ("not-run" in block.words) == bool(block.excuse), (
            f"line {block.line}: not-run and '{EXCUSE}' go together"
        )


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_page_with_commands_has_its_hosts(page: Path) -> None:
    names = [name for name in SCENES if name.partition(" ")[0] == page.name]
    ran = sum(block.is_run for name in names for block in part(name))
    assert ran == sum(block.is_run for block in read(page))
    for name in names:
        assert {block.host for block in part(name) if block.is_run} <= set(SCENES[name].hosts)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]
