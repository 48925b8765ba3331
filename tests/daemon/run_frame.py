"""Run the parent with echoing workers: a program for tests. Arguments: a pickled Recipe's file.

Standard output says `ready` once it serves; the exit status is the proxy's (the starting command's with background).
"""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from proxyd.daemon import capabilities
from proxyd.daemon.detach import in_background
from proxyd.daemon.naming import DnsNaming
from proxyd.daemon.order import Order
from proxyd.daemon.session import SESSION_PROXY
from proxyd.daemon.startup import run_proxy
from tests.daemon import echo_loop
from workers.contract.settings import Settings


@dataclass(frozen=True)
class Recipe:
    """What to run, and as whom: uid None is root. without: capabilities that the machine is not to give it.

    hosts: the table of hosts in the place of the machine's.
    """

    settings: Settings
    run_directory: Path
    background: bool = False
    uid: int | None = None
    names: tuple[str, ...] = ()
    without: frozenset[int] = frozenset()
    hosts: Path | None = None


def main() -> int:
    recipe: Recipe = pickle.loads(Path(sys.argv[1]).read_bytes())
    if recipe.without:
        capabilities.drop_all_but(capabilities.held() - recipe.without)
    if recipe.uid is not None:
        os.setgroups([])
        os.setresgid(recipe.uid, recipe.uid, recipe.uid)
        os.setresuid(recipe.uid, recipe.uid, recipe.uid)
    openings = SESSION_PROXY
    if recipe.hosts is not None:
        openings = replace(openings, naming=DnsNaming(Path("/nonexistent"), recipe.hosts))
    order = Order(
        recipe.settings,
        echo_loop.run,
        "0.0",
        sys.argv[1],
        (),
        recipe.names,
        recipe.run_directory,
        openings=openings,
    )
    if recipe.background:
        ending = in_background(lambda on_ready: run_proxy(order, on_ready))
    else:
        ending = run_proxy(order, lambda: print("ready", flush=True))
    print(ending.reason, file=sys.stderr)
    return int(ending.status)


if __name__ == "__main__":
    sys.exit(main())
