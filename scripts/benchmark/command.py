"""The command line of scripts/bench."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import CannotMeasure
from .isolation import enter_own_network, set_session_priority
from .measurements import Rig
from .peers import Echo
from .plan import MEASUREMENTS, Measurement, run_rounds
from .proxies import Product, find_nginx, find_udp_proxy, nginx, udp_proxy
from .report import as_json, as_text, goals_as_text, machine, outcomes

_CHECKOUT = Path(__file__).resolve().parents[2]
_EXAMPLE = "scripts/bench                # all, about three minutes; scripts/bench --only flows-16 set-up --rounds 3"


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure udp-proxy against nginx's stream module: one worker each, pinned to one core, 100-byte "
        "datagrams over the loopback interface. Load and upstream share the other core.",
        epilog=f"Usage: {_EXAMPLE}. Measures whatever the figures are: exit status 0; 1 when it could not measure.",
    )
    names = [measurement.name for measurement in MEASUREMENTS]
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is repeated (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--proxy-cpu", type=int, default=0, metavar="N", help="core of the proxy (%(default)s)")
    parser.add_argument("--load-cpu", type=int, default=1, metavar="N", help="core of the load (%(default)s)")
    parser.add_argument(
        "--old", type=Path, metavar="PATH", help="a udp-proxy, or a checkout with one in .venv, to pair"
    )
    parser.add_argument(
        "--offload", action="store_true", help="pair with our own proxy whose sessions the kernel carries"
    )
    parser.add_argument("--nginx-only", action="store_true", help="leave our own proxy out")
    parser.add_argument(
        "--multi-accept",
        action="store_true",
        help="nginx with multi_accept on, which it is not by default: harder to beat",
    )
    parser.add_argument("--nice", type=int, default=0, metavar="N", help="priority of load and proxies, -20 to 19")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too, single rounds included")
    return parser.parse_args(arguments)


def _products(options: argparse.Namespace) -> list[Product]:
    """Return the proxies to be compared, the baseline first. Raises CannotMeasure."""
    products = [nginx(find_nginx(), multi_accept=options.multi_accept)]
    if not options.nginx_only:
        products.append(udp_proxy("udp-proxy", find_udp_proxy(_CHECKOUT)))
    if options.offload:
        products.append(udp_proxy("offload", find_udp_proxy(_CHECKOUT), offload=True))
    if options.old:
        products.append(udp_proxy("old", find_udp_proxy(options.old)))
    return products


def _prepare(options: argparse.Namespace) -> str:
    """Take our core, priority and network; return a note on the last. Raises CannotMeasure."""
    if options.proxy_cpu == options.load_cpu or not {options.proxy_cpu, options.load_cpu} <= os.sched_getaffinity(0):
        raise CannotMeasure("the proxy and the load need a core each: --proxy-cpu, --load-cpu")
    os.sched_setaffinity(0, {options.load_cpu})
    if options.nice:
        os.nice(options.nice)
        set_session_priority(os.getpid(), options.nice)
        atexit.register(set_session_priority, os.getpid(), 0)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    gc.disable()  # a collection would stop clients and upstream; nothing here makes cycles worth one
    if enter_own_network():
        return "loopback of a network namespace of its own"
    return "loopback of this machine, not root: buffers are small, drop counters are everybody's"


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def _run(options: argparse.Namespace) -> None:
    products = _products(options)
    notes = [_prepare(options), *(product.note for product in products)]
    facts = machine(products[0].command[0])
    chosen: list[Measurement] = [measurement for measurement in MEASUREMENTS if measurement.name in options.only]
    echo = Echo()
    rig = Rig(echo, products[0], options.proxy_cpu, options.seconds)
    results = run_rounds(rig, products, chosen, options.rounds, _tell)
    _tell("")
    names = [product.name for product in products]
    ours = [name for name in names if name in ("udp-proxy", "offload")]
    found = outcomes(results, ours, [name for name in names if name not in ours])
    print(as_text(facts, notes, results, chosen))
    if found:
        print("", goals_as_text(found), sep="\n")
    if options.json:
        options.json.write_text(as_json(facts, _option_fields(options), results, found))


def _option_fields(options: argparse.Namespace) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}


def main(arguments: Sequence[str]) -> int:
    """Measure and report; return the exit status: 0, or 1 when something could not be measured."""
    options = _parse(arguments)
    try:
        _run(options)
    except CannotMeasure as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    return 0
