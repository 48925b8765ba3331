"""A bounds-checked cursor over received bytes: no decoder reads past what is there.

A slice past the end is silently short and a struct error says nothing about the peer; everything read through here is
either whole or a DecodeError that names the field and its place.
"""

from __future__ import annotations

import struct
from typing import Any

from workers.errors import DecodeError

WORD_BYTES = 4


class Reader:
    """Read data from offset up to end (its length unless told); offset moves, data is neither copied nor changed.

    What is handed out is copied: it stays valid when the slot that data lies in is filled anew.
    """

    __slots__ = ("_view", "end", "offset")

    def __init__(self, data: bytes | bytearray | memoryview, offset: int = 0, end: int | None = None) -> None:
        self._view = memoryview(data)
        self.offset = offset
        self.end = len(self._view) if end is None else end

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return self.end - self.offset

    def take(self, layout: struct.Struct, field: str) -> tuple[Any, ...]:
        """Read the values of layout. Raises DecodeError where fewer bytes are left than it needs."""
        start = self._advance(layout.size, field)
        return layout.unpack_from(self._view, start)

    def take_bytes(self, count: int, field: str) -> bytes:
        """Read count bytes. Raises DecodeError where fewer are left."""
        start = self._advance(count, field)
        return bytes(self._view[start : start + count])

    def take_rest(self) -> bytes:
        """Read all that is left, which may be nothing."""
        return self.take_bytes(self.left, "rest")

    def take_words(self, field: str) -> tuple[int, ...]:
        """Read all that is left as 32-bit numbers. Raises DecodeError where it is not a multiple of four bytes."""
        count, odd = divmod(self.left, WORD_BYTES)
        if odd:
            raise DecodeError(field, self.offset, f"{self.left} bytes are no multiple of {WORD_BYTES}")
        return self.take(struct.Struct(f"!{count}I"), field)

    def window(self, count: int, field: str) -> Reader:
        """Return a reader of the next count bytes alone and pass over them. Raises DecodeError where fewer are left."""
        start = self._advance(count, field)
        return Reader(self._view, start, start + count)

    def finish(self, field: str) -> None:
        """Raise DecodeError unless everything was read."""
        if self.left:
            raise DecodeError(field, self.offset, f"{self.left} bytes too many")

    def _advance(self, count: int, field: str) -> int:
        start = self.offset
        if start + count > self.end:
            raise DecodeError(field, start, f"needs {count} bytes, {self.end - start} left")
        self.offset = start + count
        return start
