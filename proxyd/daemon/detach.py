"""Going to the background, with a starting command that tells the truth.

The command waits until the daemon says that it serves, or why it does not, and exits accordingly; the daemon itself is
made by python-daemon. Nothing that matters is open before: the daemon opens everything itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn, TypeAlias

import daemon

from proxyd.daemon.exits import Ending, ExitStatus

Serve: TypeAlias = Callable[[Callable[[], None]], Ending]
"""A proxy's whole run: takes what to call when it serves."""

_UMASK = 0o027
_SERVING = Ending(ExitStatus.OK, "")


def in_background(serve: Serve) -> Ending:
    """Run serve in a daemon; return, in the starting process, once it serves, or how it ended before that."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Where whoever started us ignores it, we would, too, and there would be nothing to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    readable, writable = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(readable)
        _become_daemon(serve, writable)
    os.close(writable)
    with os.fdopen(readable, encoding="utf-8", errors="replace") as pipe:
        told = pipe.read()
    os.waitpid(process, 0)
    return _understand(told)


def _become_daemon(serve: Serve, pipe: int) -> NoReturn:
    """Detach, run, and end without going back into the starting command's code."""
    reporter = _Reporter(pipe)
    status = ExitStatus.SOFTWARE
    try:
        context = daemon.DaemonContext(
            files_preserve=[pipe], umask=_UMASK, detach_process=True, prevent_core=True, signal_map={}
        )
        context.open()
        ending = serve(lambda: reporter.tell(_SERVING))
        reporter.tell(ending)
        status = ending.status
    except daemon.daemon.DaemonError as error:
        status = ExitStatus.UNAVAILABLE
        reporter.tell(Ending(status, f"detach: {error}"))
    finally:
        # Whatever else is raised ends here: there is no caller to tell in this process.
        reporter.tell(Ending(ExitStatus.SOFTWARE, "unforeseen error, see the log"))
        os._exit(status)


class _Reporter:
    """The daemon's end of the pipe: only the first word counts."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def tell(self, ending: Ending) -> None:
        if self._pipe < 0:
            return
        # The starting command may have been killed; the proxy runs on.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, f"{int(ending.status)} {ending.reason}".encode())
        os.close(self._pipe)
        self._pipe = -1


def _understand(told: str) -> Ending:
    status, _, reason = told.partition(" ")
    if not status:
        return Ending(ExitStatus.UNAVAILABLE, "the daemon ended before it was ready")
    return Ending(ExitStatus(int(status)), reason)
