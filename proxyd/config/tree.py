"""A checked configuration: statements that found their rows, with typed values and full positions.

Defaults are not filled in here but read from the rows on demand, so that a dump can tell what was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from proxyd.config.prototype import Keyword
from proxyd.errors import ConfigError, Position


@dataclass(frozen=True, slots=True)
class Item:
    """One item: its row, the form that fitted, and the values of its parts by name.

    A key that was written is True. sound: every part fitted; otherwise the mistake is reported already.
    doubts: what may not mean what was meant.
    """

    row: Keyword
    position: Position
    path: str
    form: int
    values: Mapping[str, Any]
    places: Mapping[str, Position]
    sound: bool = True
    doubts: tuple[ConfigError, ...] = ()

    def get(self, part: str) -> Any:
        """Return a part's value, None when it was not written and has no default."""
        return self.values.get(part)

    def __contains__(self, part: str) -> bool:
        return part in self.values

    def at(self, part: str) -> Position:
        """Return where a part stands, the item's own position when it was left out."""
        return self.places.get(part, self.position)

    def error(self, found: str, wanted: str = "", part: str = "") -> ConfigError:
        """Make the report of a mistake at this item, or at one of its parts."""
        return ConfigError(self.at(part), self.path, found, wanted)


@dataclass(frozen=True, slots=True)
class Section:
    """One section; path leads to it and includes it, as in messages."""

    row: Keyword
    name: str | None
    position: Position
    path: str
    items: tuple[Item, ...]
    sections: tuple[Section, ...]

    def all(self, keyword: str) -> Iterator[Item]:
        """Yield every item of this keyword, in the order of the file."""
        return (item for item in self.items if item.row.name == keyword)

    def item(self, keyword: str) -> Item | None:
        """Return the first item of this keyword as written, None without one."""
        return next(self.all(keyword), None)

    def has(self, keyword: str) -> bool:
        """Tell whether an item of this keyword was written."""
        return self.item(keyword) is not None

    def sections_of(self, keyword: str) -> Iterator[Section]:
        """Yield every section of this keyword, in the order of the file."""
        return (section for section in self.sections if section.row.name == keyword)

    def section(self, keyword: str) -> Section | None:
        """Return the first section of this keyword, None without one."""
        return next(self.sections_of(keyword), None)

    def error(self, found: str, wanted: str = "") -> ConfigError:
        """Make the report of a mistake of this section as a whole."""
        return ConfigError(self.position, self.path, found, wanted)


def walk(section: Section) -> Iterator[Section]:
    """Yield a section and all sections inside it, outer ones first."""
    yield section
    for inner in section.sections:
        yield from walk(inner)
