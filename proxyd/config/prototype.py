"""What a row of the keyword table is made of: a keyword, its scope, the forms of its elements.

Source: udp-proxy.cfg(5); the rows themselves are in proxyd.config.rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from proxyd.config.values.kind import Kind


class Scope(Enum):
    """Where a keyword may stand; the value is the name of the enclosing section."""

    FILE = ""
    PROXY = "udp-proxy"
    LOG = "log"
    MONITORING = "monitoring"
    CONTROL = "control"
    LISTEN = "listen-on"
    SERVER = "udpserver"
    ACL = "session-acl"
    PERIODS = "time-period-set"
    SPEC = "time-spec"
    TOS = "ip-tos"
    RESOLVER = "resolver"
    OOB = "oob-auth"
    INTERFACE = "interface"
    ALIAS = "alias"
    QUEUE = "queue"
    EXPRESSION = "test expression"
    IGNORED = "ignored"


class Reload(Enum):
    """What a reload makes of a keyword whose elements have changed. The values are the manual page's words."""

    ANEW = ""
    """It counts at once."""
    REFUSED = "A reload cannot change it, that takes a restart"
    LATER = "A change counts from the next start on"


class Naming(Enum):
    """Whether a section has a name."""

    NEVER = "never"
    OPTIONAL = "optional"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Part:
    """One element of an item.

    kind None: the word itself is the element (`key`). named: the name stands before the value. default: the text
    that counts when an optional part is left out. silent: a word that may as well be left out, and is in listings.
    """

    name: str
    kind: Kind | None = None
    named: bool = False
    optional: bool = False
    default: str | None = None
    silent: bool = False

    def __str__(self) -> str:
        text = f"{self.name} {self.name}" if self.kind is not None and self.named else self.name
        return f"[{text}]" if self.optional else text


def key(name: str, optional: bool = True, silent: bool = False) -> Part:
    """Make an element that is just a word."""
    return Part(name, optional=optional, silent=silent)


def value(
    name: str,
    kind: Kind,
    default: str | None = None,
    optional: bool = False,
) -> Part:
    """Make an element that stands in its place without a name; one with a default is optional."""
    return Part(name, kind, False, optional or default is not None, default)


def named(name: str, kind: Kind, optional: bool = True, default: str | None = None) -> Part:
    """Make an element that follows its name."""
    return Part(name, kind, True, optional, default)


Parts = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Keyword:
    """One row.

    doc: what it means, a sentence or more, for the manual page. forms: the prototypes, tried in this order; an item
    without elements has one empty form. body: the scope inside, for a section. absent: the elements that count when
    an item is left out. absent_note: what then happens, where no text could say it. implied: a section that counts
    with its defaults when it is left out. opaque: elements and body are taken as they come. hidden_forms: older ones,
    taken but shown nowhere. reload: what a reload makes of a change.
    """

    name: str
    doc: str
    forms: tuple[Parts, ...] = ((),)
    body: Scope | None = None
    naming: Naming = Naming.NEVER
    repeatable: bool = False
    obligatory: bool = False
    absent: str | None = None
    absent_note: str = ""
    extension: bool = False
    implied: bool = False
    opaque: bool = False
    hidden_forms: tuple[Parts, ...] = ()
    reload: Reload = Reload.ANEW

    @property
    def is_section(self) -> bool:
        """Whether it holds statements in braces."""
        return self.body is not None

    @property
    def all_forms(self) -> tuple[Parts, ...]:
        """The forms with the older ones."""
        return self.forms + self.hidden_forms

    def prototypes(self) -> tuple[str, ...]:
        """Return the forms as the manual page writes them."""
        if self.body is not None:
            name = {Naming.NEVER: "", Naming.OPTIONAL: " [name]", Naming.ALWAYS: " name"}[self.naming]
            return (f"{self.name}{name} {{ ... }}",)
        if self.opaque:
            return (f"{self.name} ... ;",)
        return tuple(f"{' '.join([self.name, *map(str, parts)])};" for parts in self.forms)
