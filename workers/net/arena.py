"""The memory datagrams live in between one receive and the next: slots for payloads, names and control data.

One anonymous mmap a worker, made before traffic comes and never grown. A slot's bytes are valid until the next receive
into it. Only the pages that datagrams touched cost memory.
"""

from __future__ import annotations

import mmap

SLOTS = 64
"""Datagrams in hand at once: one system call's worth."""
PAYLOAD_BYTES = 65_536
"""Room for the largest datagram and the largest train: nothing is ever truncated."""
NAME_BYTES = 32
CONTROL_BYTES = 192
"""Packet information, train size, queue overflow, TOS and original destination together take less."""
HEADERS_BYTES = 40_960
"""For the message headers of workers.net.mmsg."""
STRIDE_BYTES = PAYLOAD_BYTES + 4096 + 192
"""From payload to payload: odd enough that small datagrams do not all fall on the same cache lines."""

_NAMES = 0
_CONTROLS = _NAMES + SLOTS * NAME_BYTES
HEADERS = _CONTROLS + SLOTS * CONTROL_BYTES
_PAYLOADS = HEADERS + HEADERS_BYTES
SIZE = _PAYLOADS + SLOTS * STRIDE_BYTES


class Arena:
    """SLOTS slots; memory is the whole of it, names_q the names as 64-bit words, four a slot."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, SIZE)
        self.bytes = memoryview(self.memory)
        self.names_q = self.bytes[_NAMES:_CONTROLS].cast("Q")

    @staticmethod
    def name_offset(slot: int) -> int:
        """Return where the raw address of a slot's sender lies, in bytes."""
        return _NAMES + slot * NAME_BYTES

    @staticmethod
    def control_offset(slot: int) -> int:
        """Return where a slot's control data lies, in bytes."""
        return _CONTROLS + slot * CONTROL_BYTES

    @staticmethod
    def payload_offset(slot: int) -> int:
        """Return where a slot's payload lies, in bytes."""
        return _PAYLOADS + slot * STRIDE_BYTES

    def payload(self, slot: int, size: int) -> memoryview:
        """Return a view of a slot's first size bytes; copy what is to be kept."""
        start = _PAYLOADS + slot * STRIDE_BYTES
        return self.bytes[start : start + size]
