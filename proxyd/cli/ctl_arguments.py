"""The command line of proxyctl. Source: proxyctl(8), SYNOPSIS and COMMANDS."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from proxyd import VERSION_TAG, __version__
from proxyd.control.sessions import SORT_KEYS
from workers.contract.settings import SessionKind
from workers.contract.tapping import LONGEST_NS, MOST_BYTES

EXIT_USAGE = 64
"""Source: sysexits.h, EX_USAGE."""
LONGEST_S = 31_536_000
"""A year: as much as the proxy takes."""
MAX_PAYLOAD = 65_535
DESCRIPTION = "Ask a running proxy, and give it orders."


class Parser(argparse.ArgumentParser):
    """Ends as all our commands do when the command line is wrong."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end."""
        sys.stderr.write(f"proxyctl: {message}\n{self.format_usage()}")
        sys.exit(EXIT_USAGE)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser. The parsed arguments have `command`, and the fields of that command."""
    parser = Parser(prog="proxyctl", description=DESCRIPTION)
    parser.add_argument("-v", "--version", action="version", version=f"proxyctl (proxyd {__version__}) {VERSION_TAG}")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("-n", "--name", help="the proxy of this name; not needed where only one runs")
    which.add_argument("-s", "--socket", help="the proxy whose control socket this is")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command", parser_class=Parser)
    output = Parser(add_help=False)
    output.add_argument("--json", action="store_true", help="print JSON for programs")

    commands.add_parser("status", parents=[output], help="how the proxy is")
    sessions = commands.add_parser("sessions", parents=[output], help="list sessions")
    add_filters(sessions)
    sessions.add_argument("--sort", choices=sorted(SORT_KEYS), default="age", help="by what (age)")
    sessions.add_argument("--limit", type=_count, metavar="N", help="print the first N only")
    session = commands.add_parser("session", parents=[output], help="all about one session")
    session.add_argument("id", help="its id, or WORKER.SLOT")
    kill = commands.add_parser("kill", parents=[output], help="end sessions")
    kill.add_argument("ids", nargs="*", metavar="id", help="their ids; or filters, or --all")
    kill.add_argument("--all", action="store_true", help="end all sessions")
    add_filters(kill)
    level = commands.add_parser("loglevel", parents=[output], help="show or set the level of the debug log")
    level.add_argument("level", nargs="?", help="3 (errors) to 9 (everything), + or -")
    _add_explain(commands.add_parser("explain", parents=[output], help="what would become of a datagram"))
    reload = commands.add_parser("reload", parents=[output], help="read the configuration again")
    reload.add_argument("--dry-run", action="store_true", help="change nothing, say what would change")
    commands.add_parser("upgrade", parents=[output], help="hand over to the program that is installed now")
    drain = commands.add_parser("drain", parents=[output], help="begin no session any more, end with the last one")
    drain.add_argument("--timeout", type=_seconds, metavar="S", help="end after S seconds at the latest")
    drain.add_argument("--wait", action="store_true", help="return when the proxy has ended")
    _add_users(commands.add_parser("users", parents=[output], help="who sits at which address"))
    commands.add_parser("groups", parents=[output], help="the transfers of a UFTP proxy")
    live = commands.add_parser("top", parents=[output], help="a live view: rates by session, rule, listener, group")
    live.add_argument("-i", "--interval", type=_seconds, default=2.0, metavar="S", help="seconds between looks (2)")
    live.add_argument("--once", action="store_true", help="print it once, after one interval")
    add_filters(live)
    _add_tap(commands.add_parser("tap", parents=[output], help="write a session's datagrams to a file"))
    for name, text in (
        ("doctor", "check this machine for a configuration"),
        ("capacity", "how many sessions can be held, and what limits them"),
    ):
        check = commands.add_parser(name, parents=[output], help=text)
        check.add_argument("-f", "--file", help="the configuration; without it, that of the running proxy")
    return parser


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which sessions are meant."""
    hosts = "ADDRESS[/PREFIX][:PORT] or :PORT"
    parser.add_argument("--client", metavar="HOST", help=f"of these clients: {hosts}")
    parser.add_argument("--server", metavar="HOST", help=f"with these servers: {hosts}")
    parser.add_argument("--acl", metavar="NAME", help="by this rule")
    parser.add_argument("--type", choices=[kind.value for kind in SessionKind], help="of this type")
    parser.add_argument("--worker", type=_count, metavar="N", help="of this worker")
    parser.add_argument("--idle", type=_seconds, metavar="S", help="without a datagram for S seconds at least")
    parser.add_argument("--older", type=_seconds, metavar="S", help="S seconds old at least")


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="from", help="the client: ADDRESS[:PORT]")
    parser.add_argument("to", help="where it sends to: ADDRESS:PORT")
    parser.add_argument("user", nargs="?", help="who sits there; without it, who does now")
    parser.add_argument("time", nargs="?", help="when: [[mm]dd]hhmm; without it, now")
    parser.add_argument("--group", action="append", default=[], metavar="NAME", help="a group of the user")
    parser.add_argument("--tos", type=_octet, default=0, metavar="N", help="the type of service, 0 to 255")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--transparent", action="store_true", default=None, help="it is sent to somebody else")
    way.add_argument("--direct", action="store_false", dest="transparent", help="it is sent to the proxy")


