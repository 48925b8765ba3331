r"""POSIX extended regular expressions for host names, compiled to automata.

Everything of IEEE 1003.1 §9.4 is taken: bracket expressions with classes, intervals, groups, alternatives, anchors.
What the standard leaves undefined and others read in their own ways (`(?…)`, `a**`, `\d`, back-references) is refused,
so that no pattern means something else here than its writer thought.

Names come from name servers of strangers. How long a search takes is bounded by the lengths of name and pattern, for
every pattern; intervals count as often as they may repeat, and MAX_SIZE bounds them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from workers.errors import WorkerError
from workers.policy.automaton import ALONE, END, START, Automaton, Builder, CharacterSet, Piece

MAX_INTERVAL = 255
"""RE_DUP_MAX, the least that a system must take in `{m,n}`."""
MAX_SIZE = 512
"""How many characters a pattern may have, sets and dots counted as one, with its intervals written out.

Twice the length of a name. The worst pattern of this size costs a worker 5 ms for a name of 253 characters that is like
none before, a usual one 0.1 ms; the worst of twice this size costs 40 ms.
"""

_CLASSES = {
    "alnum": "09AZaz",
    "alpha": "AZaz",
    "blank": "  \t\t",
    "cntrl": "\x00\x1f\x7f\x7f",
    "digit": "09",
    "graph": "!~",
    "lower": "az",
    "print": " ~",
    "punct": "!/:@[`{~",
    "space": "\t\r  ",
    "upper": "AZ",
    "xdigit": "09AFaf",
}
"""The first and the last character of each range."""
_ANY = CharacterSet((), negated=True)
_INTERVAL = re.compile(r"\{([0-9]{0,4})(?:(,)([0-9]{0,4}))?\}")
_NAMED = re.compile(r"\[([:=.])(?:(.*?)\1\])?", re.DOTALL)
"""A class, an equivalence class or a collating element; group 2 is missing if nothing ends it."""

_Ranges = list[tuple[str, str]]


class PatternError(WorkerError):
    """A pattern is no extended regular expression, or too large; offset counts characters from 0."""

    def __init__(self, pattern: str, offset: int, why: str) -> None:
        super().__init__(pattern, offset, why)
        self.pattern = pattern
        self.offset = offset
        self.why = why

    def __str__(self) -> str:
        return f"/{self.pattern}/ at character {self.offset + 1}: {self.why}"


def compile_pattern(pattern: str) -> Automaton:
    """Compile a pattern, to be used with `search`; letters match in either case. Raises PatternError."""
    return _Compiler(pattern).run()


@dataclass(slots=True)
class _Group:
    """A group being read: where it began, its alternatives before this one, and this one so far."""

    offset: int
    before: Piece
    sequence: Piece


class _Compiler:
    """One pass over a pattern. An atom waits until it is known whether a repetition follows."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._offset = 0
        self._builder = Builder()
        self._groups: list[_Group] = []
        self._atom: Piece | None = None

    def run(self) -> Automaton:
        special: dict[str, Callable[[], None]] = {
            "(": self._open,
            ")": self._close,
            "|": self._alternative,
            "[": self._bracket,
            "\\": self._escape,
            "^": lambda: self._anchor(START),
            "$": lambda: self._anchor(END),
            ".": lambda: self._characters(_ANY, self._offset - 1),
            "*": lambda: self._repeat(self._offset - 1, 0, None),
            "+": lambda: self._repeat(self._offset - 1, 1, None),
            "?": lambda: self._repeat(self._offset - 1, 0, 1),
            "{": self._interval,
        }
        self._begin_group(0)
        while self._offset < len(self._pattern):
            character = self._pattern[self._offset]
            self._offset += 1
            if character in special:
                special[character]()
            else:
                self._literal(character, self._offset - 1)
        if len(self._groups) > 1:
            raise self._error("the group is not closed", self._groups[-1].offset)
        return self._builder.finish(self._end_group())

    def _error(self, why: str, offset: int | None = None) -> PatternError:
        return PatternError(self._pattern, self._offset - 1 if offset is None else offset, why)

    # --- groups and alternatives ---

    def _begin_group(self, offset: int) -> None:
        self._groups.append(_Group(offset, self._builder.empty(0), self._builder.empty()))

    def _end_group(self) -> Piece:
        self._settle()
        group = self._groups.pop()
        return group.before.either(group.sequence)

    def _open(self) -> None:
        self._settle()
        self._begin_group(self._offset - 1)

    def _close(self) -> None:
        if len(self._groups) == 1:
            raise self._error("no group is open")
        self._atom = self._end_group()

    def _alternative(self) -> None:
        self._settle()
        group = self._groups[-1]
        group.before = group.before.either(group.sequence)
        group.sequence = self._builder.empty()

    def _settle(self) -> None:
        """Lay the atom that waits to the others: nothing repeats it any more."""
        if self._atom is not None:
            self._extend(self._atom)
            self._atom = None

    def _extend(self, piece: Piece) -> None:
        group = self._groups[-1]
        group.sequence = self._builder.sequence(group.sequence, piece)

    # --- atoms and repetitions ---

    def _characters(self, characters: CharacterSet, offset: int) -> None:
        self._settle()
        self._check_size(1, offset)
        self._atom = self._builder.one(characters)

    def _literal(self, character: str, offset: int) -> None:
        self._characters(CharacterSet(((character, character),)), offset)

    def _anchor(self, place: int) -> None:
        self._settle()
        self._extend(self._builder.empty(place | ALONE))

    def _escape(self) -> None:
        start = self._offset - 1
        if self._offset == len(self._pattern):
            raise self._error("nothing follows the backslash")
        character = self._pattern[self._offset]
        self._offset += 1
        if character.isalnum():
            raise self._error(f"\\{character} has no meaning in an extended regular expression", start)
        self._literal(character, start)

    def _interval(self) -> None:
        start = self._offset - 1
        match = _INTERVAL.match(self._pattern, start)
        if match is None or not (match[1] or match[3]):
            raise self._error("wanted {n}, {n,}, {n,m} or {,m}")
        least = int(match[1] or 0)
        most = least if match[2] is None else int(match[3]) if match[3] else None
        if max(least, most or 0) > MAX_INTERVAL or (most is not None and least > most):
            raise self._error(f"an interval's bounds ascend and are at most {MAX_INTERVAL}")
        self._repeat(start, least, most)
        self._offset = match.end()

    def _repeat(self, offset: int, least: int, most: int | None) -> None:
        if self._atom is None:
            raise self._error("nothing stands before it that could be repeated", offset)
        written_out = self._builder.written_out(self._atom, least, most)
        self._check_size(written_out - (self._builder.size - self._atom.start), offset)
        self._atom = self._builder.repeated(self._atom, least, most)
        self._settle()

    def _check_size(self, more: int, offset: int) -> None:
        if self._builder.size + more > MAX_SIZE:
            raise self._error(f"with its intervals written out the pattern has more than {MAX_SIZE} characters", offset)

    # --- bracket expressions ---

    def _bracket(self) -> None:
        start = self._offset - 1
        negated = self._pattern.startswith("^", self._offset)
        self._offset += negated
        ranges: _Ranges = []
        while not ranges or not self._pattern.startswith("]", self._offset):
            ranges.extend(self._bracket_member(start))
        self._offset += 1
        self._characters(CharacterSet(tuple(ranges), negated), start)

    def _bracket_member(self, start: int) -> _Ranges:
        """Read one class, range or character; none is empty, so a `]` before all of them is a character."""
        named = self._named()
        if named is not None and named[1] == ":":
            if named[2] not in _CLASSES:
                raise self._error(f"there is no class [:{named[2]}:]", self._offset)
            self._offset = named.end()
            ends = _CLASSES[named[2]]
            return list(zip(ends[::2], ends[1::2], strict=True))
        first = self._bracket_character(start)
        ahead = self._pattern[self._offset : self._offset + 2]
        if not ahead.startswith("-") or ahead == "-]":
            return [(first, first)]
        self._offset += 1
        last = self._bracket_character(start)
        if last < first:
            raise self._error(f"the range {first}-{last} is empty", start)
        return [(first, last)]

    def _bracket_character(self, start: int) -> str:
        if self._offset >= len(self._pattern):
            raise self._error("the bracket expression is not closed", start)
        named = self._named()
        if named is None:
            self._offset += 1
            return self._pattern[self._offset - 1]
        if named[1] == ":" or len(named[2]) != 1:
            raise self._error(f"{named[0]} does not stand for one character", self._offset)
        self._offset = named.end()
        return named[2]

    def _named(self) -> re.Match[str] | None:
        """Return what begins here as `[:`, `[=` or `[.` do; none of these is a character of its own."""
        named = _NAMED.match(self._pattern, self._offset)
        if named is not None and named[2] is None:
            raise self._error(f"{named[0]} is not closed; wanted {named[1]}]", self._offset)
        return named
