"""From a configuration file to Settings, in one call: the way in for udp-proxy, test-udp and reload."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from proxyd.config.checker import Checker
from proxyd.config.compiler import Compiled, compile_tree
from proxyd.config.keywords import is_item
from proxyd.config.listeners import read_automatic_ports
from proxyd.config.parser import parse
from proxyd.config.unclosed import with_suspect
from proxyd.errors import ConfigError, ConfigErrors, Position

MAX_FILE_BYTES = 16 * 1024 * 1024
"""No configuration comes near; a device or a log file given by mistake is noticed."""


def load(path: Path | str) -> Compiled:
    """Read, check and compile a file. Raises ConfigErrors, also when it cannot be read."""
    return load_text(read_text(path), str(path))


def shown(path: Path | str) -> str:
    """Return a path as it can stand in any message: what of it is no text is written as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read_text(path: Path | str) -> str:
    """Return a file's text. Raises ConfigErrors when it cannot be read, or is none."""
    name = shown(path)
    start = Position(name, 1, 1)
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigErrors([ConfigError(start, "", f"the file cannot be read: {reason}", "")]) from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigErrors([ConfigError(start, "", f"the file has more than {MAX_FILE_BYTES} bytes", "")])
    return _decode(content, name)


def load_text(text: str, name: str) -> Compiled:
    """Check and compile a configuration that is at hand as text; name stands for the file in messages.

    Raises ConfigErrors.
    """
    name = shown(name)
    checker = Checker(name)
    try:
        statements = parse(text, name, is_item)
    except ConfigErrors as errors:
        raise ConfigErrors([with_suspect(error, text, name) for error in errors.errors]) from None
    tree = checker.check(statements)
    return compile_tree(tree, checker.errors, read_automatic_ports())


def _decode(content: bytes, name: str) -> str:
    """Decode UTF-8, a byte order mark apart. Raises ConfigErrors with the place of the first byte that is none."""
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        found = f"found the byte 0x{content[error.start]:02x}, which is not UTF-8 there"
        raise ConfigErrors([ConfigError(Position(name, line, column), "", found, "wanted UTF-8 text")]) from error
