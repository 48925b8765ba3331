"""The manual page udp-proxy.cfg(5), from the keyword table: `python -m proxyd.config.manual` prints it.

What the rows say of each keyword is taken from them; only what holds for the language as a whole stands here.
Source: mdoc(7).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from proxyd.config.keywords import KEYWORDS
from proxyd.config.prototype import Keyword, Part, Scope

DATE = "November 21, 2026"

_SENTENCE = re.compile(r"(?<=[.;:]) +(?=[A-Z0-9\[])")
_LINE_CHARS = 78

_HEADINGS = (
    (Scope.FILE, "FILE LEVEL", "These statements stand at file level, outside any section."),
    (Scope.PROXY, "UDP-PROXY", "The section udp-proxy holds these."),
    (Scope.LOG, "LOG-DEBUG AND LOG-STATS", "Both sections hold these. A section that is left out has their defaults."),
    (Scope.MONITORING, "MONITORING", "The section monitoring holds these."),
    (Scope.CONTROL, "CONTROL", "The section control holds these. Each is optional."),
    (Scope.LISTEN, "LISTEN-ON", "The section listen-on holds these."),
    (Scope.SERVER, "UDPSERVER", "The section udpserver holds these."),
    (
        Scope.ACL,
        "SESSION-ACL",
        "A session-acl has conditions, from from to ip-tos-from, and actions."
        " Conditions of one kind are alternatives, different kinds must all hold, and a kind that is not there is not"
        " checked. A rule that denies has no other action.",
    ),
    (Scope.PERIODS, "TIME-PERIOD-SET", "The section time-period-set of a session-acl holds these."),
    (Scope.SPEC, "TIME-SPEC", "The section time-spec of a time-period-set holds these."),
    (Scope.TOS, "IP-TOS-TO-CLIENT AND IP-TOS-TO-SERVER", "Both sections hold this."),
    (Scope.RESOLVER, "RESOLVER", "The section resolver holds these."),
    (Scope.OOB, "OOB-AUTH", "The section oob-auth holds these."),
    (Scope.INTERFACE, "INTERFACE", "The section interface holds these."),
    (Scope.ALIAS, "ALIAS", "The section alias of an interface holds these."),
    (Scope.QUEUE, "QUEUE", "The section queue holds these. Each is optional."),
)

_HEAD = r"""
.\" Made by python -m proxyd.config.manual from the keyword table: change the table, not this page.
.Dd {date}
.Dt UDP-PROXY.CFG 5
.Os
.Sh NAME
.Nm udp-proxy.cfg
.Nd configuration of the generic UDP proxy
.Sh DESCRIPTION
The file tells
.Xr udp-proxy 8
where to listen, which sessions to accept, and how to treat them.
.Xr test-udp 8
checks it.
.Sh SYNTAX
The file is UTF-8 text.
Blanks and line ends separate words and mean nothing else;
.Ql #
begins a comment that ends with the line.
.Pp
An
.Em item
is a keyword, its elements, and a semicolon.
A
.Em section
is a keyword, in most cases a name, and items and sections in braces.
Keywords and the words of enumerations may be written in capitals or not;
names and strings are what they are.
.Pp
In the prototypes below, an element in brackets is optional,
an element written twice stands after its own name
.Pq Cm port Ar port ,
and other elements stand in the order shown.
Elements with a name may come in any order.
A statement is given once unless it is marked
.Em repeatable .
What is marked
.Em extension
is not part of the language that other programs read.
.Pp
A mistake is reported with file, line, column and section, with what was found and what was wanted.
A mistake of form ends the reading, all others are reported together.
Braces nest at most 16 deep, and names of sections have at most 200 characters.
.Sh VALUE TYPES
.Bl -tag -width Ds
.It numbers
Decimal, or hexadecimal after
.Ql 0x .
Where sizes are wanted,
.Ql K ,
.Ql M
and
.Ql G
multiply by 1024, its square and its cube.
.It strings
In double quotes, with the escapes
.Ql \e" ,
.Ql \e\e ,
.Ql \en ,
.Ql \et
and
.Ql \exHH .
A single word needs no quotes.
.It addresses
In brackets:
.Ql [192.0.2.1] ,
.Ql [2001:db8::1] .
.It host names
Bare words:
.Ql www.example.com .
.It ports
Numbers from 0 to 65535, or names of services.
.It socks
A host, a colon and a port:
.Ql "[192.0.2.1] : 53" .
.It sets
One member, members in braces separated by commas, or
.Ql *
for everything.
A member may be a range, as
.Ql mon-fri ,
.Ql 0800-1630
or
.Ql 7000-7010 .
A
.Ql \&!
in front of a member leaves out what it stands for; the first member that says something decides.
.It times of day
Hours and minutes,
.Ql 0830 .
The end of a range is not part of it.
.El
.Sh HOST SETS
A host set holds any of these:
an address; a range of addresses,
.Ql [192.0.2.1]-[192.0.2.9] ;
a network by the length of its prefix,
.Ql [192.0.2.0/24] ;
a network by its mask, which may have gaps,
.Ql [10.0.1.0/255.0.255.0]
or
.Ql [10.0.1.0/0xFF00FF00] ;
a host name, which stands for all its addresses;
an extended regular expression between slashes, which fits every host in whose name it is found, in upper or lower case,
and which has at most 512 characters with its intervals written out;
.Ql * ;
and host sets in braces.
.Pp
Members are tried in order, and the first one that says something decides.
A member behind
.Ql \&!
leaves out the hosts that it stands for.
If a set in braces is behind
.Ql \&! ,
what it takes in is left out, and on what it leaves out itself it says nothing.
A host on which no member decides is not in the set.
.Bl -tag -width Ds
.It Li "{ ! [192.0.2.3]-[192.0.2.8], * }"
Everybody but these six.
.It Li "{ ! [10.1.1.1], [10.0.0.0/8] }"
The network without one host.
.It Li "{ *, ! [10.1.1.1] }"
Everybody: the first member has decided already.
.Xr test-udp 8
warns of this.
.El
.Pp
IPv4 addresses in IPv6 form count as IPv4.
"""

_TAIL = r"""
.Sh EXAMPLES
A relay for DNS, with one query and one answer a session:
.Bd -literal -offset indent
version KERNUN-2_3-RELEASE;

