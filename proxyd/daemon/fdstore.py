"""What was left, laid up with the service manager from one run to the next: descriptors by name, in no order.

The list goes last: where it is missing, laying up was interrupted and nothing counts. What comes back is told apart by
what the kernel calls each open file. The manager gives duplicates and keeps its own until it is told to forget them, so
a start that fails loses nothing.
Source: sd_notify(3), FDSTORE and FDNAME; sd_listen_fds(3); systemd.service(5), FileDescriptorStoreMax.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from typing import NamedTuple

from proxyd.daemon.bequest import identify
from proxyd.daemon.inventory import MAX_BYTES, Bundle, InventoryError, arrange
from proxyd.daemon.lane import PARCEL, close_all, lay_down
from proxyd.daemon.notify import Notifier
from proxyd.errors import SetupError

NAME = "proxyd"
LIST_NAME = "proxyd-list"
FIRST = 3
"""The number of the first descriptor that is passed. Source: sd_listen_fds(3), SD_LISTEN_FDS_START."""
STEP = "take what the service manager has passed"
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def capacity(environment: Mapping[str, str]) -> int:
    """Return how many descriptors the manager keeps for us, 0: none. Older ones than systemd 254 do not tell."""
    text = environment.get("FDSTORE", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def lay_up(notifier: Notifier, bundle: Bundle) -> None:
    """Give the manager a bundle to keep. Raises OSError when it does not take all of it; it keeps nothing then."""
    try:
        for start in range(0, len(bundle.descriptors), PARCEL):
            notifier.lay_up(NAME, bundle.descriptors[start : start + PARCEL])
        fd = lay_down(bundle.manifest)
        try:
            notifier.lay_up(LIST_NAME, (fd,))
        finally:
            os.close(fd)
    except OSError:
        forget(notifier)
        raise


def forget(notifier: Notifier) -> None:
    """Have the manager close what it keeps of ours."""
    notifier.forget(LIST_NAME)
    notifier.forget(NAME)


class Passed(NamedTuple):
    """Descriptors that this process was passed, with their names: what was laid up, and what is of socket units."""

    stored: dict[int, str]
    others: dict[int, str]


def take_passed(environment: MutableMapping[str, str]) -> Passed:
    """Return what the manager has passed to this process; none of it is inheritable any more.

    The variables that tell of it are taken out of the environment: they are nobody else's. Raises SetupError where they
    tell of more than there is.
    """
    passed = _passed({name: environment.pop(name) for name in _VARIABLES if name in environment})
    stored = {descriptor: name for descriptor, name in passed.items() if name in (NAME, LIST_NAME)}
    return Passed(stored, {descriptor: name for descriptor, name in passed.items() if descriptor not in stored})


def fetch(passed: Mapping[int, str]) -> Bundle | None:
    """Return what of the passed was laid up, None where nothing was. Raises InventoryError where the list is none.

    What is of no use, or all of it then, is closed.
    """
    lists = [descriptor for descriptor, name in passed.items() if name == LIST_NAME]
    others = [descriptor for descriptor, name in passed.items() if name == NAME]
    if not lists:
        close_all(others)
        return None
    try:
        # The newest counts: an older one is of a stop that nobody came back from.
        manifest = os.pread(lists[-1], MAX_BYTES, 0)
        bundle = arrange(manifest, {identify(descriptor): descriptor for descriptor in others})
    except (InventoryError, OSError) as error:
        close_all(others)
        raise InventoryError(str(error)) from error
    finally:
        close_all(lists)
    close_all([descriptor for descriptor in others if descriptor not in frozenset(bundle.descriptors)])
    return bundle


def _passed(variables: Mapping[str, str]) -> dict[int, str]:
    """Return the descriptors that are meant for this process, with their names. Raises SetupError."""
    count = variables.get("LISTEN_FDS", "")
    if variables.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return {}
    names = variables.get("LISTEN_FDNAMES", "").split(":")
    passed: dict[int, str] = {}
    for place in range(int(count)):
        descriptor = FIRST + place
        try:
            os.set_inheritable(descriptor, False)
        except OSError as error:
            raise SetupError(STEP, f"LISTEN_FDS is {count}, and descriptor {descriptor} is not open") from error
        passed[descriptor] = names[place] if place < len(names) else "unknown"
    return passed
