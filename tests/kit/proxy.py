"""The proxy as an administrator runs it: a configuration file, the command, and its log on standard error."""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.kit.place import Place
from tests.kit.process import Process

ROOT = Path(__file__).parents[2]
ENV = {"PYTHONPATH": str(ROOT)}
UDP_PROXY = (sys.executable, "-m", "proxyd.cli.udp_proxy")
TEST_UDP = (sys.executable, "-m", "proxyd.cli.test_udp")
"""The commands of this very tree, wherever it is installed."""
STARTED = "UDPS-700-K"

_numbers = itertools.count(1)

_TEXT = """version KERNUN-2_3-RELEASE;
udp-proxy {name} {{
  {proxy}
  listen-on {{ {listen} }}
  udpserver {{ max-sessions {sessions}; workers {workers}; }}
  {acls}
}}
"""


def unique_name() -> str:
    """Return a name for a udp-proxy section that no other test uses: pidfiles are named after it."""
    return f"T{os.getpid()}-{next(_numbers)}"


@dataclass(frozen=True)
class Configuration:
    """A udp-proxy configuration from its parts, each in the language's own words.

    listen: items of listen-on. acls: session-acl sections, see acl. proxy: further items of the udp-proxy section.
    """

    listen: str
    acls: str
    proxy: str = "nodaemon;"
    sessions: int = 1000
    workers: int = 2
    name: str = ""

    @property
    def text(self) -> str:
        """The whole file."""
        fields = {**vars(self), "name": self.name or unique_name()}
        return _TEXT.format(**fields)


def acl(plug_to: str, items: str = "timeout both 30;", name: str = "ALL") -> str:
    """Return a session-acl that accepts everybody and sends them to a sock, as `[127.0.0.1] : 53`."""
    return f"session-acl {name} {{ accept; plug-to {plug_to}; {items} }}"


def udp_proxy(place: Place, folder: Path, configuration: Configuration) -> Process:
    """Start udp-proxy in the foreground; return it once it serves. Its lines are the log (debug and stats)."""
    process = launch(place, folder, configuration.text)
    process.wait_for(STARTED)
    return process


def launch(place: Place, folder: Path, text: str) -> Process:
    """Start udp-proxy on a configuration and wait for nothing: it may be refused, or go to the background."""
    path = folder / "udp-proxy.cfg"
    path.write_text(text)
    return place.popen([*UDP_PROXY, "-f", path], ENV)
