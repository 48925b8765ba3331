"""scripts/deb: the package is installed, started by its init script, carries datagrams, is removed, and purged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kit.machine import Machine
from tests.kit.requirement import find_program, requires_program, requires_root
from tests.packaging.life import configure, passes_datagrams, status

ROOT = Path(__file__).parents[2]
WITHIN_S = 300.0

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(600),
    requires_program("dpkg-deb", "flock", "ip", "nsenter", "start-stop-daemon", "unshare"),
    requires_root,
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built here, for all tests; what is compressed less is built sooner."""
    folder = tmp_path_factory.mktemp("deb")
    done = subprocess.run(
        ["env", "DEB_COMPRESSION=gzip", ROOT / "scripts" / "deb", folder],
        check=False,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def left(machine: Machine) -> set[str]:
    """Return what belongs to the package and lies about."""
    names = " -o ".join(f"-name '*{name}*'" for name in ("udp-proxy", "test-udp", "uftpproxyd", "proxyd", "proxyctl"))
    return set(machine.shell(f"find /etc /usr /lib/systemd /var/lib/dpkg /var/log {names}").stdout.splitlines())


def test_a_package_is_installed_serves_is_removed_and_purged(machine: Machine, package: Path) -> None:
    # Where nothing may be started, which is so on many test machines, the package would not start anything either.
    machine.run(["rm", "-f", "/usr/sbin/policy-rc.d"])
    before = left(machine)
    file = machine.bring(package)
    machine.run(["dpkg", "--install", file], within_s=WITHIN_S)
    assert machine.run(["getent", "passwd", "proxyd"]).stdout.startswith("proxyd:")
    assert machine.shell("stat -c %a:%U:%G /var/log/udp-proxy").stdout == "2750:root:adm\n"
    assert machine.shell("ls /etc/rc2.d/S??udp-proxy") is not None
    assert status(machine, "udp-proxy", "status") == 3
    configure(machine)
    assert status(machine, "udp-proxy", "start") == 0
    assert passes_datagrams(machine)

    # Once more while it runs: an administrator's change stays, and so do sessions, in a new parent.
    machine.shell("echo STOP_SECONDS=11 >>/etc/default/udp-proxy")
    before_upgrade = machine.read("/run/udp-proxy-echo.pid")
    (session,) = machine.shell("proxyctl sessions | awk 'NR > 1 { print $2 }'").stdout.splitlines()
    machine.run(["dpkg", "--install", file], within_s=WITHIN_S)
    assert "STOP_SECONDS=11" in machine.read("/etc/default/udp-proxy")
    assert status(machine, "udp-proxy", "status") == 0
    assert machine.read("/run/udp-proxy-echo.pid") != before_upgrade
    assert session in machine.shell("proxyctl sessions").stdout
    assert passes_datagrams(machine)

    parent = machine.read("/run/udp-proxy-echo.pid").strip()
    machine.run(["dpkg", "--remove", "proxyd"], within_s=WITHIN_S)
    assert machine.run(["kill", "-0", parent], check=False).returncode == 1
    assert machine.shell("ls /etc/udp-proxy").stdout == "echo.cfg\n"
    assert "STOP_SECONDS=11" in machine.read("/etc/default/udp-proxy")
    machine.run(["dpkg", "--purge", "proxyd"], within_s=WITHIN_S)
    assert left(machine) == before
    assert machine.run(["getent", "passwd", "proxyd"], check=False).stdout == ""


@pytest.mark.night
@pytest.mark.skipif(find_program("lintian") is None, reason="missing: lintian (Debian: lintian)")
def test_lintian_finds_nothing(package: Path) -> None:
    done = subprocess.run(["lintian", package], check=False, capture_output=True, text=True, timeout=WITHIN_S)
    assert done.stdout == ""
