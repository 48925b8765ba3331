"""Text for people: tables with columns that line up, and numbers that can be taken in at a glance."""

from __future__ import annotations

from collections.abc import Sequence

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> str:
    """Return lines of columns under a header. right: the columns whose texts stand at the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = (
            text.rjust(width) if name in right else text.ljust(width)
            for text, width, name in zip(row, widths, header, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    return "".join(f"{line}\n" for line in lines)


def pairs(rows: Sequence[tuple[str, str]]) -> str:
    """Return lines of a name and a value each."""
    width = max((len(name) for name, _ in rows), default=0)
    return "".join(f"{name:{width}}  {value}".rstrip() + "\n" for name, value in rows)


def size(count: int) -> str:
    """Return bytes in the unit that leaves at most four digits: `17 B`, `1.5 KiB`."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def duration(seconds: float | None) -> str:
    """Return a time in the two units that matter: `4.2s`, `3m 07s`, `5h 02m`, `3d 04h`; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes:02}m"
    return f"{hours // 24}d {hours % 24:02}h"


def count(number: int) -> str:
    """Return a number with blanks between thousands."""
    return f"{number:,}".replace(",", " ")


def counted(number: int, noun: str) -> str:
    """Return a number of things: `1 session`, `0 sessions`, `8 000 sessions`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"
