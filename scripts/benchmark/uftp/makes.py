"""The two makes of proxy, and how every program of a transfer is called."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..errors import CannotMeasure
from .chain import BELOW_ADDRESS

PORT = 1044
CLIENT_UID, ABOVE_UID, BELOW_UID = "0x00001111", "0x0000A0A0", "0x0000C0C0"
_PUBLIC, _PRIVATE = "230.4.4.1", "230.5.5.10"
_RSA = ("-K", "rsa:1024")


@dataclass(frozen=True, slots=True)
class Suite:
    """How a transfer is encrypted: options of the server, and of proxies and client."""

    server: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


SUITES = {
    "plain": Suite(),
    "gcm": Suite(("-Y", "aes256-gcm", "-h", "sha256", "-e", "rsa", "-K", "1024"), _RSA),
    "hmac": Suite(("-Y", "aes256-cbc", "-h", "sha256", "-w", "hmac", "-e", "rsa", "-K", "1024"), _RSA),
    "keyex": Suite(("-Y", "aes128-cbc", "-h", "sha256", "-w", "keyex", "-e", "rsa", "-K", "1024"), _RSA),
}


@dataclass(frozen=True, slots=True)
class Make:
    """A proxy program: its name in the report, how it is called, and options that only it has."""

    name: str
    command: tuple[str, ...]
    options: tuple[str, ...] = ()


def original() -> Make:
    """Return the original. Raises CannotMeasure when its suite is not installed."""
    for program in ("uftp", "uftpd", "uftpproxyd"):
        if shutil.which(program) is None:
            raise CannotMeasure(f"{program} is not installed (Debian: uftp)")
    return Make("uftpproxyd", ("uftpproxyd",))


def ours(checkout: Path, workers: int) -> Make:
    """Return the one of a checkout, as it is installed in its .venv. Raises CannotMeasure when it is not."""
    installed, python = checkout / ".venv/bin/uftpproxyd", checkout / ".venv/bin/python"
    if installed.is_file():
        command: tuple[str, ...] = (str(installed),)
    elif os.access(python, os.X_OK) and (checkout / "proxyd/cli/uftpproxyd.py").is_file():
        command = (str(python), "-m", "proxyd.cli.uftpproxyd")
    else:
        raise CannotMeasure(f"no uftpproxyd in {checkout}")
    return Make("ours", command, ("--workers", str(workers)))


def above(make: Make, suite: Suite, buffer_bytes: int) -> list[str]:
    """Return the command line of a server proxy. It has no use for keys."""
    places = ["-s", BELOW_ADDRESS, "-I", "lan1", "-O", "lan2", "-M", _PUBLIC]
    return [*make.command, *places, "-d", "-U", ABOVE_UID, "-B", str(buffer_bytes), *make.options]


def below(make: Make, suite: Suite, buffer_bytes: int) -> list[str]:
    """Return the command line of a client proxy."""
    places = ["-c", "-I", "lan3", "-O", "lan3"]
    return [*make.command, *places, "-d", "-U", BELOW_UID, "-B", str(buffer_bytes), *suite.others, *make.options]


def client(suite: Suite, directory: Path, buffer_bytes: int) -> list[str]:
    """Return the command line of the client, which writes to directory."""
    places = ["-I", "lan3", "-D", str(directory)]
    return ["uftpd", *places, "-d", "-q", "-U", CLIENT_UID, "-B", str(buffer_bytes), *suite.others]


def server(suite: Suite, rate_mbit: int, buffer_bytes: int, proxies: Path, file: Path) -> list[str]:
    """Return the command line of the server: to one known client behind the proxy that the file proxies names."""
    places = ["-I", "lan1", "-M", _PUBLIC, "-P", _PRIVATE, "-H", CLIENT_UID, "-j", str(proxies), "-S", "@LOG"]
    speed = ["-R", str(rate_mbit * 1_000), "-B", str(buffer_bytes)]
    return ["uftp", "-U", "0x00005555", "-T", *places, *speed, *suite.server, str(file)]
