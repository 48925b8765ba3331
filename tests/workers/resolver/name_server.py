"""A real name server on loopback, with the zone example.test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.kit.place import Place
from tests.kit.ports import free_port
from tests.kit.process import ProcessError
from tests.kit.requirement import find_program
from workers.contract.settings import Address, ResolverSettings
from workers.resolver.system import Prepared, prepare

LOOPBACK = Address(4, 0x7F000001)
NOWHERE = Path("/nonexistent")
ZONE = """\
$ORIGIN example.test.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
www 30 A 192.0.2.1
www 20 AAAA 2001:db8::1
four 40 A 192.0.2.4
six 50 AAAA 2001:db8::6
mapped A 192.0.2.7
mapped AAAA ::ffff:192.0.2.7
alias 10 CNAME www
far CNAME other.example.org.
text TXT "no address here"
deep.sub A 192.0.2.9
"""
CONF = """\
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  zonesdir: "{place}"
  pidfile: "{place}/pid"
  zonelistfile: "{place}/zonelist"
  xfrdir: "{place}"
  xfrdfile: ""
  database: ""
  verbosity: 2
remote-control:
  control-enable: no
zone:
  name: example.test
  zonefile: zone
"""


def start_name_server(here: Place, directory: Path, *records: str) -> int:
    """Start a name server that serves ZONE and more records, from files in directory; return its port."""
    program = find_program("nsd")
    if program is None:
        raise ProcessError("there is no nsd")
    port = free_port()
    directory.joinpath("zone").write_text(ZONE + "".join(f"{record}\n" for record in records))
    conf = directory / "nsd.conf"
    conf.write_text(CONF.format(port=port, place=directory))
    here.popen([program, "-d", "-c", conf]).wait_for("nsd started")
    return port


def settings_for(port: int, timeout_s: float = 10, search: tuple[str, ...] = ()) -> ResolverSettings:
    """Return settings that ask only the server on port."""
    return ResolverSettings(((LOOPBACK, port),), search, conf_timeout_ns=int(timeout_s * 1e9))


def prepared_for(settings: ResolverSettings, hosts: Path = NOWHERE, reverse_s: float = 10) -> Prepared:
    """Prepare without this machine's own hosts and name servers."""
    return replace(prepare(settings, NOWHERE, hosts), reverse_timeout_ns=int(reverse_s * 1e9))
