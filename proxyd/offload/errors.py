"""What can go wrong between us and the kernel."""

from __future__ import annotations

import os

from proxyd.errors import ProxydError


class OffloadError(ProxydError):
    """The kernel does not do something that carrying sessions takes. code: an errno."""

    def __init__(self, step: str, code: int) -> None:
        super().__init__(f"{step}: {os.strerror(code)}")
        self.step = step
        self.code = code
