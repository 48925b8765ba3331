"""What a child gives up, looked up by the parent while files and user names can still be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Confinement:
    """Who a child becomes, and where its root is.

    uid, gid: numbers, never 0; None where the program was started without privileges and stays who it is.
    root: the directory that becomes its root; None: the root stays.
    """

    uid: int | None = None
    gid: int | None = None
    root: str | None = None
