"""How a child tells, by its exit status, whether it is worth starting again."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """A child's exit status. The parent replaces a child that ended otherwise than these say."""

    STOPPED = 0
    """It was asked to end, and did."""
    CRASHED = 1
    """An unforeseen exception: the traceback is in the log. Replaced."""
    FROZEN = 3
    """It was asked to leave its sessions to a replacement, and did. Replaced at once; not a death."""
    CONTRACT = 65
    """The parent's channel broke or spoke nonsense. Never replaced: the parent is gone or not ours."""
    BOOT = 70
    """It could not start at all: no such root, no such user. The whole proxy ends."""
    PRIVILEGE = 77
    """It could not give up its privileges, or could take them back. The whole proxy ends."""

    @property
    def fatal(self) -> bool:
        """Whether a replacement would only fail the same way."""
        return self in (ExitCode.CONTRACT, ExitCode.BOOT, ExitCode.PRIVILEGE)
