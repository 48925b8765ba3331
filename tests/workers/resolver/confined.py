"""A resolver in a process of its own, confined to a directory as nobody; prints what it tells. argv: port, root."""

from __future__ import annotations

import os
import select
import signal
import sys
from ipaddress import ip_address

from tests.workers.resolver.name_server import prepared_for, settings_for
from workers.boot import BootPlan, run_child
from workers.contract.channel import ParentEnd, open_channel
from workers.contract.context import Confinement
from workers.contract.messages import Failed, LogBatch, Names
from workers.resolver.child import channel_log, serve

NAMES = ("far2.example.test", "none.example.test")
NOBODY = 65534


def main() -> None:
    port, root = int(sys.argv[1]), sys.argv[2]
    prepared = prepared_for(settings_for(port))
    parent, child = open_channel()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid == 0:
        parent.close()
        plan = BootPlan("resolver", "test", child, frozenset((child.fileno(),)), Confinement(NOBODY, NOBODY, root))
        run_child(plan, lambda wakeup: serve(NAMES, prepared, child, wakeup, channel_log(child)))
    child.close()
    print_messages(parent)
    os.kill(pid, signal.SIGTERM)
    print("exit status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def print_messages(parent: ParentEnd) -> None:
    """Print what comes until names and a log record have come, or something went wrong."""
    wanted = {Names, LogBatch}
    while wanted:
        select.select((parent,), (), ())
        message = parent.receive()
        wanted.discard(type(message))
        if isinstance(message, Names):
            for name, addresses in message.addresses.items():
                print(name, *(ip_address(value) for _, value in addresses), flush=True)
        elif isinstance(message, LogBatch):
            for record in message.records:
                print(*record.fields, flush=True)
        elif isinstance(message, Failed):
            print(message, flush=True)
            return


if __name__ == "__main__":
    main()
