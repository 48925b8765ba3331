"""Statements to a checked tree: every keyword in its place, every value of its type, nothing twice, nothing missing.

What sections mean to one another is checked elsewhere (crosschecks). Every mistake is collected.
Source: udp-proxy.cfg(5), SYNTAX.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxyd.config import keywords
from proxyd.config.matching import match
from proxyd.config.prototype import Keyword, Naming, Scope
from proxyd.config.statements import Member, Place, Statement, Word
from proxyd.config.tree import Item, Section
from proxyd.config.values.kind import MAX_SHOWN_CHARS, describe
from proxyd.config.values.words import nearest
from proxyd.errors import ConfigError, Position

MAX_NAME_CHARS = 200
"""Of a section: records and messages hold it, and a file's name that of a proxy, which may have 255."""


class Checker:
    """Checks one text. errors: every mistake so far, in the order found."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.errors: list[ConfigError] = []

    def check(self, statements: tuple[Statement, ...], row: Keyword = keywords.FILE_ROW) -> Section:
        """Return the tree; what is unsound is left out or marked, and reported in errors."""
        return self._body(row, None, Position(self._file, 1, 1), "", statements)

    def _at(self, place: Place) -> Position:
        return Position(self._file, *place)

    def _report(self, place: Place, path: str, found: str, wanted: str = "") -> None:
        self.errors.append(ConfigError(self._at(place), path, found, wanted))

    def _body(
        self, row: Keyword, name: str | None, position: Position, path: str, statements: Iterable[Statement]
    ) -> Section:
        scope = row.body or Scope.FILE
        items: list[Item] = []
        sections: list[Section] = []
        first: dict[tuple[str, str | None], Position] = {}
        for statement in statements:
            found = self._row(scope, statement, path)
            if found is None:
                continue
            self._check_repeated(found, statement, path, first)
            if found.is_section:
                sections.append(self._section(found, statement, path))
            elif (item := self._item(found, statement, path)) is not None:
                items.append(item)
        seen = {keyword for keyword, _ in first}
        for missing in keywords.KEYWORDS[scope]:
            if missing.obligatory and missing.name not in seen:
                wanted = f"wanted {missing.prototypes()[0]}"
                self.errors.append(ConfigError(position, path, f"found no '{missing.name}'", wanted))
        return Section(row, name, position, path, tuple(items), tuple(sections))

    def _row(self, scope: Scope, statement: Statement, path: str) -> Keyword | None:
        """Return the statement's row, after reporting that there is none or that it has the wrong form."""
        keyword = statement.keyword
        row = keywords.find(scope, keyword.text)
        if row is None:
            self._report(keyword.place, path, *_unknown(scope, statement))
            return None
        if row.is_section and statement.body is None:
            self._report(keyword.place, path, f"found '{keyword.text}' as an item", f"wanted {row.prototypes()[0]}")
            return None
        if not row.is_section and statement.body is not None and not row.opaque:
            self._report(
                keyword.place, path, f"found '{{' after '{keyword.text}'", f"wanted ';' to end {row.prototypes()[0]}"
            )
            return None
        return row

    def _check_repeated(
        self, row: Keyword, statement: Statement, path: str, first: dict[tuple[str, str | None], Position]
    ) -> None:
        """Report a second occurrence of what may stand once, or a second section of the same name."""
        name = _section_name(statement) if row.is_section and row.naming is not Naming.NEVER else None
        identity = (row.name, name)
        place = self._at(statement.keyword.place)
        if identity not in first:
            first[identity] = place
        elif not row.repeatable:
            where = f"wanted it once; the first is on line {first[identity].line}"
            self._report(statement.keyword.place, path, f"found a second '{row.name}'", where)
        elif name is not None:
            where = f"wanted another name; the first is on line {first[identity].line}"
            self._report(statement.keyword.place, path, f"found a second '{row.name} {name}'", where)

    def _item(self, row: Keyword, statement: Statement, path: str) -> Item | None:
        position = self._at(statement.keyword.place)
        if row.opaque:
            return None
        found = match(row, statement)
        for fault in found.faults:
            self._report(fault.place, path, fault.found, fault.wanted)
        places = {part: self._at(place) for part, place in found.places.items()}
        doubts = tuple(ConfigError(self._at(doubt.place), path, doubt.found, doubt.wanted) for doubt in found.doubts)
        return Item(row, position, path, found.form, found.values, places, not found.faults, doubts)

    def _section(self, row: Keyword, statement: Statement, path: str) -> Section:
        name = self._name(row, statement, path)
        position = self._at(statement.keyword.place)
        title = f"{row.name} {name}" if name else row.name
        inner = f"{path} / {title}" if path else title
        if row.opaque:
            return Section(row, name, position, inner, (), ())
        return self._body(row, name, position, inner, statement.body or ())

    def _name(self, row: Keyword, statement: Statement, path: str) -> str | None:
        elements = statement.elements
        if row.opaque:
            return None
        allowed = 0 if row.naming is Naming.NEVER else 1
        name = _section_name(statement)
        if len(elements) > allowed or (elements and name is None):
            wrong: Member = elements[0] if name is None or not allowed else elements[allowed]
            wanted = f"wanted {row.prototypes()[0]}"
            self._report(wrong.place, path, f"found {describe(wrong.value)} after '{row.name}'", wanted)
        elif not elements and row.naming is Naming.ALWAYS:
            self._report(
                statement.keyword.place, path, f"found no name after '{row.name}'", f"wanted {row.prototypes()[0]}"
            )
        if allowed and len(name or "") > MAX_NAME_CHARS:
            found = f"found a name of {len(name or '')} characters"
            self._report(elements[0].place, path, found, f"wanted at most {MAX_NAME_CHARS}")
            # Messages about what is in the section name it.
            return f"{(name or '')[:MAX_SHOWN_CHARS]}..."
        return name if allowed else None


def _section_name(statement: Statement) -> str | None:
    if not statement.elements or statement.elements[0].negated:
        return None
    value = statement.elements[0].value
    return value.text if isinstance(value, Word) else None


def _unknown(scope: Scope, statement: Statement) -> tuple[str, str]:
    """Say that a keyword is not known here, with the nearest one, or with the section where it belongs."""
    text = statement.keyword.text
    kind = "section" if statement.body is not None else "item"
    elsewhere = keywords.homes_of(text)
    if elsewhere and scope is not Scope.EXPRESSION:
        places = " or ".join(f"in '{place}'" if place else "at file level" for place in elsewhere)
        return f"found '{text}', which does not belong here", f"wanted it {places}"
    hint = nearest(text, keywords.names(scope))
    options = f"wanted one of {', '.join(keywords.names(scope))}" if not hint else f"wanted a known {kind}{hint}"
    return f"found the unknown {kind} '{text[:64]}'", options
