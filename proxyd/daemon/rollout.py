"""The order in which children are renewed when what they were forked with is true no more.

One after the other: the next one is asked to leave only when the replacement of the one before it is at work, so that
at no time more than one worker's datagrams wait. Pure: what state a child is in is looked at, and what is to be done
comes out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from proxyd.daemon.roster import Child, State


class Rollout:
    """Renews children in their order. at_work: whether a ready child has all that others need of it, by its own rule.

    A child counts as renewed once a process that was forked after the beginning serves; if it dies before its turn,
    its replacement is that process already.
    """

    def __init__(self, children: Iterable[Child], at_work: Callable[[Child], bool] = lambda _: True) -> None:
        self._waiting = deque((child, child.lives) for child in children)
        self._at_work = at_work

    @property
    def finished(self) -> bool:
        """Whether all are renewed. To be asked after `next`."""
        return not self._waiting

    @property
    def left(self) -> int:
        """How many are not renewed yet."""
        return len(self._waiting)

    def next(self) -> Child | None:
        """Return the child that is to be asked to leave now, None while one is waited for, or when all are renewed."""
        while self._waiting:
            child, lives = self._waiting[0]
            if child.dismissed and child.state is State.DEAD:
                self._waiting.popleft()
            elif child.lives == lives or child.dismissed:
                return child if child.state is State.READY else None
            elif child.state is State.READY and self._at_work(child):
                self._waiting.popleft()
            else:
                return None
        return None
