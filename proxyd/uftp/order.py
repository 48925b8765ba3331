"""What is to be run: from the command line to the order that the frame carries out."""

from __future__ import annotations

from pathlib import Path

from proxyd import __version__
from proxyd.daemon.launch import this_program
from proxyd.daemon.monitoring import inherit_monitor, open_monitor
from proxyd.daemon.order import Openings, Order
from proxyd.uftp import sockets
from proxyd.uftp.compiler import compile_frame, compile_settings
from proxyd.uftp.interfaces import list_interfaces
from proxyd.uftp.keyload import Keys, load_keys
from proxyd.uftp.logformat import open_log
from proxyd.uftp.options import CommandLine
from proxyd.uftp.rereading import begin, frame_of
from workers.contract.uftp import UftpSettings

GROUP_BYTES, CLIENT_BYTES = 2048, 512
"""What a group and a client take when they are written down: of 4,096 bits of RSA more, plain ones a tenth."""
CLIENTS_FACTOR = 10
"""All groups together may have ten times the clients that one may have (workers.uftp.station)."""
MOST_STORE_BYTES = 1 << 32


def make_order(line: CommandLine) -> Order:
    """Return what a command line asks for: names are looked up, lists and keys read, new keys written.

    Raises OptionError, KeyLoadError, and SetupError where no interface can be used.
    """
    program, settings, keys = begin(line)
    frame = compile_frame(line, settings)
    return Order(
        settings=frame,
        worker=program.worker(),
        version=__version__,
        openings=Openings(
            open_log,
            lambda frame, workers, given: sockets.bind(settings, workers, given.take(frame.listeners[0])),
            monitoring=open_monitor,
            descriptors=sockets.descriptors,
            store_bytes=lambda _frame, workers: store_bytes(settings, workers),
            inherit_monitoring=inherit_monitor,
            adapt=lambda listeners: sockets.adapt(settings, listeners),
            one_family=False,
        ),
        pidfile="" if line.pidfile is None else str(Path("/") / line.pidfile),
        banner=_banner(settings, keys),
        read=program.read,
        text=program.text,
        recompile=frame_of,
        takeover=line.takeover,
        private=program.private,
        inherit=program.inherit,
        launch=this_program(),
    )


def check_order(line: CommandLine) -> None:
    """Check all of a command line that needs no socket; keys to be made are left unmade. Raises as make_order does."""
    compile_settings(line, list_interfaces())
    if not line.new_keys:
        load_keys(line)


def store_bytes(settings: UftpSettings, workers: int) -> int:
    """Return how large a worker's store is to be; memory is taken only for what is there.

    Two halves, each with twice the room of all groups and clients that there may be.
    """
    groups = -(-settings.max_groups // workers) * GROUP_BYTES
    clients = settings.max_clients * CLIENTS_FACTOR * CLIENT_BYTES
    return min(2 * 2 * (groups + clients), MOST_STORE_BYTES)


def _banner(settings: UftpSettings, keys: Keys) -> tuple[tuple[str, tuple[str | int, ...]], ...]:
    """Return what the log begins with; the empty first field is the group's."""
    title = ("uftp-started", ("", __version__, settings.mode.value, settings.uid))
    titles = enumerate(keys.titles, 1)
    return (title, *(("uftp-key", ("", number, kind, fingerprint)) for number, (kind, fingerprint) in titles))
