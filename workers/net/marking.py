"""What a rule's outgoing datagrams carry beside their payload: type of service, packet mark, queueing priority.

To the server a session's own socket carries them; to the client each answer's control data does, because the listener
sends for all rules. Source: ip(7), ipv6(7), socket(7); SO_PRIORITY as control data came with Linux 6.14.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Mapping
from typing import NamedTuple

from workers.contract.settings import AclSettings, QueueSettings, Settings
from workers.net import ancillary

SO_MARK, SO_PRIORITY, IP_TOS, IPV6_TCLASS = 36, 12, 1, 67
_TOS = {4: (ancillary.IPPROTO_IP, IP_TOS), 6: (ancillary.IPPROTO_IPV6, IPV6_TCLASS)}
_INT = struct.Struct("=i")
_UINT = struct.Struct("=I")


class Marking(NamedTuple):
    """What datagrams of one rule and direction carry; None is left alone."""

    tos: int | None = None
    mark: int | None = None
    priority: int | None = None

    def options(self, version: int) -> tuple[tuple[int, int, bytes], ...]:
        """Return (level, option, value) for one IP version, the same for sockets and for control data.

        The priority comes last: setting the type of service sets a priority too.
        """
        level, option = _TOS[version]
        wanted = (
            (level, option, None if self.tos is None else _INT.pack(self.tos)),
            (ancillary.SOL_SOCKET, SO_MARK, None if self.mark is None else _UINT.pack(self.mark)),
            (ancillary.SOL_SOCKET, SO_PRIORITY, None if self.priority is None else _UINT.pack(self.priority)),
        )
        return tuple((level, option, value) for level, option, value in wanted if value is not None)


def control_data(version: int, marking: Marking) -> bytes:
    """Encode control data that makes one datagram carry the marking; empty where there is none."""
    return b"".join(ancillary.item(level, option, value) for level, option, value in marking.options(version))


def to_server(acl: AclSettings, queues: Mapping[str, QueueSettings]) -> Marking:
    """Return what a rule's datagrams to servers carry. queues: by name."""
    return _marking(acl.tos_to_server, acl.queue_to_server, queues)


def to_client(acl: AclSettings, queues: Mapping[str, QueueSettings], *, priority: bool = True) -> Marking:
    """Return what a rule's answers carry. priority: whether the kernel takes it as control data (takes_priority)."""
    marking = _marking(acl.tos_to_client, acl.queue_to_client, queues)
    return marking if priority else marking._replace(priority=None)


def lost_priorities(settings: Settings) -> tuple[str, ...]:
    """Return the queues whose priority answers cannot carry where the kernel does not take it as control data."""
    used = {acl.queue_to_client for acl in settings.acls}
    return tuple(queue.name for queue in settings.queues if queue.priority is not None and queue.name in used)


def takes_priority() -> bool:
    """Tell whether the kernel takes a priority as control data, by sending nothing to nobody over loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        try:
            probe.sendmsg([b""], [(ancillary.SOL_SOCKET, SO_PRIORITY, _UINT.pack(0))], 0, probe.getsockname())
        except OSError as error:
            return error.errno != errno.EINVAL
        return True


def _marking(tos: int | None, queue: str | None, queues: Mapping[str, QueueSettings]) -> Marking:
    found = None if queue is None else queues.get(queue)
    return Marking(tos) if found is None else Marking(tos, found.mark, found.priority)
