r"""POSIX extended regular expressions for host names, translated to Python's `re`.

Everything of IEEE 1003.1 §9.4 is taken: bracket expressions with classes, intervals, groups, alternatives, anchors.
What the standard leaves undefined and Python reads in its own way (`(?…)`, `a**`, `\d`, back-references) is refused, so
that no pattern means something else here than its writer thought.

Names come from name servers of strangers, and `re` tries alternatives one after another: a repeated group that holds
nothing but repetitions, as in `(a+)+`, could take hours and is refused. This is a net for accidents, not a proof:
`(a|aa)*` still costs exponential time, `.*x.*y.*` time cubic in the length of the name, at most 253.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workers.errors import WorkerError

MAX_INTERVAL = 255
"""RE_DUP_MAX, the least that a system must take in `{m,n}`."""
_MANY = 8
"""From more repetitions than these on, an interval counts as unbounded in the search for slow patterns."""

_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}
_INTERVAL = re.compile(r"\{([0-9]{0,4})(?:(,)([0-9]{0,4}))?\}")
_NAMED = re.compile(r"\[([:=.])(.*?)\1\]", re.DOTALL)


class PatternError(WorkerError):
    """A pattern is no extended regular expression, or too dangerous; offset counts characters from 0."""

    def __init__(self, pattern: str, offset: int, why: str) -> None:
        super().__init__(pattern, offset, why)
        self.pattern = pattern
        self.offset = offset
        self.why = why

    def __str__(self) -> str:
        return f"/{self.pattern}/ at character {self.offset + 1}: {self.why}"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern, to be used with `search`; letters match in either case. Raises PatternError."""
    return re.compile(translate(pattern), re.IGNORECASE | re.ASCII | re.DOTALL)


def translate(pattern: str) -> str:
    """Return the pattern in Python's syntax. Raises PatternError."""
    return _Translator(pattern).run()


@dataclass(slots=True)
class _Branches:
    """A group being read, for the search for slow patterns.

    solid: atoms of the current alternative that stand once and must be there. loops: those that repeat at will.
    slack: whether an alternative so far was nothing but loops.
    """

    start: int
    solid: int = 0
    loops: int = 0
    slack: bool = False

    def end_alternative(self) -> None:
        self.slack = self.slack or (self.loops > 0 and self.solid == 0)
        self.solid = self.loops = 0


class _Translator:
    """One pass over a pattern. An atom waits (repeatable) until it is known whether a repetition follows."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._offset = 0
        self._out: list[str] = []
        self._groups = [_Branches(0)]
        self._repeatable = False
        self._slack_atom = False

    def run(self) -> str:
        special = {
            "(": self._open,
            ")": self._close,
            "|": self._alternative,
            "[": self._bracket,
            "\\": self._escape,
            "^": lambda: self._plain("\\A"),
            "$": lambda: self._plain("\\Z"),
            ".": lambda: self._atom("."),
            "*": lambda: self._repeat("*", 0, None),
            "+": lambda: self._repeat("+", 1, None),
            "?": lambda: self._repeat("?", 0, 1),
            "{": self._interval,
        }
        while self._offset < len(self._pattern):
            character = self._pattern[self._offset]
            self._offset += 1
            if character in special:
                special[character]()
            else:
                self._atom(re.escape(character))
        if len(self._groups) > 1:
            raise self._error("the group is not closed", self._groups[-1].start)
        return "".join(self._out)

    def _error(self, why: str, offset: int | None = None) -> PatternError:
        return PatternError(self._pattern, self._offset - 1 if offset is None else offset, why)

    def _plain(self, text: str) -> None:
        """Emit what cannot be repeated."""
        self._out.append(text)
        self._repeatable = False

    def _atom(self, text: str, slack: bool = False) -> None:
        """Emit what can be repeated. slack: it is a group that holds an alternative of nothing but loops."""
        self._out.append(text)
        self._repeatable = True
        self._slack_atom = slack
        if slack:
            self._groups[-1].loops += 1
        else:
            self._groups[-1].solid += 1

    def _open(self) -> None:
        self._groups.append(_Branches(self._offset - 1))
        self._plain("(?:")

    def _close(self) -> None:
        if len(self._groups) == 1:
            raise self._error("no group is open")
        group = self._groups.pop()
        group.end_alternative()
        self._atom(")", group.slack)

    def _alternative(self) -> None:
        self._groups[-1].end_alternative()
        self._plain("|")

    def _escape(self) -> None:
        if self._offset == len(self._pattern):
            raise self._error("nothing follows the backslash")
        character = self._pattern[self._offset]
        self._offset += 1
        if character.isalnum():
            raise self._error(f"\\{character} has no meaning in an extended regular expression", self._offset - 2)
        self._atom(re.escape(character))

    def _interval(self) -> None:
        start = self._offset - 1
        match = _INTERVAL.match(self._pattern, start)
        if match is None or not (match[1] or match[3]):
            raise self._error("wanted {n}, {n,}, {n,m} or {,m}")
        least = int(match[1] or 0)
        most = least if match[2] is None else int(match[3]) if match[3] else None
        if max(least, most or 0) > MAX_INTERVAL or (most is not None and least > most):
            raise self._error(f"an interval's bounds ascend and are at most {MAX_INTERVAL}")
        self._repeat(f"{{{least},{'' if most is None else most}}}", least, most)
        self._offset = match.end()

    def _repeat(self, text: str, least: int, most: int | None) -> None:
        if not self._repeatable:
            raise self._error("nothing stands before it that could be repeated")
        loops = most is None or most > _MANY
        if loops and self._slack_atom:
            raise self._error("a repeated group of nothing but repetitions would take too long")
        self._out.append(text)
        self._repeatable = False
        group = self._groups[-1]
        if not self._slack_atom and (loops or least == 0):
            group.solid -= 1
            group.loops += loops

    # --- bracket expressions ---

    def _bracket(self) -> None:
        start = self._offset - 1
        negated = self._pattern.startswith("^", self._offset)
        self._offset += negated
        members: list[str] = []
        while not members or not self._pattern.startswith("]", self._offset):
            members.append(self._bracket_member(start))
        self._offset += 1
        self._atom(f"[{'^' if negated else ''}{''.join(members)}]")

    def _bracket_member(self, start: int) -> str:
        """Read one class, range or character; members are never empty, so a first `]` is a character."""
        named = _NAMED.match(self._pattern, self._offset)
        if named is not None and named[1] == ":":
            if named[2] not in _CLASSES:
                raise self._error(f"there is no class [:{named[2]}:]", self._offset)
            self._offset = named.end()
            return _CLASSES[named[2]]
        first = self._bracket_character(start)
        ahead = self._pattern[self._offset : self._offset + 2]
        if not ahead.startswith("-") or ahead == "-]":
            return re.escape(first)
        self._offset += 1
        last = self._bracket_character(start)
        if last < first:
            raise self._error(f"the range {first}-{last} is empty", start)
        return f"{re.escape(first)}-{re.escape(last)}"

    def _bracket_character(self, start: int) -> str:
        if self._offset >= len(self._pattern):
            raise self._error("the bracket expression is not closed", start)
        named = _NAMED.match(self._pattern, self._offset)
        if named is None:
            self._offset += 1
            return self._pattern[self._offset - 1]
        if named[1] == ":" or len(named[2]) != 1:
            raise self._error(f"{named[0]} does not stand for one character", self._offset)
        self._offset = named.end()
        return named[2]
