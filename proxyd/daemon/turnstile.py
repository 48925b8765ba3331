"""Who has asked for a reload, and when the next one may begin: one for all who have asked meanwhile.

While a program that was taken over has the listening sockets, too, a reload waits, for a while.
"""

from __future__ import annotations

from collections.abc import Callable

ALONE_NS = 10_000_000_000
"""How long a reload waits for a program that was taken over to let go of the listening sockets."""


class Turnstile:
    """Requests by their numbers, from 1 on. covered: the last one that the reload which began last is for.

    alone: tells whether nobody else has the listening sockets, too.
    """

    def __init__(self) -> None:
        self.covered = 0
        self.alone: Callable[[], bool] = lambda: True
        self._asked = 0
        self._patient_ns = 0

    def ask(self) -> int:
        """Ask for a reload; return the number of the request."""
        self._asked += 1
        return self._asked

    @property
    def asked(self) -> bool:
        """Whether somebody waits for a reload to begin."""
        return self._asked > self.covered

    def may_pass(self, now_ns: int) -> bool:
        """Tell whether a reload that was asked for may begin; if so, it is for all who have asked."""
        if not self._patient_ns:
            self._patient_ns = now_ns + ALONE_NS
        if not self.alone() and now_ns < self._patient_ns:
            return False
        self.covered, self._patient_ns = self._asked, 0
        return True
