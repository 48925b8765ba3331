"""Values with the defaults of the keyword table filled in: what the compiler and the listings read."""

from __future__ import annotations

from typing import Any

from proxyd.config import keywords
from proxyd.config.matching import default_match
from proxyd.config.prototype import Keyword, Scope
from proxyd.config.tree import Item, Section


def row_of(section: Section, keyword: str) -> Keyword:
    """Return the row of a keyword that may stand in this section. Raises KeyError when it may not."""
    row = keywords.find(section.row.body or Scope.FILE, keyword)
    if row is None:
        raise KeyError(keyword)
    return row


def setting(section: Section, keyword: str, part: str | None = None) -> Any:
    """Return the value of a part, of the first one by default: as written, else the row's default, else None."""
    row = row_of(section, keyword)
    wanted = part if part is not None else row.forms[0][0].name
    item = section.item(keyword)
    if item is not None:
        return item.get(wanted)
    return default_match(row).values.get(wanted) if row.absent is not None else None


def default_item(section: Section, row: Keyword) -> Item | None:
    """Return the item that counts when none was written, None when the row has no default."""
    if row.absent is None:
        return None
    found = default_match(row)
    return Item(row, section.position, section.path, found.form, found.values, {})


def section_or_default(section: Section, keyword: str) -> Section:
    """Return a subsection, or an empty one in its place."""
    found = section.section(keyword)
    if found is not None:
        return found
    row = row_of(section, keyword)
    return Section(row, None, section.position, f"{section.path} / {keyword}", (), ())
