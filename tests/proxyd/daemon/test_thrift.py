"""What the start alone has needed is given back, and only what can be had again."""

from __future__ import annotations

import mmap
from pathlib import Path

from proxyd.daemon.thrift import give_back, unaltered
from tests.workers.forked import in_child

SIZE = 1 << 20
SMAPS = """\
10000000-10004000 r-xp 00000000 fe:00 11 /usr/lib/code.so
Rss:                  16 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
20000000-20002000 r--p 00000000 fe:00 11 /usr/lib/relocated.so
Anonymous:             4 kB
Swap:                  0 kB
30000000-30002000 r--p 00000000 fe:00 11 /usr/lib/swapped out.so
Anonymous:             0 kB
Swap:                  4 kB
40000000-40002000 rw-p 00000000 fe:00 11 /usr/lib/data.so
Anonymous:             0 kB
50000000-50002000 r--s 00000000 fe:00 12 /var/shared
Anonymous:             0 kB
60000000-60002000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
70000000-70002000 r--p 00000000 00:00 0
Anonymous:             0 kB
7fff00000000-7fff00001000 r--p 00001000 fe:00 13 /usr/lib/with a blank.so
Anonymous:             0 kB
"""


def resident_kb(path: Path) -> int:
    """Return how much of a file's mappings is in this process's memory."""
    inside, total = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if not line.split()[0].endswith(":"):
            inside = line.endswith(str(path))
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total


def test_only_what_is_in_its_file_as_it_is_counts() -> None:
    assert list(unaltered(SMAPS.splitlines())) == [(0x10000000, 0x4000), (0x7FFF00000000, 0x1000)]
    assert list(unaltered([])) == []


def test_what_was_read_of_a_file_is_let_go_and_can_be_read_again(tmp_path: Path) -> None:
    path, content = tmp_path / "library", bytes(range(256)) * (SIZE // 256)
    path.write_bytes(content)

    def act() -> list[object]:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as view:
            read, before = bytes(view) == content, resident_kb(path)
            give_back()
            after = resident_kb(path)
            return [read, before, after, bytes(view) == content]

    assert in_child(act) == str([True, SIZE // 1024, 0, True])
