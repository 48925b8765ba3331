"""uftp-keymgt: makes and shows the keys of uftpproxyd. Source: uftp-keymgt(1)."""

from __future__ import annotations

import getopt
import getpass
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from proxyd import __version__
from proxyd.cli.arguments import UsageError
from proxyd.cli.guard import guarded
from proxyd.errors import ProxydError
from proxyd.keys.files import KeyFileError, describe, is_exposed, read_key, write_key
from proxyd.keys.spec import WORD_BITS, KeySpec, KeySpecError, parse_key_spec
from workers.uftp.curves import AVAILABLE
from workers.uftp.fingerprint import format_fingerprint
from workers.uftp.keys import PrivateKey, fingerprint_of

PROGRAM = "uftp-keymgt"
LARGEST_RSA_BITS = 2048
"""That the original programs take. Source: UFTP 4.10.2, observed."""
USAGE = """\
usage: uftp-keymgt [-fm] key_file ...
       uftp-keymgt [-fm] -g {rsa:key_length | ec:curve} key_file
       uftp-keymgt -h | -v
"""
HELP = f"""\
{USAGE}\
  -f  print the fingerprints only
  -g  make a key of this kind and write it to the file, which must not exist
  -h  print this text
  -m  nothing: taken for the sake of uftp_keymgt
  -v  print the version
curves: {" ".join(AVAILABLE)}
"""


class Status(IntEnum):
    """How uftp-keymgt ends. Source: uftp-keymgt(1), EXIT STATUS."""

    DONE = 0
    USAGE = 1
    KEY = 3


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a command line asks for. spec: the kind of key to make, None: show those of the files."""

    files: tuple[str, ...] = ()
    spec: KeySpec | None = None
    is_brief: bool = False
    text: str = ""
    """To print, instead of all else."""


@guarded(PROGRAM)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the program on these arguments, those of the process by default; return the exit status."""
    try:
        arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    except UsageError as error:
        sys.stderr.write(f"{PROGRAM}: {error.why}\n{USAGE}")
        return Status.USAGE
    if arguments.text:
        sys.stdout.write(arguments.text)
        return Status.DONE
    if arguments.spec:
        return _make(arguments, arguments.spec)
    return max(_show(file, arguments) for file in arguments.files)


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Parse the arguments behind the program's name. Raises UsageError."""
    try:
        options, files = getopt.getopt(list(argv), "d:fg:hmv", ("help", "version"))
        given = dict(options)
        spec = parse_key_spec(given["-g"]) if "-g" in given else None
    except getopt.GetoptError as error:
        raise UsageError(str(error)) from error
    except KeySpecError as error:
        raise UsageError(f"-g: {error}") from error
    if "-h" in given or "--help" in given:
        return Arguments(text=HELP)
    if "-v" in given or "--version" in given:
        return Arguments(text=f"{PROGRAM} (proxyd {__version__})\n")
    if "-d" in given:
        raise UsageError("-d is for Windows; here a key is a file, which rm deletes")
    if spec and len(files) != 1:
        raise UsageError(f"found {len(files)} files; wanted one with -g")
    if not files:
        raise UsageError("found no file; wanted at least one")
    return Arguments(tuple(files), spec, "-f" in given)


def _make(arguments: Arguments, spec: KeySpec) -> Status:
    (file,) = arguments.files
    try:
        key = spec.make(os.urandom)
        write_key(file, key)
    except ProxydError as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return Status.KEY
    for warning in _warnings(spec):
        sys.stderr.write(f"{PROGRAM}: warning: {warning}\n")
    _print(file, key, arguments)
    return Status.DONE


def _warnings(spec: KeySpec) -> list[str]:
    """Return what speaks against a kind of key."""
    warnings = []
    if spec.bits > LARGEST_RSA_BITS:
        warnings.append(f"programs of UFTP 4.10.2 crash on RSA keys of more than {LARGEST_RSA_BITS} bits")
    if spec.bits % WORD_BITS:
        warnings.append(f"no message has room for a key of {spec.bits} bits: that needs a multiple of {WORD_BITS}")
    return warnings


def _show(file: str, arguments: Arguments) -> Status:
    try:
        key = read_key(file, _ask)
        if is_exposed(file):
            sys.stderr.write(f"{PROGRAM}: warning: {file}: others than its owner may read it\n")
    except KeyFileError as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return Status.KEY
    _print(file, key, arguments)
    return Status.DONE


def _print(file: str, key: PrivateKey, arguments: Arguments) -> None:
    line = format_fingerprint(fingerprint_of(key.public)) if arguments.is_brief else describe(file, key)
    sys.stdout.write(f"{line}\n")


def _ask(file: str) -> bytes:
    """Ask on the terminal; who cannot answer gives the empty passphrase, which fits no key."""
    try:
        return getpass.getpass(f"passphrase of {file}: ").encode()
    except EOFError:
        return b""


if __name__ == "__main__":
    sys.exit(main())
