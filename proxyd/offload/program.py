"""The program that carries established sessions: what it finds in its tables it readdresses and sends on. Pure.

It runs for every datagram that comes in by an interface, before netfilter and sockets. A datagram of a flow that it
knows, of a session that still wants it (its record's epoch is the flow's) and with budget left gets the addresses of
the session's other side and leaves; every other one goes the usual way, unchanged. It never drops any.
A flow is one direction of a session. What may pass is counted before it is decided, and taken back where it was too
much: two processors at once pass less than they may rather than more.
Source: linux/bpf.h, struct __sk_buff; bpf-helpers(7); RFC 791, RFC 768, RFC 8200.
"""

from __future__ import annotations

import struct
import sys
from typing import NamedTuple

from proxyd.offload.ebpf import Alu, Assembler, Helper, Test
from workers.contract.offload import BYTES, BYTES_LIMIT, DATAGRAMS, DATAGRAMS_LIMIT, DIRECTION_BYTES, EPOCH, LAST_NS

FLOW = struct.Struct("=IIQIIII")
"""What a flow has before its new addresses: worker, slot, epoch, direction (0 out, 1 in), the interface to leave by (0:
none, it is for this machine), the longest IP packet that fits there, and the time to live to leave with."""
_WORKER, _SLOT, _EPOCH, _DIRECTION, _LEAVE_BY, _LONGEST, _TTL = 0, 4, 8, 16, 20, 24, 28

_LENGTH, _KIND, _PROTOCOL, _VLAN, _INTERFACE = 0, 4, 16, 20, 40
_DATA, _DATA_END, _TRAIN, _TRAIN_BYTES = 76, 80, 164, 176
"""Where in struct __sk_buff."""
_ETHERNET = 14
_UDP, _UDP_BYTES = 17, 8
_NEXT = -1
"""Go on as if this program were not there. Source: enum tcx_action_base."""
_ADDRESSES, _ZERO_IS_NONE = 0x10, 0x20
"""Flags of REPLACE_L4_SUM: what changes are the addresses; a sum of 0 is none."""

_SKB, _FLOW, _RECORD, _PAYLOAD, _STACK = 6, 7, 8, 9, 10
"""The program's own registers."""
_COUNT, _LONGEST_BYTES, _WHOLE_RECORD, _KEY_END = -8, -16, -24, -24
"""On the stack: how many datagrams it is, how long the longest packet, where the record begins; the key below."""


class Layout(NamedTuple):
    """Where things lie in an Ethernet frame with an IP packet without options, and in tables.

    protocol: the Ethernet one; length: where that of the IP packet stands, which counts `counted` bytes of its header;
    next_header: where the transport protocol stands; source: the addresses, address_bytes each, one behind the other;
    ttl: the time to live; udp: the UDP header.
    """

    protocol: int
    length: int
    counted: int
    next_header: int
    source: int
    address_bytes: int
    ttl: int
    udp: int

    @property
    def key_bytes(self) -> int:
        """Both addresses, both ports, and the interface it came in by."""
        return 2 * self.address_bytes + 8


LAYOUTS = {4: Layout(0x0800, 16, 20, 23, 26, 4, 22, 34), 6: Layout(0x86DD, 18, 0, 20, 22, 16, 21, 54)}


def assemble(version: int, flows: int, records: int) -> bytes:
    """Return the program for one IP version.

    flows: descriptor of the hash table of flows; records: of the array of arrays of records, by worker and slot.
    """
    code, layout = Assembler(), LAYOUTS[version]
    code.move(_SKB, 1)
    _accept(code, version, layout)
    _find(code, layout, flows, records)
    _spend(code)
    _replace_sums(code, layout)
    _readdress(code, version, layout)
    code.load(1, 4, _FLOW, _LEAVE_BY)
    code.jump_if(1, Test.EQUAL, 0, "go on")
    for register in (2, 3, 4):
        code.value(Alu.MOVE, register, 0)
    code.call(Helper.REDIRECT_TO_NEIGHBOUR)
    code.leave()
    _take_back(code)
    code.label("go on")
    code.leave(_NEXT)
    return code.code()