def _add_users(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", metavar="NAME", help="only this one")
    parser.add_argument("--group", metavar="NAME", help="only those in this group")
    parser.add_argument("--address", metavar="HOST", dest="where", help="only at these addresses: ADDRESS[/PREFIX]")
    parser.add_argument("--by-group", action="store_true", help="how many there are in each group")
    changes = parser.add_subparsers(dest="change", metavar="change", parser_class=Parser)
    where = Parser(add_help=False)
    where.add_argument("-f", "--file", help="the configuration, where the proxy does not run")
    where.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON for programs")
    add = changes.add_parser("add", parents=[where], help="put somebody at an address, whoever was there")
    add.add_argument("address")
    add.add_argument("person", metavar="user")
    add.add_argument("groups", nargs="*", metavar="group", help="the groups that the user is in")
    remove = changes.add_parser("remove", parents=[where], help="let nobody be at these addresses")
    remove.add_argument("addresses", nargs="+", metavar="address")


def _add_tap(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="the session's id, or WORKER.SLOT")
    parser.add_argument("-w", "--write", metavar="FILE", required=True, help="where to: a pcapng file, - for output")
    parser.add_argument("-c", "--count", type=_amount, default=100_000, metavar="N", help="datagrams at most (100000)")
    parser.add_argument(
        "-b", "--bytes", type=_amount, default=100 << 20, metavar="N", help="bytes of payload at most (104857600)"
    )
    parser.add_argument("-t", "--time", type=_tap_time, default=600.0, metavar="S", help="seconds at most (600)")
    parser.add_argument(
        "-s", "--snap", type=_count, default=MAX_PAYLOAD, metavar="N", help="bytes to keep of each datagram (all)"
    )
    parser.add_argument("--side", choices=("client", "server"), default="client", help="whose view it is (client)")


def _amount(text: str) -> int:
    number = _count(text)
    if not 0 < number <= MOST_BYTES:
        raise argparse.ArgumentTypeError(f"found '{text}'; wanted a number from 1 to {MOST_BYTES}")
    return number


def _tap_time(text: str) -> float:
    number = _seconds(text)
    if not 0 < number <= LONGEST_NS / 1e9:
        raise argparse.ArgumentTypeError(f"found '{text}'; wanted seconds, at most {LONGEST_NS // 10**9}")
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"found '{text}'; wanted a number")
    return int(text)


def _octet(text: str) -> int:
    number = _count(text)
    if number > 255:
        raise argparse.ArgumentTypeError(f"found '{text}'; wanted a number from 0 to 255")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"found '{text}'; wanted seconds, at most {LONGEST_S}")
    return number
