"""The assembler: its instructions as the kernel's machine has them, and jumps that lead to their labels."""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyd.offload import kernel
from proxyd.offload.ebpf import Alu, Assembler, Helper
from proxyd.offload.ebpf import Test as Comparison
from tests.proxyd.offload.frames import Datagram, requires_tcx, run


def one(code: Assembler) -> tuple[int, int, int, int, int]:
    """Return the only instruction: code, register it changes, register it reads, offset, number."""
    operation, registers, offset, value = struct.unpack("=BBhi", code.code())
    return operation, registers & 15, registers >> 4, offset, value


def machine(code: Assembler) -> int:
    """Return what a program answers in the kernel, as 32 bits."""
    program = kernel.load_program(code.code())
    try:
        return run(program, Datagram("192.0.2.1", "192.0.2.2", 1, 2).frame()).answer & 0xFFFF_FFFF
    finally:
        os.close(program)


@pytest.mark.parametrize(("size", "suffix"), [(1, 0x71), (2, 0x69), (4, 0x61), (8, 0x79)])
def test_a_load_says_its_size(size: int, suffix: int) -> None:
    code = Assembler()
    code.load(3, size, 10, -8)
    assert one(code) == (suffix, 3, 10, -8, 0)


@pytest.mark.parametrize(
    ("size", "register", "number"), [(1, 0x73, 0x72), (2, 0x6B, 0x6A), (4, 0x63, 0x62), (8, 0x7B, 0x7A)]
)
def test_a_store_says_its_size_and_where_it_goes(size: int, register: int, number: int) -> None:
    code = Assembler()
    code.store(size, 10, -16, 4)
    assert one(code) == (register, 10, 4, -16, 0)
    code = Assembler()
    code.store_value(size, 10, -16, -7)
    assert one(code) == (number, 10, 0, -16, -7)


def test_a_table_takes_two_instructions() -> None:
    code = Assembler()
    code.load_table(1, 99)
    assert code.code() == struct.pack("=BBhi", 0x18, 0x11, 0, 99) + bytes(8)


def test_a_move_without_an_offset_is_one_instruction() -> None:
    code = Assembler()
    code.move(4, 7)
    assert one(code) == (0xBF, 4, 7, 0, 0)


def test_a_program_may_leave_with_what_is_in_register_0() -> None:
    code = Assembler()
    code.leave()
    assert one(code) == (0x95, 0, 0, 0, 0)


def test_a_label_that_stands_nowhere_is_an_error() -> None:
    code = Assembler()
    code.jump("nowhere")
    code.leave(0)
    with pytest.raises(KeyError, match="nowhere"):
        code.code()


@given(steps=st.lists(st.tuples(st.sampled_from(["jump", "label", "table", "other"]), st.integers(0, 3)), max_size=30))
def test_every_jump_leads_to_its_label(steps: list[tuple[str, int]]) -> None:
    code, size = Assembler(), 0
    jumps: list[tuple[int, int]] = []
    labels: dict[int, int] = {}
    # Whatever stands nowhere so far stands at the end.
    for step, label in [*steps, *(("label", label) for label in range(4))]:
        if step == "jump":
            jumps.append((size, label))
            code.jump_if(1, Comparison.LESS, 5, str(label))
            size += 1
        elif step == "label":
            if label not in labels:
                code.label(str(label))
            labels.setdefault(label, size)
        elif step == "table":
            code.load_table(1, 3)
            size += 2
        else:
            code.move(1, 2)
            size += 1
    code.leave()
    text = list(struct.iter_unpack("=BBhi", code.code()))
    assert len(text) == size + 1
    for at, label in jumps:
        assert (text[at][0], at + 1 + text[at][2]) == (0x05 | Comparison.LESS, labels[label])


# --- the kernel's machine --------------------------------------------------------------------------------------------


@requires_tcx
@pytest.mark.parametrize(
    ("operation", "left", "right", "result"),
    [
        (Alu.ADD, 7, 5, 12),
        (Alu.SUBTRACT, 7, 5, 2),
        (Alu.SUBTRACT, 5, 7, -2),
        (Alu.AND, 0b1100, 0b1010, 0b1000),
        (Alu.XOR, 0b1100, 0b1010, 0b0110),
        (Alu.SHIFT_RIGHT, 0x1234, 8, 0x12),
        (Alu.MOVE, 7, 5, 5),
    ],
)
@pytest.mark.parametrize("by", ["value", "register"])
def test_the_machine_calculates_as_it_is_told(operation: Alu, left: int, right: int, result: int, by: str) -> None:
    code = Assembler()
    code.value(Alu.MOVE, 0, left)
    if by == "value":
        code.value(operation, 0, right)
    else:
        code.value(Alu.MOVE, 5, right)
        code.register(operation, 0, 5)
    code.leave()
    assert machine(code) == result & 0xFFFF_FFFF


