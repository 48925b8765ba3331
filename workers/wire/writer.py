"""The other half of the reader: bytes put together field by field, each value checked against its width.

A value that does not fit is our own mistake, not a peer's: EngineMisuse.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from workers.errors import EngineMisuse


class Writer:
    """Collect the bytes of one message."""

    __slots__ = ("_written",)

    def __init__(self) -> None:
        self._written = bytearray()

    def __len__(self) -> int:
        return len(self._written)

    def put(self, layout: struct.Struct, *values: int | bytes) -> None:
        """Append values as layout has them. Raises EngineMisuse where one does not fit its width."""
        try:
            self._written += layout.pack(*values)
        except struct.error as error:
            raise EngineMisuse(f"{values} in {layout.format}: {error}") from error

    def put_bytes(self, raw: bytes) -> None:
        """Append raw as it is."""
        self._written += raw

    def put_words(self, numbers: Sequence[int]) -> None:
        """Append 32-bit numbers."""
        self.put(struct.Struct(f"!{len(numbers)}I"), *numbers)

    def put_padded(self, raw: bytes, width: int, field: str) -> None:
        """Append raw and zeroes up to width bytes. Raises EngineMisuse where raw is longer."""
        if len(raw) > width:
            raise EngineMisuse(f"{field}: {len(raw)} bytes, {width} at most")
        self._written += raw.ljust(width, b"\0")

    def finish(self) -> bytes:
        """Return what was written."""
        return bytes(self._written)
