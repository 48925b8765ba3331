"""What the server's log says of a transfer. Source: uftp(1), -S, and UFTP 4.10.2, observed."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAKS = re.compile(r"Got (\d+) NAKs for section (\d+)")
_BLOCKS = re.compile(r"Bytes: \d+\s+Blocks: (\d+)")
_STATS = re.compile(r"\bSTATS;[^;]*;(\d+);\d+;\d+;[^;]*;([\d.]+);")


@dataclass(frozen=True, slots=True)
class Account:
    """copied: whether the one client has the file; seconds: how long sending it took; naks: blocks asked for again, in
    sections_missed sections; aborts: lines about one; blocks: what the file is cut into."""

    copied: bool
    seconds: float
    blocks: int
    naks: int
    sections_missed: int
    aborts: int


def read_log(text: str) -> Account:
    """Read a server's whole log."""
    stats, blocks = _STATS.search(text), _BLOCKS.search(text)
    naks = [(int(count), section) for count, section in _NAKS.findall(text)]
    return Account(
        copied=stats is not None and stats[1] == "1",
        seconds=float(stats[2]) if stats else 0.0,
        blocks=int(blocks[1]) if blocks else 0,
        naks=sum(count for count, _section in naks),
        sections_missed=len({section for _count, section in naks}),
        aborts=sum("ABORT" in line for line in text.splitlines()),
    )
