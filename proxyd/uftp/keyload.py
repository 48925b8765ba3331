"""The keys of the command line: read from files, made, or made and written to files.

Source: uftpproxyd(8), -k, -K and -e.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from proxyd.errors import ProxydError
from proxyd.keys.files import KeyFileError, read_key, write_key
from proxyd.keys.spec import WORD_BITS, KeySpec, KeySpecError, parse_curve, parse_key_spec
from proxyd.uftp.options import CommandLine, OptionError
from workers.contract.uftp import CryptoSettings
from workers.errors import KeyRefused
from workers.uftp.fingerprint import format_fingerprint
from workers.uftp.keyring import KeyRing, load
from workers.uftp.keys import PrivateKey, fingerprint_of
from workers.uftp.pem import encode_pem


class KeyLoadError(ProxydError):
    """A key cannot be read, made or written."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The proxy's keys. titles: (kind, fingerprint) of each, for the log: of a throw-away one where there is no other.

    ring: for the workers, made before any.
    """

    crypto: CryptoSettings
    ring: KeyRing
    titles: tuple[tuple[str, str], ...]


def load_keys(line: CommandLine) -> Keys:
    """Read and make the keys that a command line names.

    Raises OptionError for a kind of key or a curve that there is not, KeyLoadError for everything else.
    """
    try:
        specs = [_usable(parse_key_spec(text)) for text in line.new_keys]
        curve = None if line.curve is None else parse_curve(line.curve, usable=line.response).number
    except KeySpecError as error:
        raise OptionError(f"-K, -e: {error}") from error
    try:
        if specs:
            keys = tuple(spec.make(os.urandom) for spec in specs)
            for path, key in zip(line.key_files, keys, strict=False):
                write_key(path, key)
        else:
            keys = tuple(read_key(path) for path in line.key_files)
        crypto = CryptoSettings(
            tuple(map(encode_pem, keys)), curve if line.response else None, line.min_rsa_bits, line.strong_only
        )
        ring = load(crypto, os.urandom)
    except (KeyFileError, KeyRefused) as error:
        raise KeyLoadError(str(error)) from error
    if not keys and (line.client or line.response or line.heartbeat_hosts):
        # Which key this proxy shows must be one and the same in all workers.
        ring.first()
    return Keys(crypto, ring, tuple(map(title_of, keys or ring.made)))


def _usable(spec: KeySpec) -> KeySpec:
    if spec.bits % WORD_BITS:
        raise KeySpecError(f"rsa:{spec.bits}", f"wanted a multiple of {WORD_BITS} bits: no other fits a message")
    return spec


def title_of(key: PrivateKey) -> tuple[str, str]:
    """Return a key's kind and its fingerprint, for the log."""
    return key.public.title, format_fingerprint(fingerprint_of(key.public))
