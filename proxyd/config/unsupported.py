"""What is valid but not yet run: udp-proxy refuses to start with it rather than ignore it.

The rows of the keyword table say what that is.
"""

from __future__ import annotations

from proxyd.config.findings import Findings
from proxyd.config.tree import Item, Section, walk
from proxyd.errors import ConfigError


def find_unsupported(proxy: Section, findings: Findings) -> None:
    """Add every use of what is not supported yet to findings.unsupported."""
    for section in walk(proxy):
        if not section.row.supported:
            findings.unsupported.append(section.error(_text(section.row.name)))
        for item in section.items:
            _item(item, findings)


def _text(what: str) -> str:
    return f"'{what}' is not supported yet"


def _item(item: Item, findings: Findings) -> None:
    if not item.row.supported:
        findings.unsupported.append(item.error(_text(item.row.name)))
        return
    for part in item.row.all_forms[item.form]:
        if part.name not in item:
            continue
        shown = part.kind.show(item.get(part.name)) if part.kind is not None else part.name
        if not part.supported:
            findings.unsupported.append(
                _later(item, part.name if part.kind is None or part.named else shown, part.name)
            )
        elif shown in part.unsupported:
            findings.unsupported.append(_later(item, shown, part.name))


def _later(item: Item, text: str, part: str) -> ConfigError:
    return item.error(_text(f"{item.row.name} {text}"), part=part)
