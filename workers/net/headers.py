"""Headers for recvmmsg and sendmmsg: where they lie in the arena, and what in them never changes. Arithmetic only.

Laid out once; a call then stores only what differs from the last one, and whole batches are copied by strided views.
Source: struct mmsghdr, struct msghdr and struct iovec of 64-bit Linux (recvmmsg(2), recvmsg(2)).
"""

from __future__ import annotations

from workers.net.arena import CONTROL_BYTES, HEADERS, HEADERS_BYTES, PAYLOAD_BYTES, SLOTS, Arena
from workers.wire.sockaddr import V6_BYTES

WORD = 8
"""Headers are written in 64-bit words: name, namelen, iov, iovlen, control, controllen, flags, length."""
MMSGHDR = 64
IOVEC = 16
ANSWER_CONTROL = 160
"""Room for packet information, a segment size, and what a rule's answers carry (workers.net.marking)."""

NAMED = HEADERS
"""For sockets that many peers send to: with names and control data."""
CONNECTED = NAMED + SLOTS * MMSGHDR
"""For connected sockets: with neither."""
SINGLE = CONNECTED + SLOTS * MMSGHDR
"""For sending slot by slot on connected sockets, the arranged ones included."""
ANSWER = SINGLE + 2 * SLOTS * MMSGHDR
"""For messages lined up."""
REPLY = ANSWER + SLOTS * MMSGHDR
"""For sending slot by slot to as many clients."""
IOV_RECEIVE = REPLY + SLOTS * MMSGHDR
IOV_SEND = IOV_RECEIVE + SLOTS * IOVEC
IOV_ARRANGED = IOV_SEND + SLOTS * IOVEC
ANSWER_CONTROLS = IOV_ARRANGED + SLOTS * IOVEC
SPARE = ANSWER_CONTROLS + SLOTS * ANSWER_CONTROL
"""One header with its iovec and its control data, for what is left over."""
END = SPARE + MMSGHDR + IOVEC + ANSWER_CONTROL

FULL_NAMES = memoryview(b"".join(V6_BYTES.to_bytes(4, "little") for _ in range(SLOTS))).cast("I")
FULL_CONTROLS = memoryview(b"".join(CONTROL_BYTES.to_bytes(8, "little") for _ in range(SLOTS))).cast("Q")


def _starts(first: int, count: int = SLOTS) -> range:
    return range(first, first + count * MMSGHDR, MMSGHDR)


class Headers:
    """The headers of one arena, which lies at address base.

    words: the arena up to the end of the headers, in 64-bit words. The other views have an item a header: lengths and
    sizes as the kernel reads and writes them, and where arranged slots and replies point.
    """

    named, connected, answer, reply = _starts(NAMED), _starts(CONNECTED), _starts(ANSWER), _starts(REPLY)
    single = _starts(SINGLE, 2 * SLOTS)

    def __init__(self, arena: Arena, base: int) -> None:
        view = arena.bytes
        self.base = base
        self.words = view[: HEADERS + HEADERS_BYTES].cast("Q")
        self.named_sizes = view[NAMED:CONNECTED].cast("I")[14::16]
        self.name_lengths = view[NAMED:CONNECTED].cast("I")[2::16]
        self.control_lengths = view[NAMED:CONNECTED].cast("Q")[5::8]
        self.connected_sizes = view[CONNECTED:SINGLE].cast("I")[14::16]
        self.send_sizes = view[IOV_SEND:IOV_ARRANGED].cast("I")[2::4]
        self.arranged_at = view[IOV_ARRANGED:ANSWER_CONTROLS].cast("Q")[::2]
        self.arranged_sizes = view[IOV_ARRANGED:ANSWER_CONTROLS].cast("I")[2::4]
        self.reply_names = view[REPLY:IOV_RECEIVE].cast("Q")[::8]
        self.packets4 = view[arena.control_offset(0) : arena.control_offset(SLOTS)].cast("Q")[3:]
        self._lay_out(arena)

    def write(self, offset: int, words: tuple[int, int, int, int, int, int]) -> None:
        """Write a whole header: name, its length, iovec, how many, control data, its length."""
        raw = b"".join(word.to_bytes(WORD, "little") for word in words)
        self.words[offset // WORD : offset // WORD + 6] = memoryview(raw).cast("Q")

    def _lay_out(self, arena: Arena) -> None:
        """Write every pointer and length that never changes. IPv4 addresses are given with room for IPv6: no harm."""
        base, words = self.base, self.words
        for slot in range(SLOTS):
            receive, send = IOV_RECEIVE + slot * IOVEC, IOV_SEND + slot * IOVEC
            words[receive // WORD] = words[send // WORD] = base + arena.payload_offset(slot)
            words[receive // WORD + 1] = PAYLOAD_BYTES
            name, control = base + arena.name_offset(slot), base + arena.control_offset(slot)
            self.write(self.named[slot], (name, V6_BYTES, base + receive, 1, control, CONTROL_BYTES))
            self.write(self.connected[slot], (0, 0, base + receive, 1, 0, 0))
            self.write(self.answer[slot], (0, V6_BYTES, 0, 1, 0, 0))
            self.write(self.reply[slot], (0, V6_BYTES, base + send, 1, 0, 0))
        for slot in range(2 * SLOTS):
            self.write(self.single[slot], (0, 0, base + IOV_SEND + slot * IOVEC, 1, 0, 0))
