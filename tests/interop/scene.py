"""Real UFTP programs around a proxy: what every scenario needs to start them, to send a file and to see it arrive.

Chain: LAN 1 server and server proxy, LAN 2 both proxies, LAN 3 client proxy and clients. Response: everybody on LAN 5.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.kit.lans import Lans
from tests.kit.process import Process
from tests.kit.requirement import find_program

ROOT = Path(__file__).parents[2]
ORIGINAL, OURS = "original", "ours"
COMMANDS: dict[str, list[str]] = {
    # Beside the client, where the package has put it: ours has the same name, and may come first in PATH.
    ORIGINAL: [str(Path(find_program("uftpd") or "uftpd").with_name("uftpproxyd"))],
    OURS: [sys.executable, "-m", "proxyd.cli.uftpproxyd"],
}
STARTED = {ORIGINAL: "Loaded .* key", OURS: "Proxy .* started"}
CHAIN = {
    "server": {1: 1},
    "sproxy": {1: 2, 2: 2},
    "cproxy": {2: 3, 3: 3},
    "client1": {3: 11},
    "client2": {3: 12},
}
LONG_CHAIN = CHAIN | {"sproxy": {1: 2, 4: 2}, "second": {4: 4, 2: 4}}
RESPONSE = {"server": {5: 1}, "rproxy": {5: 2}, "client1": {5: 11}, "client2": {5: 12}}
PUBLIC, PRIVATE = "230.4.4.1", "230.5.5.10"
PUBLIC6, PRIVATE6 = "ff15::4:4:1", "ff15::5:5:1"
CONFIRMED = "Group file transfer confirmed"
FAULT = re.compile("broke the contract|Unforeseen error")
WITHIN_S = 40.0
UIDS = {"server": "0x00005555", "sproxy": "0x0000A0A0", "second": "0x0000B0B0", "cproxy": "0x0000C0C0"}
UIDS |= {"rproxy": "0x0000D0D0", "client1": "0x00001111", "client2": "0x00002222"}


class Scene:
    """A network of stations with the programs that run there. directory: for files, one a client."""

    def __init__(self, stations: dict[str, dict[int, int]], directory: Path) -> None:
        self.lans = Lans(stations)
        self.directory = directory
        # The programs run as other users, or see other parents.
        for path in (directory, *directory.parents[:2]):
            path.chmod(path.stat().st_mode | 0o055)
        self.running: dict[str, Process] = {}

    def __enter__(self) -> Scene:
        self.lans.__enter__()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            for name, process in self.running.items():
                sys.stderr.write(f"--- {name}: {' '.join(process.argv)}\n{process.output}\n")
        self.lans.__exit__(kind, error, trace)
        faults = [line for process in self.running.values() for line in process.lines if FAULT.search(line)]
        assert not faults or error is not None, faults

    def start_proxy(self, station: str, program: str, *options: str) -> Process:
        """Start a proxy in the foreground and wait until it serves."""
        # Ours says all that it can: what is never said cannot be seen to be wrong.
        argv = [*COMMANDS[program], "-d", "-x", "5" if program == OURS else "2", "-U", UIDS[station], *options]
        process = self.lans[station].popen(argv, {"PYTHONPATH": str(ROOT)})
        self.running[station] = process
        process.wait_for(STARTED[program])
        return process

    def start_client(self, station: str, lan: int, *options: str, version: str = "") -> Process:
        """Start a client that receives into directory/station, and wait until it listens."""
        place = self.directory / station
        place.mkdir(exist_ok=True)
        argv = ["uftpd", "-d", "-q", "-x", "2", "-U", UIDS[station], "-I", f"lan{lan}{version}", "-D", str(place)]
        process = self.lans[station].popen([*argv, *options])
        self.running[station] = process
        process.wait_for("Loaded .* key")
        return process

    def make_file(self, name: str = "file", size: int = 200_000) -> Path:
        """Make a file of unpredictable content to send."""
        path = self.directory / name
        path.write_bytes(os.urandom(size))
        return path

    def send(self, path: Path, lan: int, *options: str, groups: Sequence[str] = (PUBLIC, PRIVATE)) -> Process:
        """Start the server, which sends a file."""
        version = "/6" if ":" in groups[0] else ""
        argv = ["uftp", "-x", "2", "-T", "-I", f"lan{lan}{version}", "-U", UIDS["server"], "-M", groups[0]]
        rate = [] if "-R" in options or "-C" in options else ["-R", "20000"]
        process = self.lans["server"].popen([*argv, "-P", groups[1], *rate, *options, str(path)])
        self.running["server"] = process
        return process

    def arrived(self, path: Path, station: str) -> bool:
        """Wait until a client has confirmed everything; tell whether the file is there, bit by bit."""
        self.running[station].wait_for(CONFIRMED, within_s=WITHIN_S)
        return (self.directory / station / path.name).read_bytes() == path.read_bytes()


def start_chain(
    scene: Scene, programs: tuple[str, str], sproxy: Sequence[str] = (), cproxy: Sequence[str] = ()
) -> None:
    """Start server proxy and client proxy of a chain. programs: which of each."""
    address = scene.lans.address4("cproxy", 2)
    scene.start_proxy("cproxy", programs[1], "-c", "-I", "lan3", "-O", "lan3", *cproxy)
    group = () if "-M" in sproxy else ("-M", PUBLIC)
    scene.start_proxy("sproxy", programs[0], "-s", address, "-I", "lan1", *group, *sproxy)
