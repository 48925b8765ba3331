"""The parent's process title, as ps shows it: `udp-proxy: parent NAME, 12 sessions`."""

from __future__ import annotations

import setproctitle


class ParentTitle:
    """The title, with the sessions of all workers."""

    def __init__(self, proxy: str, program: str = "udp-proxy") -> None:
        self._prefix = f"{program}: parent {proxy}"
        self._shown = -1

    def update(self, sessions: int) -> None:
        """Show the number of sessions; cheap when it stands there already."""
        if sessions != self._shown:
            self._shown = sessions
            setproctitle.setproctitle(f"{self._prefix}, {sessions} session{'' if sessions == 1 else 's'}")
