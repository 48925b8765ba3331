"""Completion of the programs' options for bash, zsh and fish, from the same tables as their parsers and help.

`python -m proxyd.cli.completion DIRECTORY` writes the files; etc/completion has them. proxyctl's are written by hand,
because they ask the running proxy.
Source: bash(1), Programmable Completion; zshcompsys(1), _arguments; fish, complete.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from proxyd.cli import arguments, uftp_keymgt
from proxyd.uftp.options import OPTIONS


class Flag(NamedTuple):
    """One option: as it is typed, what its value is called ("" for none), what it does."""

    name: str
    value: str
    text: str


class Value(NamedTuple):
    """How a value is offered by each shell: a bash command that prints what fits, zsh's action, fish's flags."""

    bash: str
    zsh: str
    fish: str


_FREE = Value("", " ", "-x")
_FILE = Value('compgen -f -- "$current"', "_files", "-r -F")
_VALUES = {
    "file": _FILE,
    "directory": Value('compgen -d -- "$current"', "_directories", "-x -a '(__fish_complete_directories)'"),
    "interface": Value(
        'compgen -W "$(ls /sys/class/net)" -- "$current"', "_net_interfaces", "-x -a '(ls /sys/class/net)'"
    ),
}
"""By the first word of a value's name; what is not here is for the user to know. Alternatives a|b are offered."""

_SHORT_VALUES = {"d": "3|4|5|6|7|8|9", "f": "file", "P": "file", "t": "expression"}
_KEY_KINDS = "rsa:2048|rsa:4096|ec:prime256v1|ec:secp384r1|ec:secp521r1"


def _session_flags(program: str) -> list[Flag]:
    """The flags that the usage names, in the order of the help."""
    usage = set(re.findall(r"--?[\w-]+", arguments.USAGE[program].replace("[-hv]", "-h -v").partition(program)[2]))
    short = [
        Flag(f"-{letter}", _SHORT_VALUES.get(letter, ""), text)
        for letter, text in arguments.OPTIONS.items()
        if f"-{letter}" in usage
    ]
    return short + [
        Flag(f"--{name}", "", text) for name, text in arguments.LONG_OPTIONS.items() if f"--{name}" in usage
    ]


def _uftp_flags() -> list[Flag]:
    return [Flag(row.flag, row.value, row.text) for row in OPTIONS]


def _keymgt_flags() -> list[Flag]:
    """The flags that the help explains."""
    rows = re.findall(r"^  (-\w)  (.+)$", uftp_keymgt.HELP, re.MULTILINE)
    return [Flag(name, _KEY_KINDS if name == "-g" else "", text) for name, text in rows]


PROGRAMS: dict[str, Callable[[], list[Flag]]] = {
    "udp-proxy": partial(_session_flags, "udp-proxy"),
    "test-udp": partial(_session_flags, "test-udp"),
    "uftpproxyd": _uftp_flags,
    "uftp-keymgt": _keymgt_flags,
}
"""The programs, and where their options stand."""
TAKES_FILES = frozenset({"uftp-keymgt"})
"""Programs whose operands are files."""


def choices(value: str) -> list[str]:
    """Return the words that a value is one of; none where it is anything."""
    parts = value.split("|")
    return parts if len(parts) > 1 and all(part.replace(":", "").isalnum() for part in parts) else []


def _value(name: str) -> Value:
    words = " ".join(choices(name))
    if words:
        return Value(
            f"compgen -W '{words}' -- \"$current\"", f"({words.replace(':', chr(92) + ':')})", f"-x -a '{words}'"
        )
    return _VALUES.get(name.partition("[")[0], _FREE)


def _head(program: str, shell: str, place: str) -> str:
    return (
        f"# {shell} completion for {program}, made by python -m proxyd.cli.completion: change that, not this file.\n"
        f"# To be installed as {place}.\n"
    )


def _bash_offer(flag: Flag) -> str:
    offer = _value(flag.value).bash
    return f"mapfile -t COMPREPLY < <({offer})" if offer else ":"


def bash(program: str) -> str:
    """Return the completion for bash."""
    flags = PROGRAMS[program]()
    cases = "".join(f"        {flag.name}) {_bash_offer(flag)} ;;\n" for flag in flags if flag.value)
    names = " ".join(flag.name for flag in flags)
    rest = 'compgen -f -- "$current"' if program in TAKES_FILES else ":"
    function = f"_{program.replace('-', '_')}"
    return f"""# shellcheck shell=bash
{_head(program, "bash", f"/usr/share/bash-completion/completions/{program}")}
{function}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
    COMPREPLY=()
    case $previous in
{cases}        *)
            case $current in
                -* | "") mapfile -t COMPREPLY < <(compgen -W '{names}' -- "$current"; {rest}) ;;
                *) mapfile -t COMPREPLY < <({rest}) ;;
            esac
            ;;
    esac
}}

complete -F {function} {program}
"""


def _zsh_quoted(text: str) -> str:
    """Return a text for a specification of _arguments, within single quotes."""
    return re.sub(r"([\[\]:])", r"\\\1", text).replace("'", "'\\''")


def zsh(program: str) -> str:
    """Return the completion for zsh."""
    rows = []
    for flag in PROGRAMS[program]():
        called = "value" if choices(flag.value) else _zsh_quoted(flag.value)
        action = f":{called}:{_value(flag.value).zsh}" if flag.value else ""
        rows.append(f"    '{flag.name}[{_zsh_quoted(flag.text)}]{action}'")
    if program in TAKES_FILES:
        rows.append("    '*:file:_files'")
    lines = " \\\n".join(rows)
    place = f"/usr/share/zsh/vendor-completions/_{program}, or into another directory of $fpath"
    return f"#compdef {program}\n{_head(program, 'zsh', place)}\n_arguments \\\n{lines}\n"


def fish(program: str) -> str:
    """Return the completion for fish."""
    lines = [] if program in TAKES_FILES else [f"complete -c {program} -f"]
    for flag in PROGRAMS[program]():
        name = f"-l {flag.name[2:]}" if flag.name.startswith("--") else f"-s {flag.name[1:]}"
        text = flag.text.replace("\\", r"\\").replace("'", r"\'")
        value = f" {_value(flag.value).fish}" if flag.value else ""
        lines.append(f"complete -c {program} {name} -d '{text}'{value}")
    return (
        _head(program, "fish", f"/usr/share/fish/vendor_completions.d/{program}.fish") + "\n" + "\n".join(lines) + "\n"
    )


def files() -> dict[str, str]:
    """Return every file by its name."""
    made: dict[str, str] = {}
    for program in PROGRAMS:
        made |= {f"{program}.bash": bash(program), f"_{program}": zsh(program), f"{program}.fish": fish(program)}
    return made


if __name__ == "__main__":
    for name, content in files().items():
        Path(sys.argv[1], name).write_text(content, encoding="utf-8")
