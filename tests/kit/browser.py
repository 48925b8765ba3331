"""A headless Chromium, the machine's own, for tests of what people see."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from tests.kit.requirement import find_program

CHROMIUM = "chromium"
MODULES = {"playwright": "playwright", "axe_playwright_python": "axe-playwright-python"}
_missing = [f"{CHROMIUM} (Debian: chromium)"] * (find_program(CHROMIUM) is None) + [
    f"{package} (pip install proxyd[test])" for module, package in MODULES.items() if find_spec(module) is None
]
requires_browser = pytest.mark.skipif(bool(_missing), reason=f"missing: {', '.join(_missing)}")
"""Mark a test that looks at a page."""
WAIT_MS = 20_000
_AGAIN_MS = 50


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Run a browser; see playwright.sync_api.Browser. It asks nobody but whom its pages name."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where it is missing, tests are skipped, not broken

    with sync_playwright() as driver:
        # Root has no sandbox of Chromium's, and a container's /dev/shm is small.
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
        running = driver.chromium.launch(executable_path=find_program(CHROMIUM), args=options)
        try:
            yield running
        finally:
            running.close()


class Sight:
    """A page, and what was wrong with it: errors of its scripts, and what its policy forbade."""

    def __init__(self, running: Any, url: str, **context: Any) -> None:
        self.context = running.new_context(**context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.wrongs: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.wrongs.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrongs.append(message.text)

    def until(self, script: str) -> None:
        """Wait until a script says yes. Raises AssertionError after 20 seconds.

        Asked again and again from here: a page whose policy forbids to evaluate text cannot wait for it by itself.
        """
        for _ in range(WAIT_MS // _AGAIN_MS):
            if self.page.evaluate(script):
                return
            self.page.wait_for_timeout(_AGAIN_MS)
        raise AssertionError(f"it never came true: {script}")

    def violations(self, *rules: str) -> list[str]:
        """Return what axe-core finds wrong with the page for people who cannot see or point, each with a place.

        rules: those that are to be looked at, by default all.
        """
        from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - as above

        options = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else None
        found = Axe().run(self.page, options=options).response["violations"]
        return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]

    def close(self) -> None:
        """Close it."""
        self.context.close()
