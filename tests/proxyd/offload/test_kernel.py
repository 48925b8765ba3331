"""Tables and programs of the kernel's: what is made, put, taken out, loaded and refused."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxyd.offload import kernel
from proxyd.offload.ebpf import Assembler, Helper
from proxyd.offload.ebpf import Test as Comparison
from proxyd.offload.errors import OffloadError
from proxyd.offload.kernel import MAPPABLE, ON_DEMAND, TableKind
from tests.kit.lab import PREFIX
from tests.kit.place import Namespace
from tests.kit.requirement import requires_program
from tests.proxyd.offload.frames import Datagram, requires_tcx, run

pytestmark = requires_tcx
FRAME = Datagram("192.0.2.1", "192.0.2.2", 1, 2).frame()
NO_INTERFACE = 0x7FFF_FFFF


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Descriptors are closed with the test."""
    with ExitStack() as stack:
        yield stack


def keep(held: ExitStack, descriptor: int) -> int:
    held.callback(os.close, descriptor)
    return descriptor


def finder(table: int) -> bytes:
    """Return a program that answers the number a table has for the number 7, 1000 where it has none."""
    code = Assembler()
    code.store_value(4, 10, -4, 7)
    code.load_table(1, table)
    code.move(2, 10, -4)
    code.call(Helper.LOOK_UP)
    code.jump_if(0, Comparison.EQUAL, 0, "none")
    code.load(0, 4, 0, 0)
    code.leave()
    code.label("none")
    code.leave(1000)
    return code.code()


def number(value: int) -> bytes:
    return struct.pack("=I", value)


def test_a_program_finds_what_is_in_a_table_and_not_what_was_taken_out(held: ExitStack) -> None:
    table = keep(held, kernel.make_table(TableKind.HASH, 4, 4, 2, flags=ON_DEMAND))
    program = keep(held, kernel.load_program(finder(table)))
    assert run(program, FRAME).answer == 1000
    kernel.put(table, number(7), number(41))
    kernel.put(table, number(7), number(42))
    assert run(program, FRAME).answer == 42
    kernel.remove(table, number(7))
    assert run(program, FRAME).answer == 1000


def test_what_is_not_there_may_be_taken_out(held: ExitStack) -> None:
    table = keep(held, kernel.make_table(TableKind.HASH, 4, 4, 2, flags=ON_DEMAND))
    kernel.remove(table, number(7))


def test_an_entry_that_must_be_new_takes_the_place_of_no_other(held: ExitStack) -> None:
    table = keep(held, kernel.make_table(TableKind.HASH, 4, 4, 2, flags=ON_DEMAND))
    program = keep(held, kernel.load_program(finder(table)))
    kernel.put(table, number(7), number(41), new=True)
    with pytest.raises(OffloadError) as caught:
        kernel.put(table, number(7), number(42), new=True)
    assert caught.value.code == errno.EEXIST
    assert run(program, FRAME).answer == 41


def test_a_full_table_takes_nothing_more(held: ExitStack) -> None:
    table = keep(held, kernel.make_table(TableKind.HASH, 4, 4, 2))
    kernel.put(table, number(1), number(1))
    kernel.put(table, number(2), number(2))
    with pytest.raises(OffloadError, match=r"^fill a table: ") as caught:
        kernel.put(table, number(3), number(3))
    assert caught.value.code == errno.E2BIG


def test_what_cannot_be_taken_out_is_said(held: ExitStack) -> None:
    table = keep(held, kernel.make_table(TableKind.ARRAY, 4, 8, 2))
    with pytest.raises(OffloadError, match=r"^empty a table: "):
        kernel.remove(table, number(1))


def test_an_array_can_be_mapped_and_the_program_reads_what_is_written_there(held: ExitStack) -> None:
    table = keep(held, kernel.make_table(TableKind.ARRAY, 4, 8, 8, flags=MAPPABLE))
    program = keep(held, kernel.load_program(finder(table)))
    with mmap.mmap(table, mmap.PAGESIZE) as memory:
        struct.pack_into("=Q", memory, 7 * 8, 99)
    assert run(program, FRAME).answer == 99


def test_a_table_that_cannot_be_is_refused() -> None:
    with pytest.raises(OffloadError, match=r"^make a table: "):
        kernel.make_table(TableKind.ARRAY, 3, 8, 8)


def test_a_program_that_the_kernel_cannot_prove_harmless_is_refused() -> None:
    code = Assembler()
    code.load(0, 8, 1, 1_000)
    code.leave()
    with pytest.raises(OffloadError, match=r"^load the program: ") as caught:
        kernel.load_program(code.code())
    assert caught.value.step == "load the program"


def test_a_program_is_not_attached_to_an_interface_that_is_not_there(held: ExitStack) -> None:
    program = keep(held, kernel.load_program(passer()))
    with pytest.raises(OffloadError, match=r"^attach the program: ") as caught:
        kernel.attach(program, NO_INTERFACE)
    assert caught.value.code == errno.ENODEV


@requires_program("ip")
def test_a_program_is_attached_until_its_descriptor_is_closed(held: ExitStack) -> None:
    program = keep(held, kernel.load_program(passer()))
    place = Namespace(f"{PREFIX}-kernel-{os.getpid()}")
    place.make()
    try:
        assert place.call(lambda: again(program)) == errno.EEXIST
        os.close(place.call(lambda: kernel.attach(program, 1)))
    finally:
        place.close()


def again(program: int) -> int:
    """Attach a program twice; return what the kernel says the second time."""
    link = kernel.attach(program, 1)
    try:
        os.close(kernel.attach(program, 1))
    except OffloadError as error:
        return error.code
    finally:
        os.close(link)
    return 0


def passer() -> bytes:
    code = Assembler()
    code.leave(-1)
    return code.code()
