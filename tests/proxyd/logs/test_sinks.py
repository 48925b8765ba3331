"""The count of what went wrong, and waiting for room within a time."""

from __future__ import annotations

import os
import time

from proxyd.logs.sinks import Trouble, wait_for_room


def test_trouble_is_reported_once_with_all_its_records() -> None:
    trouble = Trouble()
    trouble.note("no space", 2)
    trouble.note("no space", 3)
    assert trouble.take() == ("no space", 5)
    assert trouble.take() is None


def test_the_sum_of_shed_records_survives_the_report() -> None:
    trouble = Trouble()
    trouble.note("no space", 2)
    trouble.take()
    trouble.note("no space", 1)
    assert (trouble.shed, trouble.unreported) == (3, 1)


def test_trouble_without_a_loss_is_reported_too() -> None:
    trouble = Trouble()
    trouble.note("rolling failed")
    assert trouble.take() == ("rolling failed", 0)


def test_an_empty_pipe_has_room_and_a_full_one_has_none_in_time() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    assert wait_for_room(writer, 0)
    os.write(writer, bytes(1 << 20))
    assert not wait_for_room(writer, time.monotonic_ns() + 1_000_000)
    os.close(reader)
    os.close(writer)
