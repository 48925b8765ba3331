"""The session proxy's own part of the frame; how it runs is in tests/daemon and tests/system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxyd.daemon.activation import Given
from proxyd.daemon.session import SESSION_PROXY
from tests.proxyd.daemon.estates import make_settings

LOADED = "import sys, {module}; print(*sorted(sys.modules))"


def test_it_opens_the_logs_and_sockets_of_its_settings(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "log", workers=2)
    logs = SESSION_PROXY.logs(settings)
    logs.note("started", "0.1")
    logs.close()
    assert "started" in (tmp_path / "log").read_text()
    listeners = SESSION_PROXY.listeners(settings, 2, Given())
    assert [len(own) for own in listeners] == [1, 1]
    for (sock,) in listeners:
        sock.close()


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("proxyd.cli.uftpproxyd", ["dns", "lark", "workers.loop"]),
        # A second OpenSSL, and what makes files and processes: megabytes that nothing here needs.
        ("proxyd.cli.uftpproxyd", ["_hashlib", "psutil", "subprocess", "tempfile"]),
        ("proxyd.cli.udp_proxy", ["cryptography"]),
    ],
)
def test_no_program_loads_what_only_others_need(module: str, foreign: list[str]) -> None:
    code = LOADED.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not set(foreign) & set(done.stdout.split())
