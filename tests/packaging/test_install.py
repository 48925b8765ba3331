"""scripts/install: what it installs works, its renewal keeps an administrator's changes, and it can be taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.machine import Machine
from tests.kit.requirement import requires_program, requires_root
from tests.packaging.life import configure, passes_datagrams, status

INSTALL = Path(__file__).parents[2] / "scripts" / "install"

pytestmark = [
    # Every night; at all times getting-started.md installs, and uninstalls, and so does the package.
    pytest.mark.night,
    pytest.mark.alone,
    pytest.mark.timeout(600),
    requires_program("fish", "flock", "ip", "mandoc", "nsenter", "start-stop-daemon", "unshare"),
    requires_root,
]


def files(machine: Machine) -> set[str]:
    """Return every file of ours that lies about, but for logs."""
    where = "/usr/local /etc /usr/lib/systemd /lib/systemd /var/log"
    found = machine.shell(
        f"find {where} -name '*udp-proxy*' -o -name '*uftpproxyd*' -o -name '*proxyd*' -o -name test-udp*"
    )
    return {line for line in found.stdout.splitlines() if not line.startswith(("/usr/local/lib/python", "/etc/ssl"))}


def install(machine: Machine, *words: str) -> str:
    done = machine.online([INSTALL, *words])
    return done.stdout + done.stderr


def test_an_installation_serves_is_renewed_and_leaves_nothing(machine: Machine) -> None:
    before = files(machine)
    install(machine)
    assert machine.run(["getent", "passwd", "proxyd"]).stdout.startswith("proxyd:")
    assert "UDP-PROXY(8)" in machine.run(["mandoc", "/usr/local/share/man/man8/udp-proxy.8"]).stdout
    assert "--check" in machine.run(["fish", "-c", "complete -C 'udp-proxy --'"]).stdout
    configure(machine)
    assert status(machine, "udp-proxy", "start") == 0
    assert passes_datagrams(machine)
    assert "echo" in machine.shell("proxyctl status").stdout.lower()

    # Once more, over a changed file, while it runs.
    machine.shell("echo STOP_SECONDS=11 >>/etc/default/udp-proxy")
    said = install(machine)
    assert "kept /etc/default/udp-proxy" in said
    assert "STOP_SECONDS=11" in machine.read("/etc/default/udp-proxy")
    assert "STOP_SECONDS=10" in machine.read("/etc/default/udp-proxy.new")
    assert passes_datagrams(machine)
    assert status(machine, "udp-proxy", "restart") == 0
    assert passes_datagrams(machine)
    parent = machine.read("/run/udp-proxy-echo.pid").strip()

    install(machine, "--purge")
    assert machine.run(["kill", "-0", parent], check=False).returncode == 1
    assert files(machine) - before == set()
    assert machine.run(["getent", "passwd", "proxyd"], check=False).stdout == ""


def test_another_prefix_holds_everything_and_leaves_what_was_changed(machine: Machine) -> None:
    machine.online([INSTALL], PREFIX="/opt/proxies", SYSCONFDIR="/opt/proxies/etc", DESTDIR="/root/stage")
    assert machine.shell("find /root/stage -type f -not -path '/root/stage/opt/proxies/*'").stdout == ""
    script = machine.read("/root/stage/opt/proxies/etc/init.d/udp-proxy")
    assert "DAEMON=/opt/proxies/sbin/udp-proxy\n" in script
    assert "CONFIG_DIR=/opt/proxies/etc/udp-proxy\n" in script
    assert "/usr/sbin/udp-proxy" not in machine.shell("cat /root/stage/opt/proxies/lib/systemd/system/*").stdout
    machine.shell("mv /root/stage/opt/proxies /opt/")
    assert machine.shell("/opt/proxies/sbin/udp-proxy -v").stdout.startswith("udp-proxy (proxyd ")

    machine.shell("mv /opt/proxies /root/stage/opt/; echo INSTANCES=a >>/root/stage/opt/proxies/etc/default/udp-proxy")
    there = {"PREFIX": "/opt/proxies", "SYSCONFDIR": "/opt/proxies/etc", "DESTDIR": "/root/stage"}
    done = machine.online([INSTALL, "--uninstall"], **there)
    assert "kept /opt/proxies/etc/default/udp-proxy, which was changed" in done.stderr
    assert machine.shell("find /root/stage -type f").stdout == "/root/stage/opt/proxies/etc/default/udp-proxy\n"
