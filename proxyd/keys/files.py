"""Private keys in files: read as they are found, written so that only their owner can read them.

Source: uftp_keymgt(1), uftpproxyd(1) -k; UFTP 4.10.2, observed (which writes 0644).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from proxyd.errors import ProxydError
from workers.errors import KeyRefused, PassphraseWanted
from workers.uftp.fingerprint import format_fingerprint
from workers.uftp.keys import PrivateKey, fingerprint_of
from workers.uftp.pem import decode_pem, encode_pem

MAX_FILE_BYTES = 65_536
"""An RSA key of 4,096 bits takes 3,300."""
OWNER_ONLY = 0o600

AskPassphrase = Callable[[str], bytes]
"""Asks the operator for the passphrase of the file of this name."""


class KeyFileError(ProxydError):
    """A key file cannot be read, written or used."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


def read_key(path: str, ask: AskPassphrase | None = None) -> PrivateKey:
    """Return the key of a file. ask: called once if it is encrypted, None: such files are refused.

    Raises KeyFileError."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_FILE_BYTES)
        return _decode(path, text, ask)
    except OSError as error:
        raise KeyFileError(path, error.strerror or str(error)) from error
    except KeyRefused as error:
        raise KeyFileError(path, error.why) from error


def _decode(path: str, text: bytes, ask: AskPassphrase | None) -> PrivateKey:
    try:
        return decode_pem(text)
    except PassphraseWanted:
        if ask is None:
            raise
        return decode_pem(text, ask(path))


def write_key(path: str, key: PrivateKey) -> None:
    """Write a key to a file that does not exist yet, unencrypted, mode 0600. Raises KeyFileError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
    except FileExistsError as error:
        raise KeyFileError(path, "the file is there already, and is not written over") from error
    except OSError as error:
        raise KeyFileError(path, error.strerror or str(error)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode_pem(key))
    except OSError as error:
        Path(path).unlink()
        raise KeyFileError(path, error.strerror or str(error)) from error


def is_exposed(path: str) -> bool:
    """Return whether others than its owner may read a key file. Raises KeyFileError."""
    try:
        return bool(Path(path).stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError as error:
        raise KeyFileError(path, error.strerror or str(error)) from error


def describe(name: str, key: PrivateKey) -> str:
    """Return the line that shows a key, in the words of uftp_keymgt."""
    return f"{name}: {key.public.title}, fingerprint: {format_fingerprint(fingerprint_of(key.public))}"
