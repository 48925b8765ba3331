"""The logrotate files: after a rotation running proxies open their logs again, and nobody else is hit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.etc.host import CONFIGURATION, ETC, Host
from tests.kit.installed import TEST_UDP, UDP_PROXY, requires_installed
from tests.kit.process import Process
from tests.kit.requirement import requires_namespaces, requires_program

pytestmark = [requires_installed, requires_program("start-stop-daemon", "flock")]


def afterwards(name: str) -> str:
    """Return what is done after a rotation."""
    found = re.search(r"postrotate\n(.*)\n *endscript", (ETC / "logrotate.d" / name).read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@requires_namespaces
def test_a_running_proxy_opens_its_logs_again_and_a_stale_pidfile_hits_nobody(host: Host, tmp_path: Path) -> None:
    host.install("udp-proxy", f"DAEMON={UDP_PROXY}\nTESTER={TEST_UDP}")
    host.write("/etc/udp-proxy/one.cfg", CONFIGURATION.format(name="one", port=7001, items=""))
    assert host.service("udp-proxy", "start")[0] == 0
    sleeper = int(host.run("sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!").stdout)
    host.write("/run/udp-proxy-stale.pid", f"{sleeper}\n")
    host.run("mv", "/run/one.log", "/run/one.log.1")
    done = host.run("sh", "-c", afterwards("udp-proxy"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    host.run("timeout", "20", "sh", "-c", "until grep -q UDPS-741-K /run/one.log; do sleep 0.05; done")
    assert "UDPS-741-K Log files reopened" in host.read("/run/one.log")
    assert "UDPS-741-K" not in host.read("/run/one.log.1")
    assert host.running(sleeper)


@pytest.mark.parametrize("name", ["udp-proxy", "uftpproxyd"])
def test_what_is_done_afterwards_is_nothing_where_nothing_runs(name: str, tmp_path: Path) -> None:
    script = afterwards(name).replace("/run/", f"{tmp_path}/")
    with Process(["sh", "-c", script]) as process:
        assert (process.wait(), process.output) == (0, "")
    assert list(tmp_path.iterdir()) == []
