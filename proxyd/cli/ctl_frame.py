"""What the commands of proxyctl share: the proxy they talk to, how they print, how they end. Source: proxyctl(8)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

import msgspec

from proxyd.control import sessions
from proxyd.control.client import Connection, choose_socket
from proxyd.control.sessions import Filter


class Status(IntEnum):
    """How proxyctl ends. Source: proxyctl(8), EXIT STATUS."""

    DONE = 0
    NOT_DONE = 1
    """The proxy refuses, or there is no such session; the configuration has errors."""
    NO = 2
    """The answer is no: the datagram would be dropped, the machine is not fit."""
    USAGE = 64
    UNREACHABLE = 69
    """No proxy can be talked to, or several could."""


class UsageError(Exception):
    """An argument that only its command understands is wrong."""


def connect(arguments: argparse.Namespace) -> Connection:
    """Return a connection to the proxy that the command line means. Raises UnreachableError."""
    path = choose_socket(arguments.name) if arguments.socket is None else Path(arguments.socket)
    return Connection(path)


def put(arguments: argparse.Namespace, value: object, text: str) -> None:
    """Print what was found, for programs or for people."""
    sys.stdout.write(f"{msgspec.json.format(msgspec.json.encode(value)).decode()}\n" if arguments.json else text)


def filter_of(arguments: argparse.Namespace, ids: Sequence[str] = ()) -> Filter:
    """Return which sessions are meant. Raises SessionError."""
    return Filter(
        tuple(ids),
        None if arguments.client is None else sessions.parse_peer(arguments.client),
        None if arguments.server is None else sessions.parse_peer(arguments.server),
        arguments.acl,
        arguments.type,
        arguments.worker,
        arguments.idle,
        arguments.older,
    )
