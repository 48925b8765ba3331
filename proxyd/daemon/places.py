"""Where on this machine the listeners of a configuration are: which interface, and which of them are one and the same.

A transparent listener hears what was sent to anybody: its address only tells the interface, and its socket belongs to
that interface. Listeners that come to the same place are merged: a transparent one on every address serves what is
sent to the machine itself, too, and one socket must not stand in the other's light, or both would hear each broadcast.
Source: udp-proxy.cfg(5), LISTEN-ON; socket(7), SO_BINDTODEVICE.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace

from proxyd.daemon.demands import item_of
from proxyd.errors import SetupError
from workers.contract.settings import Address, ListenerSettings
from workers.net.interfaces import Interfaces, Table

_BYTES = {4: 4, 6: 16}


def settle(listeners: Sequence[ListenerSettings]) -> tuple[ListenerSettings, ...]:
    """Return the listeners as they are to be bound here; no two of them are at the same place.

    A transparent one that names an address or interface becomes one on every address of a device.
    Raises SetupError where this machine has no such interface.
    """
    if not any(listener.transparent for listener in listeners):
        return tuple(listeners)
    interfaces = Interfaces()
    try:
        return settle_on(listeners, interfaces.table, dict(socket.if_nameindex()))
    finally:
        interfaces.close()


def settle_on(
    listeners: Sequence[ListenerSettings], table: Table, names: dict[int, str]
) -> tuple[ListenerSettings, ...]:
    """Settle on a machine whose interfaces have these addresses, and names by their index."""
    found: dict[tuple[Address, int, str | None], ListenerSettings] = {}
    for listener in listeners:
        settled = _on_device(listener, table, names) if listener.transparent else listener
        place = (settled.address, settled.port, settled.device)
        before = found.setdefault(place, settled)
        found[place] = replace(before, transparent=before.transparent or settled.transparent)
    return tuple(listener for listener in found.values() if not _is_within_another(listener, found))


def _is_within_another(
    listener: ListenerSettings, found: dict[tuple[Address, int, str | None], ListenerSettings]
) -> bool:
    """Tell whether a transparent listener on every interface hears all that this one would, which is on one."""
    if listener.device is None or listener.address.value:
        return False
    wider = found.get((listener.address, listener.port, None))
    return wider is not None and wider.transparent


def _on_device(listener: ListenerSettings, table: Table, names: dict[int, str]) -> ListenerSettings:
    address, device = listener.address, listener.device
    if device is not None:
        if device not in names.values():
            raise SetupError(f"find '{item_of(listener)}'", f"this machine has no interface {device}")
    elif address.value:
        index = table.interface_of(address.value.to_bytes(_BYTES[address.version], "big"))
        if index not in names:
            reason = f"no interface of this machine has the address {address}, which tells the interface"
            raise SetupError(f"find '{item_of(listener)}'", reason)
        device = names[index]
    return replace(listener, address=Address(address.version, 0), device=device)