udp-proxy DNS {
  listen-on { non-transparent [192.168.10.1] port 53; }
  udpserver { max-sessions 500; }

  session-acl INTOK {
    from { [192.168.10.0/24] };
    accept;
    plug-to [203.0.113.53] : 53;
    max-dgrams-out 1;
    max-dgrams-in  1;
    timeout session 10 both 5;
  }
}
.Ed
.Sh SEE ALSO
.Xr test-udp 8 ,
.Xr udp-proxy 8
"""


def page() -> str:
    """Return the whole page, in mdoc."""
    lines = [_HEAD.strip().replace("{date}", DATE)]
    for scope, heading, introduction in _HEADINGS:
        lines += [f".Sh {heading}", *_prose(introduction), ".Bl -tag -width Ds"]
        for row in KEYWORDS[scope]:
            lines += _entry(row)
        lines.append(".El")
    return "\n".join([*lines, _TAIL.strip()]) + "\n"


def _entry(row: Keyword) -> Iterator[str]:
    first, *others = row.prototypes()
    # In quotes, or mdoc takes single signs in it for punctuation.
    yield f'.It Li "{_escape(first)}"'
    for prototype in others:
        yield f'.It Li "{_escape(prototype)}"'
    yield from _prose(row.doc)
    facts = list(_facts(row))
    if facts:
        yield ".Pp"
        yield from _prose(f"{'. '.join(facts)}.")


def _facts(row: Keyword) -> Iterator[str]:
    """Yield what the row says in fields."""
    types = dict.fromkeys(text for parts in row.forms for part in parts for text in _type(part, row.absent is None))
    if types:
        yield f"Elements: {'; '.join(types)}"
    if row.absent is not None:
        yield f"Default: {row.name} {row.absent}"
    elif row.absent_note:
        yield f"Default: {row.absent_note}"
    marks = [
        word
        for word, holds in (
            ("obligatory", row.obligatory),
            ("repeatable", row.repeatable),
            ("extension", row.extension),
        )
        if holds
    ]
    if marks:
        yield ", ".join(marks).capitalize()
    if row.reload.value:
        yield row.reload.value


def _type(part: Part, with_default: bool) -> Iterator[str]:
    if part.kind is None:
        return
    default = f" (default {part.default})" if with_default and part.default is not None else ""
    yield f"{part.name} is {part.kind.wanted}{default}"


def _prose(text: str) -> Iterator[str]:
    """Yield text as mdoc lines, a sentence on a line of its own."""
    for sentence in _SENTENCE.split(text):
        line = ""
        for word in sentence.split():
            if line and len(line) + len(word) >= _LINE_CHARS:
                yield _guard(line)
                line = ""
            line = f"{line} {word}" if line else word
        if line:
            yield _guard(line)


def _guard(line: str) -> str:
    escaped = _escape(line)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _escape(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")


if __name__ == "__main__":
    sys.stdout.write(page())
