"""The browser of the tests shows a page, and tells what is wrong with one."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import quote

from tests.kit.browser import Sight, browser, requires_browser

GOOD = "<!doctype html><html lang=en><title>t</title><main><h1>Hello</h1></main>"
BAD = "<!doctype html><html><title>t</title><img src=''><script>nowhere()</script>"


@requires_browser
def test_a_page_is_shown_and_its_faults_are_told() -> None:
    with browser() as running:
        with closing(Sight(running, f"data:text/html,{quote(GOOD)}")) as sight:
            assert sight.page.locator("h1").inner_text() == "Hello"
            assert (sight.wrongs, sight.violations()) == ([], [])
        with closing(Sight(running, f"data:text/html,{quote(BAD)}")) as sight:
            assert any("nowhere" in wrong for wrong in sight.wrongs)
            assert any(violation.startswith("image-alt") for violation in sight.violations())
            assert sight.violations("color-contrast") == []
