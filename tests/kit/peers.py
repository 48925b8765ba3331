"""Real programs to talk to through the proxy, each with the configuration a test needs, ready when returned."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.kit.notify import NotifySocket
from tests.kit.place import Place
from tests.kit.process import Process, ProcessError
from tests.kit.requirement import find_program

READY_S = 10.0
UDP_PEER = Path(__file__).with_name("udp_peer.py")

_NSD_CONF = """
server:
  ip-address: {address}@{port}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  rrl-ratelimit: 0
  server-count: 1
remote-control:
  control-enable: no
"""

_NSD_ZONE = """zone:
  name: "{zone}"
  zonefile: "{zone}.zone"
"""

_ZONE = """$ORIGIN {zone}.
$TTL {ttl}
@ IN SOA ns hostmaster {serial} 3600 600 86400 60
@ IN NS ns
"""

_RSYSLOG_CONF = """
global(workDirectory="{folder}")
module(load="imudp")
input(type="imudp" address="{address}" port="{port}")
template(name="plain" type="string" string="%fromhost-ip% %syslogtag% %msg%\\n")
action(type="omfile" file="{folder}/received.log" template="plain" flushOnTXEnd="on" asyncWriting="off")
"""


@dataclass(frozen=True, slots=True)
class UdpPeer:
    """A running tests/kit/udp_peer.py."""

    process: Process
    address: str
    port: int

    def counts(self) -> dict[str, int]:
        """Return datagrams received, bytes, datagrams sent and different sources up to now."""
        counts: dict[str, int] = json.loads(self.process.ask("report", r"^\{"))
        return counts


@dataclass(frozen=True, slots=True)
class SyslogPeer:
    """A running rsyslogd; received: its log file as a process, to wait for lines with."""

    process: Process
    address: str
    port: int
    received: Process


def udp_peer(place: Place, mode: str, address: str, port: int = 0) -> UdpPeer:
    """Start an echo or a sink ("echo", "sink"); port 0: any."""
    process = place.popen([sys.executable, "-I", UDP_PEER, mode, address, str(port)])
    ready = process.wait_for(r"^ready ")
    return UdpPeer(process, address, int(ready.split()[-1]))


def nsd(
    place: Place, folder: Path, address: str, port: int, records: Mapping[str, str], zone: str = "example"
) -> Process:
    """Start nsd with a zone. records: owner name within the zone to type and data, {"www": "A 192.0.2.1"}.

    folder: an empty directory for its files.
    """
    return nsd_zones(place, folder, address, port, {zone: records})


def nsd_zones(place: Place, folder: Path, address: str, port: int, zones: Mapping[str, Mapping[str, str]]) -> Process:
    """Start nsd with several zones, each as in nsd; after write_zone and a SIGHUP it serves what is new."""
    conf = folder / "nsd.conf"
    parts = [_NSD_CONF.format(address=address, port=port, folder=folder)]
    for zone, records in zones.items():
        write_zone(folder, zone, records)
        parts.append(_NSD_ZONE.format(zone=zone))
    conf.write_text("".join(parts))
    process = place.popen([_program("nsd"), "-d", "-c", conf])
    process.wait_for(r"nsd started|zone \S+ is ok|signed zones")
    return process


def write_zone(folder: Path, zone: str, records: Mapping[str, str], serial: int = 1, ttl: int = 60) -> None:
    """Write a zone's file: serial must grow for what is changed to count."""
    lines = [_ZONE.format(zone=zone, serial=serial, ttl=ttl), "ns IN A 192.0.2.53\n" if "ns" not in records else ""]
    lines += [f"{name} IN {data}\n" for name, data in records.items()]
    (folder / f"{zone}.zone").write_text("".join(lines))


def rsyslogd(place: Place, folder: Path, address: str, port: int) -> SyslogPeer:
    """Start rsyslogd as a receiver only. folder: an empty directory for its files.

    Each line received is written as: source address, tag, message.
    """
    conf = folder / "rsyslog.conf"
    conf.write_text(_RSYSLOG_CONF.format(address=address, port=port, folder=folder))
    with NotifySocket(folder / "notify") as notify:
        process = place.popen([_program("rsyslogd"), "-n", "-f", conf, "-i", folder / "rsyslogd.pid"], notify.env)
        notify.wait_ready()
    return SyslogPeer(process, address, port, place.follow(folder / "received.log"))


def iperf3_server(place: Place, address: str, port: int) -> Process:
    """Start an iperf3 server for one test (its control connection is TCP, its load UDP)."""
    process = place.popen([_program("iperf3"), "--server", "--one-off", "--forceflush", "-B", address, "-p", str(port)])
    process.wait_for(r"Server listening")
    return process


def _program(name: str) -> str:
    """Return a program's full path. Raises FileNotFoundError, which requires_program spares a test."""
    path = find_program(name)
    if path is None:
        raise FileNotFoundError(name)
    return path


def tftpd(place: Place, folder: Path, address: str, port: int) -> Process:
    """Start tftpd-hpa on an empty directory that it makes; anybody may read and write there."""
    folder.mkdir()
    folder.chmod(0o777)
    folder.parent.chmod(0o755)
    host = f"[{address}]" if ":" in address else address
    options = ["--foreground", "--secure", "--create", "--permissive", "--umask", "000", "--user", "root"]
    process = place.popen([_program("in.tftpd"), *options, "--address", f"{host}:{port}", folder])
    place.call(lambda: _wait_for_socket(port))
    return process


def _wait_for_socket(port: int) -> None:
    """Return when a UDP socket is bound to a port here: not every server says when it is ready."""
    deadline = time.monotonic() + READY_S
    tables = [Path("/proc/thread-self/net") / name for name in ("udp", "udp6")]
    while not any(re.search(rf":{port:04X} 0", table.read_text()) for table in tables):
        if time.monotonic() > deadline:
            raise ProcessError(f"nobody has bound port {port}")
        time.sleep(0.02)
