"""The command lines of udp-proxy and test-udp: options, usage, and what -h and -v print.

Source: udp-proxy(8) and test-udp(8), OPTIONS.
"""

from __future__ import annotations

import getopt
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from proxyd import VERSION_TAG, __version__
from proxyd.errors import ProxydError

EXIT_USAGE = 64
"""Source: sysexits.h, EX_USAGE."""
MIN_LEVEL, MAX_LEVEL = 3, 9

USAGE = {
    "udp-proxy": "usage: udp-proxy [-hv] [-d dbglev] [-P pidfile] [--check] [--foreground] [--takeover] -f cfgfile",
    "test-udp": "usage: test-udp [-hv] [-d dbglev] -f cfgfile [-r] [-t test_expr]",
}
OPTIONS = {
    "h": "print this text",
    "v": "print the version, and the tag for the configuration's version item",
    "d": f"debugging level until the configuration is read, {MIN_LEVEL} (least) to {MAX_LEVEL} (most)",
    "f": "the configuration file",
    "P": "write the process id to this file, not to /run/udp-proxy-NAME.pid",
    "r": "resolve the configuration's names before testing",
    "t": "test the configuration with this expression; -t 'help;' tells more",
}
LONG_OPTIONS = {
    "check": "check the configuration, and open nothing",
    "foreground": "stay in the foreground, as `nodaemon` does",
    "takeover": "go on with the sessions of the proxy that runs with this configuration, which ends",
    "help": "as -h",
    "version": "as -v",
}
_LETTERS = {"udp-proxy": "hvd:P:f:", "test-udp": "hvd:f:rt:"}
_LONG = {"udp-proxy": tuple(LONG_OPTIONS), "test-udp": ("help", "version")}


class UsageError(ProxydError):
    """The command line is not one of this program."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a command line asks for. level None: not given. resolve, expression: test-udp; the rest: udp-proxy only."""

    file: str = ""
    level: int | None = None
    resolve: bool = False
    expression: str | None = None
    shows_help: bool = False
    shows_version: bool = False
    pidfile: str | None = None
    foreground: bool = False
    takeover: bool = False
    checks_only: bool = False


def parse_arguments(program: str, argv: Sequence[str]) -> Arguments:
    """Parse the arguments behind the program's name; program is a key of USAGE. Raises UsageError."""
    try:
        options, rest = getopt.getopt(list(argv), _LETTERS[program], _LONG[program])
    except getopt.GetoptError as error:
        raise UsageError(str(error)) from error
    given = dict(options)
    if "-h" in given or "--help" in given:
        return Arguments(shows_help=True)
    if "-v" in given or "--version" in given:
        return Arguments(shows_version=True)
    if rest:
        raise UsageError(f"found the argument '{rest[0]}'; wanted options only")
    level = _level(given["-d"]) if "-d" in given else None
    if not given.get("-f"):
        raise UsageError("found no -f; wanted the configuration file")
    if given.get("-P") == "":
        raise UsageError("found no file after -P; wanted the pidfile")
    return Arguments(
        given["-f"],
        level,
        "-r" in given,
        given.get("-t"),
        pidfile=given.get("-P"),
        foreground="--foreground" in given,
        takeover="--takeover" in given,
        checks_only="--check" in given,
    )


def _level(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) == 1) or not MIN_LEVEL <= int(text) <= MAX_LEVEL:
        raise UsageError(f"found the debugging level '{text}'; wanted a number from {MIN_LEVEL} to {MAX_LEVEL}")
    return int(text)


def read_arguments(program: str, argv: Sequence[str]) -> Arguments | int:
    """Parse the arguments and carry out -h and -v; an int is the exit status to end with at once."""
    try:
        arguments = parse_arguments(program, argv)
    except UsageError as error:
        sys.stderr.write(f"{program}: {error.why}\n{USAGE[program]}\n")
        return EXIT_USAGE
    if arguments.shows_help:
        sys.stdout.write(help_text(program))
        return 0
    if arguments.shows_version:
        sys.stdout.write(f"{program} (proxyd {__version__}) {VERSION_TAG}\n")
        return 0
    return arguments


def help_text(program: str) -> str:
    """Return what -h prints."""
    letters = _LETTERS[program].replace(":", "")
    lines = [USAGE[program], *(f"  -{letter}  {OPTIONS[letter]}" for letter in letters)]
    lines += [f"  --{name}  {LONG_OPTIONS[name]}" for name in _LONG[program]]
    return "".join(f"{line}\n" for line in lines)
