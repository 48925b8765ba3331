"""A command line read again while its proxy runs, or by the program that takes it over: files, lists, names, addresses.

What cannot change under transfers stays as it was: the proxy's ID, the IP version of its socket, keys that it has made
itself. A key file, a list, or a host's address may be another one. Source: uftpproxyd(8), SIGNALS.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import msgspec

from proxyd.daemon.reading import Reading
from proxyd.daemon.spawn import WorkerMain
from proxyd.uftp.compiler import compile_frame, compile_settings
from proxyd.uftp.interfaces import list_interfaces
from proxyd.uftp.keyload import KeyLoadError, Keys, load_keys, title_of
from proxyd.uftp.options import CommandLine, OptionError
from workers import uftploop
from workers.contract.settings import Settings
from workers.contract.uftp import Mode, UftpSettings
from workers.errors import KeyRefused
from workers.uftp.keyring import KeyRing, warm
from workers.uftp.keys import EcPrivateKey
from workers.uftp.pem import decode_pem, encode_pem


class Private(msgspec.Struct, frozen=True):
    """A proxy's private keys in PEM: those that it was given or told to make, its ECDH key, and throw-away ones."""

    keys: list[bytes]
    ecdh: bytes | None
    made: list[bytes]


class Program:
    """One proxy as its command line has it. settings, keys: as they were when it began."""

    def __init__(self, line: CommandLine, settings: UftpSettings, keys: Keys) -> None:
        self._line = line
        self._settings = settings
        self._keys = keys
        self._workers = compile_frame(line, settings).workers

    @property
    def text(self) -> str:
        """The command line, in a form that other versions understand."""
        return text_of(self._line)

    def worker(self) -> WorkerMain:
        """Return the workers' loop, with the settings and keys there are."""
        return _worker(self._settings, self._keys)

    def read(self) -> Reading:
        """Read everything again that the command line names. Raises OptionError, KeyLoadError, SetupError."""
        settings, keys = self.look()
        # How many workers there are by default was settled at the start.
        frame = dataclasses.replace(compile_frame(self._line, settings), workers=self._workers)
        return Reading(frame, text=self.text, worker=_worker(settings, keys))

    def look(self) -> tuple[UftpSettings, Keys]:
        """Return the settings and keys as the files, names and interfaces have them now. Raises as read does."""
        settings = compile_settings(self._line, list_interfaces())
        if settings.version != self._settings.version:
            raise OptionError(
                f"found addresses of IPv{settings.version} for the proxy's one socket, which is of "
                f"IPv{self._settings.version}; that takes a restart"
            )
        keys = self._load_again()
        return dataclasses.replace(settings, uid=self._settings.uid, crypto=keys.crypto), keys

    def private(self) -> bytes:
        """Return the keys that a successor must have too."""
        ring = self._keys.ring
        ecdh = None if ring.ecdh is None else encode_pem(ring.ecdh)
        return msgspec.msgpack.encode(
            Private(list(map(encode_pem, ring.configured)), ecdh, list(map(encode_pem, ring.made)))
        )

    def inherit(self, private: bytes) -> WorkerMain:
        """Take a predecessor's keys in the place of those that were to be made; return the workers' loop with them.

        Raises KeyLoadError: they cannot be read.
        """
        try:
            found = msgspec.msgpack.decode(private, type=Private)
            own = self._keys.ring.configured
            if self._line.new_keys or not self._line.key_files:
                own = tuple(map(decode_pem, found.keys))
            ecdh = None if found.ecdh is None else decode_pem(found.ecdh)
            ring = KeyRing(own, os.urandom, ecdh if isinstance(ecdh, EcPrivateKey) else None)
            for text in found.made:
                ring.readopt(decode_pem(text))
        except (msgspec.MsgspecError, KeyRefused) as error:
            raise KeyLoadError(f"the keys that were left: {error}") from error
        crypto = dataclasses.replace(self._keys.crypto, keys=tuple(map(encode_pem, own)))
        self._keys = Keys(crypto, ring, tuple(map(title_of, own)))
        self._settings = dataclasses.replace(self._settings, crypto=crypto)
        return self.worker()

    def _load_again(self) -> Keys:
        """Return the keys of the files as they are now; keys that this proxy has made are what they were."""
        if self._line.new_keys or not self._line.key_files:
            return self._keys
        keys = load_keys(self._line)
        ring = KeyRing(keys.ring.configured, os.urandom, self._keys.ring.ecdh)
        return dataclasses.replace(keys, ring=ring)


def begin(line: CommandLine) -> tuple[Program, UftpSettings, Keys]:
    """Return the program of a command line, its settings with its keys, and the keys, made and written if they are new.

    One that takes over from another makes none: they come by `Program.inherit`. Raises OptionError, KeyLoadError, and
    SetupError where no interface can be used.
    """
    line = absolute(line, Path.cwd())
    settings = compile_settings(line, list_interfaces())
    # Last, because it may write files.
    keys = load_keys(dataclasses.replace(line, new_keys=(), key_files=()) if _inherits(line) else line)
    if line.takeover and (line.new_keys or not line.key_files):
        keys = dataclasses.replace(keys, titles=())
    settings = dataclasses.replace(settings, crypto=keys.crypto)
    if settings.mode is not Mode.SERVER:
        warm(os.urandom)
    return Program(line, settings, keys), settings, keys


def absolute(line: CommandLine, directory: Path) -> CommandLine:
    """Return a command line whose files to be read are named from the root: a daemon's directory is another one."""

    def named(path: str | None) -> str | None:
        return None if path is None else str(directory / path)

    return dataclasses.replace(
        line,
        key_files=tuple(str(directory / path) for path in line.key_files),
        client_list=named(line.client_list),
        server_list=named(line.server_list),
    )


def text_of(line: CommandLine) -> str:
    """Return a command line as text; paths that are none are escaped in it."""
    return json.dumps(msgspec.to_builtins(line))


def line_of(text: str) -> CommandLine:
    """Return the command line of a text. Raises OptionError."""
    try:
        return msgspec.convert(json.loads(text), CommandLine)
    except (msgspec.MsgspecError, ValueError) as error:
        raise OptionError(f"found a command line that this version cannot read: {error}") from error


def frame_of(text: str) -> Settings:
    """Return what the frame needs of a command line as text, as this program understands it. Raises as begin does."""
    line = line_of(text)
    return compile_frame(line, compile_settings(line, list_interfaces()))


def _inherits(line: CommandLine) -> bool:
    return line.takeover and bool(line.new_keys)


def _worker(settings: UftpSettings, keys: Keys) -> WorkerMain:
    return lambda context: uftploop.run(context, settings, keys.ring)
