"""What this machine itself says of addresses: which are its own, and which names it has for them.

Nobody else is asked. Source: bind(2), EADDRNOTAVAIL; hosts(5).
"""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from workers.contract.settings import Address
from workers.policy.hostset import normal_name
from workers.resolver import system

HOSTS = system.HOSTS
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def is_own(address: Address) -> bool:
    """Tell whether this machine has an address; yes in doubt. Nothing is sent: a socket is bound and closed.

    Only for warnings: a configuration may be checked on another machine than where it is to run.
    """
    try:
        with socket.socket(_FAMILIES[address.version], socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def addresses_of(name: str, path: Path = HOSTS) -> tuple[Address, ...]:
    """Return the addresses that the hosts file has for a name, in their order; none where it has none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            table = system.parse_hosts(file.read(system.MAX_FILE_BYTES))
    except OSError:
        return ()
    return tuple(sorted(table.get(normal_name(name), ())))
