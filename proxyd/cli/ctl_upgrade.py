"""proxyctl upgrade: have the running proxy start the program anew and hand over to it. Source: proxyctl(8)."""

from __future__ import annotations

import argparse
import sys

from proxyd.cli.ctl_frame import Status, connect, put
from proxyd.control.protocol import AskUpgrade, Mistakes, Step


def upgrade(arguments: argparse.Namespace) -> int:
    """Give the order and say how far it is; return when the new program serves, or has failed."""
    words: list[str] = []
    with connect(arguments) as connection:
        for reply in connection.ask(AskUpgrade()):
            if isinstance(reply, Mistakes):
                sys.stderr.write("".join(f"{line}\n" for line in reply.lines))
            elif isinstance(reply, Step):
                words.append(reply.text)
                if not arguments.json:
                    sys.stdout.write(f"{reply.text}\n")
                    sys.stdout.flush()
    put(arguments, {"steps": words}, "")
    return Status.DONE
