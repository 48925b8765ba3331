"""The command udp-proxy: reads the configuration, and runs the proxy in the foreground or starts it as a daemon.

Source: udp-proxy(8), OPTIONS and EXIT STATUS.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from proxyd import __version__
from proxyd.cli.arguments import Arguments, read_arguments
from proxyd.cli.guard import guarded
from proxyd.config.load import load_text, read_text, shown
from proxyd.daemon.detach import in_background
from proxyd.daemon.exits import Ending, ExitStatus
from proxyd.daemon.launch import this_program
from proxyd.daemon.order import Order
from proxyd.daemon.reading import Reading
from proxyd.daemon.session import PROXY_WORKER, SESSION_PROXY
from proxyd.daemon.startup import run_proxy
from proxyd.errors import ConfigError, ConfigErrors
from proxyd.logs.setup import EarlyLog, Logs, open_refusal_log

PROGRAM = "udp-proxy"
_DEFAULT_LEVEL = 6


@guarded("udp-proxy")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = read_arguments(PROGRAM, sys.argv[1:] if argv is None else argv)
    if isinstance(arguments, int):
        return arguments
    log = EarlyLog(_DEFAULT_LEVEL if arguments.level is None else arguments.level, PROGRAM)
    try:
        reading = read_again(arguments.file, foreground=arguments.foreground)
    except ConfigErrors as errors:
        attended = arguments.foreground or arguments.checks_only
        return _refuse([log] if attended else [log, open_refusal_log(PROGRAM)], errors.errors)
    if arguments.checks_only:
        sys.stdout.write("configuration OK\n")
        return int(ExitStatus.OK)
    log.note("configured", arguments.file)
    try:
        ending = _run(reading, arguments)
    except Exception:  # the command's main
        ending = Ending(ExitStatus.SOFTWARE, f"unforeseen error\n{traceback.format_exc()}")
    if ending.status is not ExitStatus.OK:
        sys.stderr.write(f"{PROGRAM}: {ending.reason}\n")
    return int(ending.status)


def _run(reading: Reading, arguments: Arguments) -> Ending:
    # Paths are absolute: the daemon's directory is another one.
    file = str(Path(arguments.file).absolute())
    order = Order(
        settings=reading.settings,
        worker=PROXY_WORKER,
        version=__version__,
        file=shown(file),
        warnings=reading.warnings,
        names=reading.names,
        openings=SESSION_PROXY,
        read=partial(read_again, file, foreground=arguments.foreground),
        text=reading.text,
        recompile=lambda text: load_text(text, file).settings,
        takeover=arguments.takeover,
        launch=this_program(),
        pidfile=None if arguments.pidfile is None else str(Path(arguments.pidfile).absolute()),
    )
    if reading.settings.foreground:
        return run_proxy(order, lambda: None)
    return in_background(lambda on_ready: run_proxy(order, on_ready))


def read_again(file: str, *, foreground: bool = False) -> Reading:
    """Read the configuration, as a reload needs it too. foreground: whatever it says of that. Raises ConfigErrors."""
    text = read_text(file)
    compiled = load_text(text, file)
    proxy, server = compiled.proxy, compiled.proxy.section("udpserver")
    items = [*proxy.items, *(() if server is None else server.items)]
    places = {
        "udp-proxy": str(proxy.position),
        **{section.row.name: str(section.position) for section in proxy.sections},
    }
    return Reading(
        settings=replace(compiled.settings, foreground=foreground or compiled.settings.foreground),
        names=compiled.names,
        warnings=tuple(str(warning) for warning in compiled.warnings),
        text=text,
        places={**places, **{item.row.name: str(item.position) for item in items}},
    )


def _refuse(logs: Sequence[Logs | None], errors: Sequence[ConfigError]) -> int:
    """Write every error to the logs that are there, and return the exit status; nothing else was opened."""
    for log in filter(None, logs):
        for error in errors:
            log.note("config-error", str(error))
        log.close()
    return int(ExitStatus.CONFIGURATION)


if __name__ == "__main__":
    sys.exit(main())
