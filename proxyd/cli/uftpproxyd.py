"""The command uftpproxyd: reads the command line, and runs the proxy in the foreground or starts it as a daemon.

What can go wrong before it serves is told by the starting process, in words and by its exit status.
Source: uftpproxyd(8).
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence

from proxyd import VERSION_TAG, __version__
from proxyd.cli.guard import guarded
from proxyd.daemon.detach import in_background
from proxyd.daemon.exits import Ending
from proxyd.daemon.exits import ExitStatus as FrameStatus
from proxyd.daemon.order import Order
from proxyd.daemon.startup import run_proxy
from proxyd.errors import ProxydError, SetupError
from proxyd.uftp.compiler import PROGRAM
from proxyd.uftp.exits import ExitStatus, status_of
from proxyd.uftp.keyload import KeyLoadError
from proxyd.uftp.options import USAGE, CommandLine, OptionError, help_text, parse_options
from proxyd.uftp.order import check_order, make_order

_STATUS = {OptionError: ExitStatus.USAGE, SetupError: ExitStatus.NETWORK, KeyLoadError: ExitStatus.KEYS}


@guarded(PROGRAM)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    try:
        line = parse_options(sys.argv[1:] if argv is None else argv)
        if line.shows_help or line.shows_version:
            sys.stdout.write(help_text() if line.shows_help else f"{PROGRAM} (proxyd {__version__}) {VERSION_TAG}\n")
            return ExitStatus.STARTED
        if line.checks_only:
            check_order(line)
            sys.stdout.write("options OK\n")
            return ExitStatus.STARTED
        order = make_order(line)
    except (OptionError, SetupError, KeyLoadError) as error:
        return _refuse(error)
    try:
        ending = _run(order, line)
    except Exception:  # the command's main
        ending = Ending(FrameStatus.SOFTWARE, f"unforeseen error\n{traceback.format_exc()}")
    if ending.status is not FrameStatus.OK:
        sys.stderr.write(f"{PROGRAM}: {ending.reason}\n")
    return status_of(ending, line.foreground)


def _refuse(error: ProxydError) -> int:
    sys.stderr.write(f"{PROGRAM}: {error}\n")
    if isinstance(error, OptionError):
        sys.stderr.write(f"{USAGE}\n")
    return _STATUS[type(error)]


def _run(order: Order, line: CommandLine) -> Ending:
    def serve(on_ready: Callable[[], None]) -> Ending:
        try:
            # Where the service manager forbids the call, only who asks for a priority has to hear of it.
            if line.nice:
                # A program that the running one has started has its priority already.
                os.nice(line.nice - (os.nice(0) if line.takeover else 0))
        except PermissionError as error:
            return Ending(FrameStatus.UNAVAILABLE, f"check -N {line.nice}: {error.strerror}")
        return run_proxy(order, on_ready)

    return serve(lambda: None) if line.foreground else in_background(serve)


if __name__ == "__main__":
    sys.exit(main())
