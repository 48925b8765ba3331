"""An assembler for the kernel's BPF machine: one method an instruction, jumps by label. Pure.

Registers are numbers: 0 a call's result, 1 to 5 its arguments, which it destroys, 6 to 9 the program's own, 10 the
stack's end. Values are 64 bits wide, and `half`, `word` and the like say how much of one is moved.
Source: Documentation/bpf/standardization/instruction-set.rst of Linux 6.18; bpf-helpers(7).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

_INSTRUCTION = struct.Struct("=BBhi")
_LOAD, _LOAD_WIDE, _STORE_VALUE, _STORE, _JUMP, _ALU = 0x61, 0x18, 0x62, 0x63, 0x05, 0x07
_SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
"""What the size of an access adds to its code, which is that of four bytes."""
_ATOMIC, _FETCH_ADD = 0xC3, 0x01
_REGISTER = 0x08
_CALL, _EXIT = 0x85, 0x95
_TO_NETWORK = 0xDC
_MAP = 1
"""The source register of a wide load whose value is a table's descriptor."""


class Alu(IntEnum):
    """Arithmetic: what becomes of a register."""

    ADD = 0x00
    SUBTRACT = 0x10
    AND = 0x50
    SHIFT_RIGHT = 0x70
    NEGATE = 0x80
    XOR = 0xA0
    MOVE = 0xB0


class Test(IntEnum):
    """Comparisons, of unsigned numbers."""

    EQUAL = 0x10
    GREATER = 0x20
    NOT_EQUAL = 0x50
    LESS = 0xA0
    ANY_BIT = 0x40


class Helper(IntEnum):
    """The kernel's functions that are called."""

    LOOK_UP = 1
    NOW_NS = 5
    REPLACE_L4_SUM = 11
    DIFFERENCE_OF_SUMS = 28
    REDIRECT_TO_NEIGHBOUR = 152


class _Jump(NamedTuple):
    place: int
    label: str


class Assembler:
    """Collects instructions; `code` is the program once all labels stand."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []
        self._labels: dict[str, int] = {}
        self._jumps: list[_Jump] = []

    def code(self) -> bytes:
        """Return the program, its jumps resolved. Raises KeyError for a label that stands nowhere."""
        code = list(self._code)
        for place, label in self._jumps:
            operation, registers, _, value = code[place]
            code[place] = operation, registers, self._labels[label] - place - 1, value
        return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)

    def label(self, name: str) -> None:
        """Let jumps to this name lead to the next instruction."""
        self._labels[name] = len(self._code)

    def load(self, to: int, size: int, base: int, offset: int) -> None:
        """Load size bytes at base + offset into a register."""
        self._add(_LOAD + _SIZES[size], to, base, offset)

    def store(self, size: int, base: int, offset: int, register: int) -> None:
        """Store a register's lowest size bytes at base + offset."""
        self._add(_STORE + _SIZES[size], base, register, offset)

    def store_value(self, size: int, base: int, offset: int, value: int) -> None:
        """Store a number in size bytes at base + offset."""
        self._add(_STORE_VALUE + _SIZES[size], base, 0, offset, value)

    def fetch_add(self, base: int, offset: int, register: int) -> None:
        """Add a register to eight bytes in memory at once; it then holds what stood there before."""
        self._add(_ATOMIC + _SIZES[8], base, register, offset, _FETCH_ADD)

    def load_table(self, to: int, descriptor: int) -> None:
        """Load a reference to a table, which this process has open, into a register."""
        self._add(_LOAD_WIDE, to, _MAP, 0, descriptor)
        self._add(0, 0, 0)

    def value(self, operation: Alu, to: int, value: int) -> None:
        """Change a register by a number of 32 bits, which is sign-extended."""
        self._add(_ALU + operation, to, 0, 0, value)

    def register(self, operation: Alu, to: int, register: int) -> None:
        """Change a register by another one."""
        self._add(_ALU + operation + _REGISTER, to, register)

    def move(self, to: int, register: int, offset: int = 0) -> None:
        """Copy a register, and add a number."""
        self.register(Alu.MOVE, to, register)
        if offset:
            self.value(Alu.ADD, to, offset)

    def to_network(self, to: int, bits: int) -> None:
        """Turn a register's lowest 16 or 32 bits into network byte order, or back; the others become 0."""
        self._add(_TO_NETWORK, to, 0, 0, bits)

    def jump(self, label: str) -> None:
        """Go to a label, further down."""
        self._go(label, _JUMP, 0, 0, 0)

    def jump_if(self, register: int, test: Test, value: int, label: str) -> None:
        """Go to a label if a register compares so to a number."""
        self._go(label, _JUMP + test, register, 0, value)

    def jump_if_register(self, register: int, test: Test, other: int, label: str) -> None:
        """Go to a label if a register compares so to another."""
        self._go(label, _JUMP + test + _REGISTER, register, other, 0)

    def call(self, helper: Helper) -> None:
        """Call a function of the kernel's: arguments in registers 1 to 5, the answer in 0."""
        self._add(_CALL, 0, 0, 0, helper)

    def leave(self, value: int | None = None) -> None:
        """End the program with a number, or with register 0 as it is."""
        if value is not None:
            self.value(Alu.MOVE, 0, value)
        self._add(_EXIT, 0, 0)

    def _go(self, label: str, operation: int, register: int, other: int, value: int) -> None:
        self._jumps.append(_Jump(len(self._code), label))
        self._add(operation, register, other, 0, value)

    def _add(self, operation: int, to: int, source: int, offset: int = 0, value: int = 0) -> None:
        self._code.append((operation, source << 4 | to, offset, value))
