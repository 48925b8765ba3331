"""Why an upgrade has failed, in one sentence, from what the new program wrote and how it ended. Pure.

What it wrote is made for another reader: heads of log lines, the program's own name and a usage are left out, and of a
traceback everything but what was raised. Several lines are mistakes of its configuration, and told one by one.
"""

from __future__ import annotations

import re
import signal
from typing import NamedTuple

_HEAD = re.compile(r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ \S+\[\d+(\.\d+)?\]: ([A-Z]{4}-\d{3}-[A-Z] )?")
"""Before each line of a log (proxyd.logs.lines)."""
_NAME = re.compile(r"^(udp-proxy|uftpproxyd): ")
_TRACEBACK = "Traceback "
_MISTAKES, _CANNOT_EXECUTE = 1, 127
"""Exit statuses: the configuration has mistakes, or the command line; there is no such program."""
_NOT_UP = "the new program does not come up"
MAX_LINES = 200


class Failure(NamedTuple):
    """Why, in a sentence, and the mistakes one by one where there are several."""

    why: str
    mistakes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """All of it in one line, for the log."""
        return f"{self.why}: {'; '.join(self.mistakes)}" if self.mistakes else self.why


def words_of(text: str) -> tuple[str, ...]:
    """Return what a program means that has written text, line by line."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("usage:"):
            break
        found = _NAME.sub("", _HEAD.sub("", line)).rstrip()
        if found:
            lines.append(found)
    if any(line.startswith(_TRACEBACK) for line in lines):
        lines = lines[-1:]
    return tuple(lines[:MAX_LINES])


def of_end(status: int, text: str, *, checking: bool) -> Failure:
    """Return why a program failed that has ended. status: minus the signal that ended it. checking: it was to check its
    configuration, and not to take over.
    """
    words = words_of(text)
    if status == _CANNOT_EXECUTE:
        return _failure("the new program cannot be started", words)
    if words:
        misread = checking and status == _MISTAKES and _TRACEBACK not in text
        return _failure("the new program does not take the configuration" if misread else _NOT_UP, words)
    how = f"was ended by {_name_of(-status)}" if status < 0 else f"ended with exit status {status}"
    if checking:
        return Failure(f"the new program {how} when it was to check its configuration, and said nothing")
    return Failure(f"the new program {how} before it took over; its log may say why")


def of_silence(process: int, *, checking: bool) -> Failure:
    """Return why a program failed that does nothing."""
    missing = "come to an end with its check" if checking else "ask to take over"
    return Failure(f"the new program, process {process}, does not {missing}")


def of_takeover(why: str) -> Failure:
    """Return why a program failed that had begun to take over. why: its words, or what became of it."""
    return _failure(_NOT_UP, words_of(why))


def _failure(what: str, words: tuple[str, ...]) -> Failure:
    if len(words) == 1:
        return Failure(f"{what}: {words[0]}")
    return Failure(f"{what}: {len(words)} mistakes" if words else what, words)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