def _accept(code: Assembler, version: int, layout: Layout) -> None:
    """Go on only with an unfragmented UDP datagram for this host, or a train; key and sizes are on the stack then."""
    for where, wanted in ((_KIND, 0), (_VLAN, 0), (_PROTOCOL, _network(layout.protocol, 2))):
        code.load(1, 4, _SKB, where)
        code.jump_if(1, Test.NOT_EQUAL, wanted, "go on")
    _load_frame(code, layout)
    code.load(1, 1, 2, _ETHERNET)
    if version == 6:
        code.value(Alu.SHIFT_RIGHT, 1, 4)
        code.jump_if(1, Test.NOT_EQUAL, 6, "go on")
    else:
        code.jump_if(1, Test.NOT_EQUAL, 0x45, "go on")
        code.load(1, 2, 2, _ETHERNET + 6)
        code.jump_if(1, Test.ANY_BIT, _network(0x3FFF, 2), "go on")
    code.load(1, 1, 2, layout.next_header)
    code.jump_if(1, Test.NOT_EQUAL, _UDP, "go on")
    key = _key(layout)
    for offset in range(0, 2 * layout.address_bytes, 4):
        code.load(1, 4, 2, layout.source + offset)
        code.store(4, _STACK, key + offset, 1)
    code.load(1, 4, 2, layout.udp)
    code.store(4, _STACK, key + 2 * layout.address_bytes, 1)
    code.load(1, 4, _SKB, _INTERFACE)
    code.store(4, _STACK, key + 2 * layout.address_bytes + 4, 1)
    _measure(code, layout)


def _network(value: int, size: int) -> int:
    """Return what a load finds, in this machine's byte order, where a number stands in the network's."""
    return int.from_bytes(value.to_bytes(size, "big"), sys.byteorder)


def _load_frame(code: Assembler, layout: Layout) -> None:
    """Have register 2 point to the frame, of which all headers lie in one piece."""
    code.load(2, 4, _SKB, _DATA)
    code.load(3, 4, _SKB, _DATA_END)
    code.move(4, 2, layout.udp + _UDP_BYTES)
    code.jump_if_register(4, Test.GREATER, 3, "go on")


def _key(layout: Layout) -> int:
    return _KEY_END - layout.key_bytes


def _measure(code: Assembler, layout: Layout) -> None:
    """Find out how many datagrams of how many bytes it is, one whose lengths contradict each other being none."""
    headers = layout.udp + _UDP_BYTES
    code.load(_PAYLOAD, 4, _SKB, _LENGTH)
    code.load(3, 4, _SKB, _TRAIN_BYTES)
    code.jump_if(3, Test.EQUAL, 0, "single")
    code.load(1, 4, _SKB, _TRAIN)
    code.jump_if(1, Test.EQUAL, 0, "go on")
    code.value(Alu.ADD, 3, headers - _ETHERNET)
    code.value(Alu.SUBTRACT, _PAYLOAD, headers)
    code.jump("measured")
    code.label("single")
    code.load(1, 2, 2, layout.udp + 4)
    code.to_network(1, 16)
    code.jump_if(1, Test.LESS, _UDP_BYTES, "go on")
    code.load(3, 2, 2, layout.length)
    code.to_network(3, 16)
    code.value(Alu.SUBTRACT, 3, layout.counted)
    code.jump_if_register(3, Test.NOT_EQUAL, 1, "go on")
    code.move(3, 1, layout.udp)
    code.jump_if_register(3, Test.GREATER, _PAYLOAD, "go on")
    code.value(Alu.SUBTRACT, 3, _ETHERNET)
    code.move(_PAYLOAD, 1, -_UDP_BYTES)
    code.value(Alu.MOVE, 1, 1)
    code.label("measured")
    code.store(8, _STACK, _COUNT, 1)
    code.store(8, _STACK, _LONGEST_BYTES, 3)


def _find(code: Assembler, layout: Layout, flows: int, records: int) -> None:
    """Find the flow, and the half of its session's record that is this direction's."""
    code.load_table(1, flows)
    code.move(2, _STACK, _key(layout))
    code.call(Helper.LOOK_UP)
    code.jump_if(0, Test.EQUAL, 0, "go on")
    code.move(_FLOW, 0)
    code.load(1, 8, _STACK, _LONGEST_BYTES)
    code.load(2, 4, _FLOW, _LONGEST)
    code.jump_if_register(1, Test.GREATER, 2, "go on")
    code.load_table(1, records)
    code.move(2, _FLOW, _WORKER)
    code.call(Helper.LOOK_UP)
    code.jump_if(0, Test.EQUAL, 0, "go on")
    code.move(1, 0)
    code.move(2, _FLOW, _SLOT)
    code.call(Helper.LOOK_UP)
    code.jump_if(0, Test.EQUAL, 0, "go on")
    code.move(_RECORD, 0)
    code.store(8, _STACK, _WHOLE_RECORD, _RECORD)
    _require_epoch(code, "go on")
    code.load(1, 4, _FLOW, _DIRECTION)
    code.jump_if(1, Test.EQUAL, 0, "found")
    code.value(Alu.ADD, _RECORD, DIRECTION_BYTES)
    code.label("found")


