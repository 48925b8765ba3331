"""Where a brace that is missing at the end of a file, or too many there, may be: before the first thing out of place.

The parser can only say that the file has ended, or has not. What follows a section that was not closed has become part
of it, what follows one that was not opened stands outside, and most of it may not. Source: udp-proxy.cfg(5), SYNTAX.
"""

from __future__ import annotations

from proxyd.config.checker import Checker
from proxyd.config.keywords import is_item
from proxyd.config.parser import END_OF_FILE, parse
from proxyd.errors import ConfigError, ConfigErrors

_OUT_OF_PLACE = (", which does not belong here", "' after '")
"""What the checker finds of statements in sections, or in sets, that should have ended or begun before."""


def with_suspect(error: ConfigError, text: str, name: str) -> ConfigError:
    """Return the mistake that ended the reading, for want of a brace or for one too many with what is out of place."""
    if error.path and error.found == f"found {END_OF_FILE}":
        closed = f"{text}\n{'}' * (error.path.count(' / ') + 1)}"
    elif not error.path and error.found == "found '}'":
        *before, last = text.split("\n")[: error.position.line]
        closed = "\n".join([*before, last[: error.position.column - 1]])
    else:
        return error
    suspect = _first_out_of_place(closed, name)
    if suspect is None:
        return error
    hint = f"; the first thing out of place is on line {suspect.position.line}: {suspect.found.removeprefix('found ')}"
    return ConfigError(error.position, error.path, error.found, error.wanted + hint)


def _first_out_of_place(text: str, name: str) -> ConfigError | None:
    checker = Checker(name)
    try:
        checker.check(parse(text, name, is_item))
    except ConfigErrors:
        return None
    found = [error for error in checker.errors if any(sign in error.found for sign in _OUT_OF_PLACE)]
    return min(found, key=lambda error: error.position, default=None)
