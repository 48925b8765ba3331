"""The command line of `scripts/bench uftp`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import CannotMeasure
from ..figures import Figures
from ..isolation import set_session_priority
from .chain import Chain
from .makes import SUITES, Make, original, ours
from .report import Results, as_text, outcomes_as_text
from .transfer import Task, memory_alone, transfer

_CHECKOUT = Path(__file__).resolve().parents[3]
_SHARED_MEMORY = Path("/dev/shm")
_MEGABYTE = 1_000_000


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench uftp",
        description="Send a file from a uftp server through a server proxy and a client proxy to a uftpd client, each "
        "on a host of its own (network namespaces), with two original uftpproxyd and with two of ours in turn. "
        "All share this machine's cores: the figures are ratios within one run.",
        epilog="Exit status 0 when it could measure, whatever the figures; 1 when it could not. Needs root.",
    )
    parser.add_argument("--rates", nargs="+", type=int, default=[1000, 2000], metavar="MBIT", help="uftp -R, Mbit/s")
    parser.add_argument(
        "--suites", nargs="+", choices=SUITES, default=["plain"], metavar="NAME", help=", ".join(SUITES)
    )
    parser.add_argument("--megabytes", type=int, default=250, metavar="N", help="size of the file (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each is repeated (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="of each of our proxies (%(default)s)")
    parser.add_argument("--buffer", type=int, default=4 << 20, metavar="BYTES", help="-B of all programs (%(default)s)")
    parser.add_argument("--original-only", action="store_true", help="leave our own proxy out")
    parser.add_argument("--nice", type=int, default=0, metavar="N", help="priority of everything, -20 to 19")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="keep the last transfer's logs there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures there too")
    return parser.parse_args(arguments)


def _makes(options: argparse.Namespace) -> list[Make]:
    found = [original()]
    return found if options.original_only else [*found, ours(_CHECKOUT, options.workers)]


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def _measure(options: argparse.Namespace, directory: Path) -> Results:
    """Take every transfer of both makes, round by round, each round in the reverse order of the last."""
    file = directory / "file"
    file.write_bytes(os.urandom(options.megabytes * _MEGABYTE))
    results = Results()
    found = _makes(options)
    task = Task(file, options.keep or directory, 0, "", options.buffer)
    task.directory.mkdir(exist_ok=True)
    with Chain() as chain:
        results.alone_pss_mb = {make.name: memory_alone(chain, make, task) for make in found}
        for suite in options.suites:
            for rate in options.rates:
                for number in range(options.rounds):
                    for make in found[:: -1 if number % 2 else 1]:
                        _tell(f"{suite}, {rate} Mbit/s: {make.name}, round {number + 1}")
                        results.add(suite, rate, make.name, _figures(chain, make, task, suite, rate))
    _tell("")
    return results


def _figures(chain: Chain, make: Make, task: Task, suite: str, rate: int) -> Figures:
    try:
        return transfer(chain, make, replace(task, rate_mbit=rate, suite=suite))
    except CannotMeasure as error:
        raise CannotMeasure(f"{make.name}, {suite}, {rate} Mbit/s: {error}") from error


def main(arguments: Sequence[str]) -> int:
    """Measure and report; return the exit status: 0, or 1 when something could not be measured."""
    options = _parse(arguments)
    if options.nice:
        os.nice(options.nice)
        set_session_priority(os.getpid(), options.nice)
    try:
        with tempfile.TemporaryDirectory(dir=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None) as directory:
            Path(directory).chmod(0o755)
            results = _measure(options, Path(directory))
    except CannotMeasure as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    print(as_text(results, options))
    if not options.original_only:
        print("", outcomes_as_text(results), sep="\n")
    if options.json:
        rounds = {f"{suite}-{rate}": makes for (suite, rate), makes in results.rounds.items()}
        document = {"alone_pss_mb": results.alone_pss_mb, "rounds": rounds}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0
