"""A worker's last records reach a parent that is slow, and do not hold up one whose parent never reads."""

from __future__ import annotations

import select
import threading

from workers.contract.channel import open_channel
from workers.contract.messages import LogBatch
from workers.journal import Journal
from workers.lastwords import write_rest

RECORDS = 4_000


def full_journal(channel: object) -> Journal:
    journal = Journal(channel, 9, 0)  # type: ignore[arg-type]
    for number in range(RECORDS):
        journal.note("state", 0, f"record {number} {'x' * 400}")
    return journal


def test_everything_is_written_while_the_parent_takes_it() -> None:
    parent, child = open_channel()
    taken: list[int] = []

    def read() -> None:
        while sum(taken) < RECORDS:
            select.select([parent.fileno()], [], [])
            message = parent.receive()
            if isinstance(message, LogBatch):
                taken.append(len(message.records))

    reader = threading.Thread(target=read)
    reader.start()
    journal = full_journal(child)
    write_rest(journal, child.fileno(), 20_000_000_000)
    reader.join()
    assert (journal.written, journal.shed) == (RECORDS, 0)


def test_what_nobody_takes_is_shed_and_counted() -> None:
    parent, child = open_channel()
    journal = full_journal(child)
    write_rest(journal, child.fileno(), 1_000_000)
    assert journal.shed > 0
    assert journal.written + journal.shed == RECORDS
    parent.close()
