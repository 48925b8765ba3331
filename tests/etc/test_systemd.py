"""Units for systemd: valid, sandboxed as far as documented, and the proxy does with what they leave it.

No systemd runs in the tests: what a unit forbids is compared with what the proxies are seen to do (strace), while the
rights that a unit denies them are taken away (setpriv).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.installed import UDP_PROXY, requires_installed
from tests.kit.place import Namespace
from tests.kit.process import Process
from tests.kit.requirement import requires_namespaces, requires_program

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "etc" / "systemd"
TEMPLATES = ("udp-proxy@.service", "uftpproxyd@.service")
WRITABLE = ("/run/", "/var/log/", "/tmp/", "/dev/", "/proc/self/fd/")
PRODUCTION = (ROOT / "docs" / "production.md").read_text()

pytestmark = requires_program("systemd-analyze")


def analyse(*words: str | Path) -> str:
    done = subprocess.run(["systemd-analyze", *words], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def counted(unit: str) -> dict[str, str]:
    """Return what a unit leaves open, as systemd-analyze calls it, and how much of the exposure each makes."""
    found = json.loads(analyse("security", "--offline=yes", "--json=short", UNITS / unit))
    return {each["name"]: each["exposure"] for each in found if each["set"] is False and each["exposure"]}


def test_every_point_of_exposure_has_its_reason_and_no_other_is_given() -> None:
    table = PRODUCTION.partition("| what it counts |")[2].partition("\n\n")[0]
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert all(len(reason.strip("| ")) > 10 for _, reason in rows)
    given = dict(re.findall(r"`([^`]+)` ([0-9.]+)", "\n".join(row[0] for row in rows).replace("\\|", "|")))
    assert given == counted(TEMPLATES[0]) | counted(TEMPLATES[1])


@pytest.mark.parametrize("unit", TEMPLATES)
def test_the_whole_exposure_is_what_the_page_says(unit: str) -> None:
    (whole,) = re.findall(r"Overall exposure level .*: ([0-9.]+) ", analyse("security", "--offline=yes", UNITS / unit))
    assert f"{whole} for `{unit.removesuffix('.service')}`" in PRODUCTION


def test_every_unit_is_valid(tmp_path: Path) -> None:
    units = sorted(UNITS.iterdir())
    assert {unit.suffix for unit in units} == {".service", ".socket"}
    places = [tmp_path / unit.name.replace("@", "@x") for unit in units]
    for unit, place in zip(units, places, strict=True):
        text = re.sub(r"/usr/sbin/[\w-]+", "/bin/true", unit.read_text())
        place.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE))
    # The one says which sockets by itself, the other by an administrator's file.
    with (tmp_path / "udp-proxy@x.socket").open("a") as file:
        file.write("[Socket]\nListenDatagram=192.0.2.1:53\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", *places], check=False, capture_output=True, text=True, timeout=60
    )
    assert [line for line in done.stderr.splitlines() if "@x" in line or str(tmp_path) in line] == []


@pytest.mark.parametrize(("unit", "families"), [("udp-proxy@.socket", "ipv6-only"), ("uftpproxyd@.socket", "both")])
def test_a_socket_unit_binds_as_the_proxy_wants_it(unit: str, families: str) -> None:
    lines = (UNITS / unit).read_text().splitlines()
    assert f"BindIPv6Only={families}" in lines
    assert "PassPacketInfo=yes" in lines
    assert not any(line.startswith("ListenStream=") for line in lines)


_CONFIGURATION = """version KERNUN-2_3-RELEASE;
udp-proxy SANDBOX {{
  nodaemon;
  app-user nobody;
  chroot-dir "{folder}";
  listen-on {{ transparent [127.0.0.1] port 53; }}
  udpserver {{ max-sessions 10; workers 1; }}
  control {{ group adm; }}
  session-acl ALL {{ to {{ [127.0.0.1] }}; accept; source-address client; timeout both 5; }}
}}
"""
LOOKED_AT = {"execve", "mmap", "mprotect", "openat", "recvfrom", "setresuid", "socket"}
"""Calls whose arguments matter, or that show that anything was seen at all."""
UFTPPROXYD = UDP_PROXY.with_name("uftpproxyd")


def directives(unit: str, name: str) -> list[str]:
    """Return the words of all lines of a directive."""
    lines = re.findall(rf"^{name}=(.*)$", (UNITS / unit).read_text(), re.MULTILINE)
    return [word for line in lines for word in line.split()]


def members(group: str) -> set[str]:
    """Return the system calls of one of systemd's groups, those of groups within it too."""
    words = re.findall(r"^    ([@\w-]+)$", analyse("syscall-filter", group), re.MULTILINE)
    return {call for word in words for call in (members(word) if word[0] == "@" else {word})}


