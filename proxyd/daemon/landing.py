"""Listeners of a new configuration beside those of the old one: what is bound anew, what stays, what retires.

A listener that is in both configurations keeps its sockets, and with them the datagrams that wait there. One that has
vanished stays as long as sessions use it, and takes nobody new; but where a listener of the new configuration is wider
and has its port, who sends there still is to be served: it stays and takes everybody. One that went astray, because its
interface was made anew, is bound anew, too.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeAlias

from workers.contract.settings import ListenerSettings

Listeners: TypeAlias = tuple[tuple[socket.socket, ...], ...]
"""Sockets as [worker][listener]."""


class Landing(NamedTuple):
    """Where the proxy listens from now on.

    sockets: of the new configuration's listeners, and of those in extra behind them; the last retired of these take
    nobody new. fresh: the listeners that were bound only now, of which fresh_sockets are. replaced: sockets in whose
    place others are, to be closed once nothing can be undone.
    """

    sockets: Listeners
    extra: tuple[ListenerSettings, ...]
    retired: int
    fresh: tuple[ListenerSettings, ...]
    fresh_sockets: Listeners
    replaced: tuple[socket.socket, ...] = ()

    def undo(self) -> None:
        """Close what was bound only now."""
        for group in self.fresh_sockets:
            for sock in group:
                sock.close()


def land(
    standing: Sequence[ListenerSettings],
    sockets: Listeners,
    wanted: Sequence[ListenerSettings],
    bind: Callable[[Sequence[ListenerSettings]], Listeners],
    astray: Collection[ListenerSettings] = (),
) -> Landing:
    """Return where to listen. standing, sockets: where the proxy does now. bind: binds, for as many workers.

    astray: listeners whose sockets hear nothing any more. Raises what bind does; nothing has changed then.
    """
    fresh = tuple(listener for listener in wanted if listener not in standing or listener in astray)
    bound = bind(fresh) if fresh else tuple(() for _ in sockets)
    left = [listener for listener in standing if listener not in wanted]
    covered = [listener for listener in left if any(covers(wider, listener) for wider in wanted)]
    retired = [listener for listener in left if listener not in covered]
    order = (*wanted, *covered, *retired)
    old = {listener: index for index, listener in enumerate(standing)}
    new = {listener: index for index, listener in enumerate(fresh)}
    merged = tuple(
        tuple(added[new[listener]] if listener in new else have[old[listener]] for listener in order)
        for have, added in zip(sockets, bound, strict=True)
    )
    replaced = tuple(have[old[listener]] for have in sockets for listener in fresh if listener in old)
    return Landing(merged, (*covered, *retired), len(retired), fresh, bound, replaced)


def covers(wider: ListenerSettings, listener: ListenerSettings) -> bool:
    """Tell whether a listener takes what is sent to the other one's place, as the other one would."""
    return (
        wider.address.value == 0
        and wider.address.version == listener.address.version
        and (wider.port, wider.transparent) == (listener.port, listener.transparent)
        and wider.device in (None, listener.device)
    )