@requires_tcx
def test_the_machine_negates_and_adds_to_what_it_moves() -> None:
    code = Assembler()
    code.value(Alu.MOVE, 3, 9)
    code.value(Alu.NEGATE, 3, 0)
    code.move(0, 3, 12)
    code.leave()
    assert machine(code) == 3


@requires_tcx
@pytest.mark.parametrize(("bits", "value"), [(16, 0x1234), (32, 0x12345678)])
def test_the_machine_knows_the_networks_byte_order(bits: int, value: int) -> None:
    code = Assembler()
    code.value(Alu.MOVE, 0, value)
    code.to_network(0, bits)
    code.leave()
    assert machine(code) == int.from_bytes(value.to_bytes(bits // 8, sys.byteorder), "big")


PAIRS = [(4, 5), (5, 5), (6, 5), (-1, 5), (5, -1), (6, 2), (5, 2)]
"""Numbers have no sign: -1 is the largest."""
HOLDS: dict[Comparison, Callable[[int, int], bool]] = {
    Comparison.EQUAL: lambda left, right: left == right,
    Comparison.NOT_EQUAL: lambda left, right: left != right,
    Comparison.GREATER: lambda left, right: left % 2**64 > right % 2**64,
    Comparison.LESS: lambda left, right: left % 2**64 < right % 2**64,
    Comparison.ANY_BIT: lambda left, right: left & right != 0,
}


@requires_tcx
@pytest.mark.parametrize("test", Comparison)
@pytest.mark.parametrize("by", ["value", "register"])
def test_the_machine_compares_as_it_is_told(test: Comparison, by: str) -> None:
    for left, right in PAIRS:
        code = Assembler()
        code.value(Alu.MOVE, 1, left)
        code.value(Alu.MOVE, 2, right)
        code.value(Alu.MOVE, 0, 1)
        if by == "value":
            code.jump_if(1, test, right, "holds")
        else:
            code.jump_if_register(1, test, 2, "holds")
        code.jump("no")
        code.label("holds")
        code.leave()
        code.label("no")
        code.leave(0)
        assert machine(code) == HOLDS[test](left, right)


@requires_tcx
@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_the_machine_stores_and_loads_so_many_bytes(size: int) -> None:
    code = Assembler()
    code.store_value(8, 10, -8, -1)
    code.value(Alu.MOVE, 1, 0)
    code.store(size, 10, -8, 1)
    code.store_value(8, 10, -16, -1)
    code.store_value(size, 10, -16, 0)
    code.load(2, 8, 10, -16)
    code.load(3, 8, 10, -8)
    code.jump_if_register(2, Comparison.NOT_EQUAL, 3, "differs")
    code.load(0, size, 10, -8)
    code.jump_if(0, Comparison.NOT_EQUAL, 0, "differs")
    code.load(0, 1, 10, -9 + size)
    code.leave()
    code.label("differs")
    code.leave(-1)
    assert machine(code) == 0
    # One byte further nothing was written.
    assert (size == 8) or machine(stored(size)) == 0xFF


def stored(size: int) -> Assembler:
    """Return a program that answers the byte behind those that it has stored."""
    code = Assembler()
    code.store_value(8, 10, -8, -1)
    code.store_value(size, 10, -8, 0)
    code.load(0, 1, 10, -8 + size)
    code.leave()
    return code


@requires_tcx
def test_the_machine_adds_in_memory_and_says_what_stood_there() -> None:
    code = Assembler()
    code.store_value(8, 10, -8, 40)
    code.value(Alu.MOVE, 1, 2)
    code.fetch_add(10, -8, 1)
    code.load(0, 8, 10, -8)
    code.jump_if(0, Comparison.NOT_EQUAL, 42, "wrong")
    code.move(0, 1)
    code.leave()
    code.label("wrong")
    code.leave(-1)
    assert machine(code) == 40


@requires_tcx
def test_the_machine_calls_the_kernel() -> None:
    code = Assembler()
    code.value(Alu.MOVE, 0, 0)
    code.call(Helper.NOW_NS)
    code.value(Alu.SHIFT_RIGHT, 0, 20)
    code.leave()
    before = time.monotonic_ns() >> 20
    answer = machine(code)
    assert before & 0xFFFF_FFFF <= answer <= time.monotonic_ns() >> 20
