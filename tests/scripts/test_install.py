"""What scripts/install says before it does anything. What it installs: tests/packaging/test_install.py."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.kit.requirement import requires_program

INSTALL = Path(__file__).parents[2] / "scripts" / "install"
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-all"] if os.geteuid() == 0 else []


@requires_program("setpriv")
def test_who_may_not_write_there_is_told_at_once_and_nothing_is_made(tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    prefix.mkdir(mode=0o555)
    places = {**os.environ, "PREFIX": f"{prefix}/proxies", "SYSCONFDIR": f"{tmp_path}/etc", "DESTDIR": ""}
    done = subprocess.run([*UNPRIVILEGED, INSTALL], env=places, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"install: {prefix} cannot be written: run this as root, or name other places (scripts/install --help)\n"
    )
    assert list(tmp_path.iterdir()) == [prefix]
