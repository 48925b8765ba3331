"""A checked configuration back to text, in one canonical spelling.

The order is the keyword table's, repeated statements stay in theirs; sizes, sets, names and older forms are written in
one way. The text compiles to the same Settings again. What the proxy ignores is left out. Source: udp-proxy.cfg(5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from proxyd.config import keywords
from proxyd.config.defaults import default_item
from proxyd.config.prototype import Keyword, Part, Scope
from proxyd.config.rows.acl import ACTIONS
from proxyd.config.tree import Item, Section

INDENT = "  "
ACL_KEYWORD = "session-acl"

_ACTION_NAMES = frozenset(row.name for row in ACTIONS)


@dataclass(frozen=True, slots=True)
class Style:
    """What to write: defaults that were not written, notes on what has no default that could be written, the rules."""

    defaults: bool = False
    notes: bool = False
    acls: bool = True


def show_file(tree: Section, style: Style) -> str:
    """Return the text of a whole configuration."""
    return "".join(f"{line}\n" for line in _body(tree, style))


def show_proxy(proxy: Section, defaults: bool) -> str:
    """Return the text of the udp-proxy section without its rules; with defaults, what was left out as well."""
    style = Style(defaults=defaults, notes=defaults, acls=False)
    return "".join(f"{line}\n" for line in _section(proxy, style))


def show_acls(proxy: Section) -> str:
    """Return the text of the session-acl sections, in the order in which they are searched."""
    lines = [line for acl in proxy.sections_of(ACL_KEYWORD) for line in _section(acl, Style())]
    return "".join(f"{line}\n" for line in lines)


def hash_of(tree: Section) -> str:
    """Return the SHA-256 of the canonical text with all defaults, in hexadecimal."""
    return hashlib.sha256(show_file(tree, Style(defaults=True)).encode()).hexdigest()


def _section(section: Section, style: Style) -> Iterator[str]:
    name = f" {section.name}" if section.name else ""
    yield f"{section.row.name}{name} {{"
    yield from (f"{INDENT}{line}" for line in _body(section, style))
    yield "}"


def _body(section: Section, style: Style) -> Iterator[str]:
    if section.row.body is Scope.LISTEN:
        # The order of listeners is part of the settings, across keywords.
        yield from (show_item(item, style.defaults) for item in section.items)
        return
    for row in keywords.KEYWORDS[section.row.body or Scope.FILE]:
        if row.opaque or (row.name == ACL_KEYWORD and not style.acls):
            continue
        yield from _sections(section, row, style) if row.is_section else _items(section, row, style)


def _sections(section: Section, row: Keyword, style: Style) -> Iterator[str]:
    written = False
    for inner in section.sections_of(row.name):
        yield from _section(inner, style)
        written = True
    if style.defaults and row.implied and not written:
        yield from _section(Section(row, None, section.position, section.path, (), ()), style)


def _items(section: Section, row: Keyword, style: Style) -> Iterator[str]:
    written = False
    for item in section.all(row.name):
        yield show_item(item, style.defaults)
        written = True
    if written or not style.defaults or _is_idle(section, row):
        return
    default = default_item(section, row)
    if default is not None:
        yield show_item(default, defaults=True)
    elif style.notes and row.absent_note:
        yield f"# {row.name}: {row.absent_note}"


def _is_idle(section: Section, row: Keyword) -> bool:
    """Tell whether a row says nothing in this section: actions of a rule that denies, monitoring turned off."""
    denies = section.row.body is Scope.ACL and not section.has("accept")
    return (denies and row.name in _ACTION_NAMES) or section.has("disabled")


def show_item(item: Item, defaults: bool) -> str:
    """Return one item; defaults: with the parts that were not written but have a default."""
    shown = frozenset(item.values if defaults or not item.places else item.places)
    parts, values, shown = _current_form(item, shown)
    words = [
        text for part in parts if part.name in shown and not part.silent for text in _part(part, values[part.name])
    ]
    return f"{' '.join([item.row.name, *words])};"


def _part(part: Part, value: Any) -> Iterator[str]:
    if part.kind is None or part.named:
        yield part.name
    if part.kind is not None:
        yield part.kind.show(value)


def _current_form(item: Item, shown: frozenset[str]) -> tuple[tuple[Part, ...], Mapping[str, Any], frozenset[str]]:
    """Return parts, values and what to show of an item, an older listen-on form turned into the one of today."""
    older = item.form - len(item.row.forms)
    if older < 0:
        return item.row.forms[item.form], item.values, shown
    values = dict(item.values)
    if older == 0:
        values = {"addr": values["sock"].host, "port": values["sock"].port, "to": values.get("ports")}
    else:
        values["version"], values["to"] = values.pop("proto", None), values.pop("ports", None)
    present = {name: value for name, value in values.items() if value is not None}
    return item.row.forms[older], present, frozenset(present) - ({"alias"} - shown)
