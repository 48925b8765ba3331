"""The errors of the children's side, sorted by whose fault they are."""

from __future__ import annotations


class WorkerError(Exception):
    """Anything a child raises on purpose."""


class DecodeError(WorkerError):
    """A peer's bytes do not have the form they must have: count, and stay up."""

    def __init__(self, field: str, offset: int, why: str) -> None:
        super().__init__(field, offset, why)
        self.field = field
        self.offset = offset
        self.why = why

    def __str__(self) -> str:
        return f"{self.field} at byte {self.offset}: {self.why}"


class PeerError(WorkerError):
    """A peer asks for what it may not have, or what cannot be: count, tell it where the protocol can, and stay up."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EngineMisuse(WorkerError):
    """Our own mistake: an engine was called in a state that does not allow it."""


class ContractError(WorkerError):
    """The other end of a channel, or the shared memory, is not what it must be."""


class MessageTooLongError(ContractError):
    """A message of ours has more bytes than the channel takes; what is in it was not sent."""


class PrivilegeError(WorkerError):
    """Privileges were kept, or could be taken back."""


class BootError(WorkerError):
    """A child cannot start at all; step names what it was doing."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(step, reason)
        self.step = step
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.step}: {self.reason}"


class SealError(WorkerError):
    """A peer's key, signature, secret or sealed message is not what it must be; part says which of them.

    The only exception that workers.uftp's cryptography raises on a peer's bytes.
    """

    def __init__(self, part: str, why: str) -> None:
        super().__init__(part, why)
        self.part = part
        self.why = why

    def __str__(self) -> str:
        return f"{self.part}: {self.why}"


class KeyRefused(WorkerError):
    """A key of our own cannot be read, made or used."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class PassphraseWanted(KeyRefused):
    """A key file is encrypted, and no passphrase was given, or a wrong one."""


class RevivalError(WorkerError):
    """A session that a predecessor has left cannot be gone on with; the reason is one of few, for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason
