"""A host of its own for init scripts: a network namespace with its own /run and a copy of /etc, to install them in.

Whatever a script starts there ends with it, and nothing of it is seen outside.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.kit.installed import wait_for_end
from tests.kit.place import Namespace
from tests.kit.process import Process

ETC = Path(__file__).parents[2] / "etc"
CONFIGURATION = """version KERNUN-2_3-RELEASE;
udp-proxy {name} {{
  {items}
  listen-on {{ non-transparent [127.0.0.1] port {port}; }}
  udpserver {{ max-sessions 10; workers 1; }}
  log-debug {{ file "/run/{name}.log"; }}
  log-stats {{ file "/run/{name}.log"; }}
  session-acl ALL {{ accept; plug-to [127.0.0.1] : 9; }}
}}
"""
"""A udp-proxy configuration: its name, its port, further items."""
_PREPARE = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir "$0/etc"
mount -t tmpfs tmpfs "$0/etc"
cp -a /etc/. "$0/etc"
mount --bind "$0/etc" /etc
echo prepared
exec sleep infinity
"""


class Host:
    """The host. folder: an empty directory of ours, the same inside and outside."""

    def __init__(self, name: str, folder: Path) -> None:
        self._namespace = Namespace(name)
        self._folder = folder
        self._holder: Process | None = None

    def start(self) -> None:
        """Make it."""
        self._namespace.make()
        self._holder = self._namespace.popen(["unshare", "--mount", "sh", "-c", _PREPARE, self._folder])
        self._holder.wait_for("prepared")

    def run(self, *argv: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program there to its end, whatever its status."""
        assert self._holder is not None
        return self._namespace.run(["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", *argv], False, text)

    def write(self, path: str, text: str) -> None:
        """Write a file there; its directory is made."""
        done = self.run("sh", "-c", 'mkdir -p "$(dirname "$0")" && cat >"$0"', path, text=text)
        assert done.returncode == 0, done.stderr

    def read(self, path: str) -> str:
        """Return a file's content, empty where there is none."""
        return self.run("cat", path).stdout

    def install(self, script: str, defaults: str) -> None:
        """Install one of our init scripts with its defaults, to which the text is added."""
        for kind, mode in (("init.d", "755"), ("default", "644")):
            done = self.run("install", "-D", "-m", mode, ETC / kind / script, f"/etc/{kind}/{script}")
            assert done.returncode == 0, done.stderr
        shipped = (ETC / "default" / script).read_text()
        self.write(f"/etc/default/{script}", f"{shipped}\n{defaults}\n")

    def service(self, script: str, *words: str) -> tuple[int, str]:
        """Call an init script; return its exit status and what it printed."""
        done = self.run(f"/etc/init.d/{script}", *words)
        return done.returncode, done.stdout + done.stderr

    def kill(self, pid: int) -> None:
        """Kill a process, and wait for its end."""
        self.run("kill", "-KILL", str(pid))
        wait_for_end(pid)

    def running(self, pid: int) -> bool:
        """Tell whether there is such a process."""
        return Path(f"/proc/{pid}").exists()

    def close(self) -> None:
        """End all there is."""
        self._namespace.close()