def _require_epoch(code: Assembler, otherwise: str) -> None:
    """Go on only if the session still wants to be carried."""
    code.load(3, 8, _STACK, _WHOLE_RECORD)
    code.load(1, 8, _FLOW, _EPOCH)
    code.load(2, 8, 3, EPOCH)
    code.jump_if_register(1, Test.NOT_EQUAL, 2, otherwise)


def _spend(code: Assembler) -> None:
    """Count it, if it is within its limits, and note when it came.

    The epoch counts again then: who clears it and reads the counters afterwards knows of all that has passed.
    """
    code.load(1, 8, _STACK, _COUNT)
    code.move(2, 1)
    code.fetch_add(_RECORD, DATAGRAMS, 2)
    code.register(Alu.ADD, 2, 1)
    code.load(3, 8, _RECORD, DATAGRAMS_LIMIT)
    code.jump_if_register(2, Test.GREATER, 3, "too many")
    code.move(2, _PAYLOAD)
    code.fetch_add(_RECORD, BYTES, 2)
    code.register(Alu.ADD, 2, _PAYLOAD)
    code.load(3, 8, _RECORD, BYTES_LIMIT)
    code.jump_if_register(2, Test.GREATER, 3, "too much")
    _require_epoch(code, "too much")
    code.call(Helper.NOW_NS)
    code.store(8, _RECORD, LAST_NS, 0)


def _take_back(code: Assembler) -> None:
    """Uncount what goes beyond a limit: a worker decides on it."""
    code.label("too much")
    code.value(Alu.NEGATE, _PAYLOAD, 0)
    code.fetch_add(_RECORD, BYTES, _PAYLOAD)
    code.label("too many")
    code.load(1, 8, _STACK, _COUNT)
    code.value(Alu.NEGATE, 1, 0)
    code.fetch_add(_RECORD, DATAGRAMS, 1)


def _replace_sums(code: Assembler, layout: Layout) -> None:
    """Make the UDP checksum that of the new addresses and ports."""
    addresses = 2 * layout.address_bytes
    for offset, size, flags in ((0, addresses, _ADDRESSES | _ZERO_IS_NONE), (addresses, 4, _ZERO_IS_NONE)):
        code.move(1, _STACK, _key(layout) + offset)
        code.value(Alu.MOVE, 2, size)
        code.move(3, _FLOW, FLOW.size + offset)
        code.value(Alu.MOVE, 4, size)
        code.value(Alu.MOVE, 5, 0)
        code.call(Helper.DIFFERENCE_OF_SUMS)
        code.move(4, 0)
        code.move(1, _SKB)
        code.value(Alu.MOVE, 2, layout.udp + 6)
        code.value(Alu.MOVE, 3, 0)
        code.value(Alu.MOVE, 5, flags)
        code.call(Helper.REPLACE_L4_SUM)


def _readdress(code: Assembler, version: int, layout: Layout) -> None:
    """Write the new addresses and ports, and what else the proxy's own datagrams have: time to live, no service.

    They may be fragmented on their way (workers.net.upstream): then another identification than the client's is needed,
    which may be 0 in all it sends; the instant is one that comes again seldom enough.
    """
    _load_frame(code, layout)
    code.move(_PAYLOAD, 2)
    for offset in range(0, 2 * layout.address_bytes, 4):
        code.load(1, 4, _FLOW, FLOW.size + offset)
        code.store(4, _PAYLOAD, layout.source + offset, 1)
    code.load(1, 4, _FLOW, FLOW.size + 2 * layout.address_bytes)
    code.store(4, _PAYLOAD, layout.udp, 1)
    code.load(1, 4, _FLOW, _TTL)
    code.store(1, _PAYLOAD, layout.ttl, 1)
    if version == 6:
        code.store_value(4, _PAYLOAD, _ETHERNET, _network(0x6000_0000, 4))
        return
    code.store_value(1, _PAYLOAD, _ETHERNET + 1, 0)
    code.load(1, 4, _RECORD, LAST_NS)
    code.store(2, _PAYLOAD, _ETHERNET + 4, 1)
    code.store_value(2, _PAYLOAD, _ETHERNET + 6, 0)
    code.store_value(2, _PAYLOAD, _ETHERNET + 10, 0)
    for register, value in ((1, 0), (2, 0), (4, 20), (5, 0)):
        code.value(Alu.MOVE, register, value)
    code.move(3, _PAYLOAD, _ETHERNET)
    code.call(Helper.DIFFERENCE_OF_SUMS)
    for _ in range(2):
        code.move(1, 0)
        code.value(Alu.SHIFT_RIGHT, 1, 16)
        code.value(Alu.AND, 0, 0xFFFF)
        code.register(Alu.ADD, 0, 1)
    code.value(Alu.XOR, 0, 0xFFFF)
    code.store(2, _PAYLOAD, _ETHERNET + 10, 0)
