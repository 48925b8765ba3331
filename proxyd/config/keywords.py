"""The keyword table: every word that may begin a statement, in the section where it may stand.

The parser's checks, the defaults, `show-proxy all` and the manual page all read these rows and nothing else.
Source: udp-proxy.cfg(5).
"""

from __future__ import annotations

from collections.abc import Mapping

from proxyd.config.prototype import Keyword, Scope
from proxyd.config.rows import acl, expression, file, proxy

KEYWORDS: Mapping[Scope, tuple[Keyword, ...]] = {
    Scope.FILE: file.FILE,
    Scope.PROXY: proxy.PROXY,
    Scope.LOG: proxy.LOG,
    Scope.MONITORING: proxy.MONITORING,
    Scope.CONTROL: proxy.CONTROL,
    Scope.LISTEN: proxy.LISTEN,
    Scope.SERVER: proxy.SERVER,
    Scope.ACL: acl.ACL,
    Scope.PERIODS: acl.PERIODS,
    Scope.SPEC: acl.SPEC,
    Scope.TOS: acl.TOS,
    Scope.RESOLVER: file.RESOLVER,
    Scope.OOB: file.OOB,
    Scope.INTERFACE: file.INTERFACE,
    Scope.ALIAS: file.ALIAS,
    Scope.QUEUE: file.QUEUE,
    Scope.EXPRESSION: expression.EXPRESSION,
    Scope.IGNORED: (),
}

_BY_NAME = {scope: {row.name: row for row in rows} for scope, rows in KEYWORDS.items()}
_ITEMS = frozenset(row.name for rows in KEYWORDS.values() for row in rows if not row.is_section)

FILE_ROW = Keyword("", "The whole file.", body=Scope.FILE)
EXPRESSION_ROW = Keyword("", "A whole test expression.", body=Scope.EXPRESSION)


def find(scope: Scope, name: str) -> Keyword | None:
    """Return the row of a keyword, in either case; None when it may not stand in this scope."""
    return _BY_NAME[scope].get(name.lower())


def names(scope: Scope) -> tuple[str, ...]:
    """Return the keywords that may stand in a scope, in the order of the table."""
    return tuple(row.name for row in KEYWORDS[scope])


def homes_of(name: str) -> tuple[str, ...]:
    """Return the sections in which a keyword may stand, by their keywords; `` stands for the file level."""
    scopes = [scope for scope, rows in _BY_NAME.items() if name.lower() in rows]
    sections = [row for rows in (*KEYWORDS.values(), (FILE_ROW,)) for row in rows]
    return tuple(section.name for scope in scopes for section in sections if section.body is scope)


def is_item(name: str) -> bool:
    """Tell whether a lower-case keyword is an item, wherever it stands."""
    return name in _ITEMS
