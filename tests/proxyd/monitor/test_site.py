"""The files of the page: served as what they are, and nothing in them that the page's own policy forbids."""

from __future__ import annotations

import re

import pytest

from proxyd.monitor.site import KINDS, Site

SITE = Site.load()


def text(path: str) -> str:
    answer = SITE.find(path)
    assert answer is not None, path
    return answer.body.decode()


def test_a_file_is_found_by_its_name_and_the_index_by_the_root() -> None:
    site = Site({"index.html": b"<p>", "a.js": b"1"})
    index, script = site.find("/"), site.find("/a.js")
    assert index is not None
    assert script is not None
    assert (index.kind, index.body, script.kind) == (KINDS["html"], b"<p>", KINDS["js"])
    assert site.find("/b.js") is None
    assert site.find("/index.html") is None


def test_everything_the_page_names_is_there() -> None:
    page = text("/")
    named = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert named
    for name in named:
        assert text(f"/{name}")


def test_everything_the_scripts_import_is_there() -> None:
    pending, seen = ["/app.js"], set()
    while pending:
        path = pending.pop()
        seen.add(path)
        pending += [f"/{name}" for name in re.findall(r'from "\./([^"]+)"', text(path)) if f"/{name}" not in seen]
    assert len(seen) > 1


@pytest.mark.parametrize(
    "forbidden", [r"https?://(?!www\.w3\.org/)", r"\son\w+=", r"\sstyle=", r"<style", r"<script(?![^>]*src)"]
)
def test_the_page_needs_nothing_from_elsewhere_and_nothing_inline(forbidden: str) -> None:
    assert not re.search(forbidden, text("/"))


def test_the_scripts_make_no_markup_of_text() -> None:
    for path in ("/app.js", "/table.js", "/charts.js"):
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text(path))
