"""Run a function in a process of its own: what it gives up does not come back to the tests."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def in_child(action: Callable[[], object]) -> str:
    """Run action in a forked child; return what it returned as text, or `ErrorName: text` of what it raised."""
    readable, writable = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            said = str(action())
        except Exception as error:  # whatever it is, the test wants to see it
            said = f"{type(error).__name__}: {error}"
            traceback.print_exc()
        os.write(writable, said.encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        said = pipe.read()
    os.waitpid(process, 0)
    return said
