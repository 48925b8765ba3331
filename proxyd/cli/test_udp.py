"""test-udp: checks a configuration, and tries test expressions on it. Opens no socket but for names, with -r.

Source: test-udp(8).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from functools import partial

from proxyd.cli.arguments import Arguments, read_arguments
from proxyd.cli.guard import guarded
from proxyd.config.compiler import Compiled
from proxyd.config.expression import parse_expression
from proxyd.config.load import load
from proxyd.config.trial import Answer, Trial
from proxyd.errors import ConfigErrors
from workers.policy.acl import nameless
from workers.policy.hostset import NameBook
from workers.resolver.lookup import resolve_names
from workers.resolver.reverse import find_name

PROGRAM = "test-udp"
DEFAULT_LEVEL = 6
WARNING_LEVEL = 4
TRACE_LEVEL = 7


class Status(IntEnum):
    """How test-udp ends. Source: test-udp(8), EXIT STATUS."""

    VALID = 0
    INVALID = 1
    REJECTED = 2


@guarded("test-udp")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the program on these arguments, those of the process by default; return the exit status."""
    arguments = read_arguments(PROGRAM, sys.argv[1:] if argv is None else argv)
    if isinstance(arguments, int):
        return arguments
    level = DEFAULT_LEVEL if arguments.level is None else arguments.level
    try:
        compiled = load(arguments.file)
        if level >= WARNING_LEVEL:
            _print_warnings(compiled)
        book = _resolve(compiled, level) if arguments.resolve else {}
        return _test(arguments, compiled, book, level)
    except ConfigErrors as errors:
        sys.stderr.write(f"{errors}\n")
        return Status.INVALID


def _print_warnings(compiled: Compiled) -> None:
    for entry in compiled.warnings:
        sys.stderr.write(f"warning: {entry}\n")


def _resolve(compiled: Compiled, level: int) -> NameBook:
    """Return the addresses of the configuration's names, if the proxy resolves any; bounded by the conf-timeout."""
    if not compiled.settings.resolve_names:
        if compiled.names and level >= WARNING_LEVEL:
            sys.stderr.write("warning: names stay unresolved, as in the proxy, with 'cfg-resolution no'\n")
        return {}
    book = resolve_names(compiled.names, compiled.settings.resolver)
    for name in compiled.names:
        if not book.get(name) and level >= WARNING_LEVEL:
            sys.stderr.write(f"warning: the name '{name}' has no address\n")
    return book


def _test(arguments: Arguments, compiled: Compiled, book: NameBook, level: int) -> int:
    """Carry out the expression, and print the answers in its order."""
    if arguments.expression is None:
        sys.stdout.write("configuration OK\n")
        return Status.VALID
    commands = parse_expression(arguments.expression, datetime.now().astimezone())
    settings = compiled.settings.resolver
    name_of = partial(find_name, settings=settings) if arguments.resolve else nameless
    trial = Trial(compiled, book, arguments.resolve, name_of)
    status = Status.VALID
    for command in commands:
        answer = trial.run(command)
        _print_diagnosis(answer, level)
        sys.stdout.write(answer.text)
        if not answer.accepted:
            status = Status.REJECTED
    return status


def _print_diagnosis(answer: Answer, level: int) -> None:
    if level >= WARNING_LEVEL:
        sys.stderr.writelines(f"warning: {remark}\n" for remark in answer.remarks)
    if level >= TRACE_LEVEL:
        sys.stderr.writelines(f"{line}\n" for line in answer.trace)


if __name__ == "__main__":
    sys.exit(main())