def permitted_calls(unit: str) -> set[str]:
    """Return the system calls that a unit leaves its service. Source: systemd.exec(5), SystemCallFilter."""
    found: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", (UNITS / unit).read_text(), re.MULTILINE):
        named = {call for word in line.lstrip("~").split() for call in (members(word) if word[0] == "@" else {word})}
        found = found - named if line[0] == "~" else found | named
    return found | members("@default")


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Namespace]:
    made = Namespace(f"pxd-{os.getpid()}-0-unit")
    made.make()
    yield made
    made.close()


def traced(space: Namespace, unit: str, trace: Path, *argv: str | Path) -> Process:
    """Start a daemon with a unit's rights, its system calls being written down; return it when it serves."""
    rights = ",".join(f"+{word.removeprefix('CAP_').lower()}" for word in directives(unit, "CapabilityBoundingSet"))
    # ProtectProc=invisible: nobody's processes are seen but one's own, and those that group 0 may see.
    proc = ["unshare", "--mount", "sh", "-euc", 'mount -t proc -o hidepid=2 proc /proc; umask 077; exec "$@"', "sh"]
    sandbox = ["setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set=-all,{rights}"]
    # What is permitted anyway goes its way at full speed.
    calls = "!" + ",".join(f"?{call}" for call in sorted(permitted_calls(unit) - LOOKED_AT))
    strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "200", "-e", f"trace={calls}", "-o", trace]
    process = space.popen([*proc, *strace, *sandbox, *argv])
    process.wait_for("UDPS-700-K|Serving|uftpproxyd .*, client proxy")
    return process


def order_about(space: Namespace, process: Process, folder: Path) -> None:
    """Have a daemon whose files are sandbox.ctl and sandbox.pid reload, be taken over, and end; strace ends with it."""
    for order in ("status", "reload", "upgrade"):
        space.run([UDP_PROXY.with_name("proxyctl"), "-s", folder / "sandbox.ctl", order])
    os.kill(int((folder / "sandbox.pid").read_text()), signal.SIGTERM)
    process.wait()


def check(unit: str, trace: str) -> None:
    """Compare what was done with what the unit leaves; what setpriv does comes before the second execve."""
    done = trace.split("execve(", 2)[2]
    called = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", done, re.MULTILINE))
    assert {"setresuid", "recvfrom"} <= called
    assert called - permitted_calls(unit) == set()
    assert re.findall(r"mprotect\(.*PROT_EXEC|mmap\(.*PROT_WRITE\|PROT_EXEC", done) == []
    assert set(re.findall(r"socket\((AF_\w+)", done)) <= set(directives(unit, "RestrictAddressFamilies"))
    written = re.findall(r'openat\([^"]*"([^"]+)", [^)\n]*O_(?:WRONLY|RDWR|CREAT)', done)
    assert [path for path in written if not path.startswith(WRITABLE)] == []


@requires_namespaces
@requires_installed
@requires_program("setpriv", "strace", "unshare")
def test_udp_proxy_does_with_what_its_unit_leaves_it(space: Namespace, tmp_path: Path) -> None:
    configuration, trace = tmp_path / "sandbox.cfg", tmp_path / "trace"
    configuration.write_text(_CONFIGURATION.format(folder=tmp_path))
    process = traced(space, TEMPLATES[0], trace, UDP_PROXY, "-P", tmp_path / "sandbox.pid", "-f", configuration)
    order_about(space, process, tmp_path)
    check(TEMPLATES[0], trace.read_text())


@requires_namespaces
@requires_installed
@requires_program("setpriv", "strace", "unshare")
def test_uftpproxyd_does_with_what_its_unit_leaves_it(space: Namespace, tmp_path: Path) -> None:
    trace, socket = tmp_path / "trace", tmp_path / "sandbox.ctl"
    space.configure(
        [
            "link add eth0 type veth peer name far0",
            "link set far0 up",
            "addr add 192.0.2.1/24 dev eth0",
            "link set eth0 up",
        ]
    )
    options = ["-c", "-d", "-O", "eth0", "-U", "0xc0c0", "-K", "rsa:2048", "--chroot", tmp_path, "--control", socket]
    process = traced(space, TEMPLATES[1], trace, UFTPPROXYD, *options, "-P", tmp_path / "sandbox.pid")
    order_about(space, process, tmp_path)
    check(TEMPLATES[1], trace.read_text())
