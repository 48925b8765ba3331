"""A control socket that is served, by the proxy's own code in a thread, for tests of those who ask."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from proxyd.control.protocol import Reply, Request
from proxyd.daemon.asker import Asker
from proxyd.daemon.control import Control, open_post


class Nowhere:
    """A log that nobody reads."""

    def note(self, event: str, *fields: str | int | bytes | None) -> None:
        """Forget it."""


@contextmanager
def served(path: Path, answer: Callable[[Request], Iterator[Reply]]) -> Iterator[Path]:
    """Serve a control socket at a path while the block lasts."""
    with attended(path, lambda request, _asker: answer(request)):
        yield path


@contextmanager
def attended(path: Path, answer: Callable[[Request, Asker], Iterator[Reply]]) -> Iterator[Path]:
    """Serve a control socket at a path while the block lasts, with an eye on who asks, and what came with it."""
    post = open_post(path, None)
    control = Control(post, answer, lambda _: None, Nowhere())
    readable, writable = os.pipe()

    def serve() -> None:
        while readable not in select.select([readable, control.fileno()], [], [])[0]:
            control.serve(time.monotonic_ns())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield path
    finally:
        os.write(writable, b"x")
        thread.join()
        control.close()
        post.remove()
        os.close(readable)
        os.close(writable)
