"""A throw-away machine: this one's file system under a layer that is forgotten, in a network namespace of one's own.

What is installed, written or removed there is seen by nobody outside, and goes with it; so do its processes, which see
no others. Source: mount(8), overlay; nsenter(1); pid_namespaces(7).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.kit.installed import children_of
from tests.kit.place import Namespace, Place
from tests.kit.process import Process

ROOT = Path(__file__).parents[2]
"""The project: it is there too, wherever it lies, and cannot be written."""

_PREPARE = """
(
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mount --rbind /dev "$0/root/dev"
mount -t proc proc "$0/root/proc"
for each in run tmp var/log var/tmp; do
    mount -t tmpfs tmpfs "$0/root/$each"
done
chmod 1777 "$0/root/tmp" "$0/root/var/tmp"
mkdir -p "$0/root$1"
mount --bind "$1" "$0/root$1"
mount -o remount,bind,ro "$0/root$1"
mount -t sysfs sysfs "$0/root/sys"
# Its first process, so it must be one that takes care of orphans. Who enters before the root has changed is not there.
exec chroot "$0/root" bash -c 'echo prepared; sleep infinity & wait'
) &
# The first process of all hears nothing but this, and what unshare itself forks would not be told.
trap "kill -KILL $!" TERM
wait
"""
_PROBE = (
    'mount -t tmpfs tmpfs "$0" && mkdir "$0/u" "$0/w" "$0/r" && '
    'mount -t overlay overlay -o "lowerdir=/,upperdir=$0/u,workdir=$0/w" "$0/r"'
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine(Place):
    """The machine, from start to close. space: its network, which stays whoever made it's; folder: empty, ours.

    home: what relative names are relative to, and HOME.
    """

    def __init__(self, space: Namespace, folder: Path, home: str = "/root") -> None:
        super().__init__()
        self.space = space
        self.home = home
        self._folder = folder
        self._holder: Process | None = None
        self._first = 0

    def start(self) -> None:
        """Make it. Raises ProcessError where this machine cannot."""
        command = ["unshare", "--mount", "--pid", "sh", "-c", _PREPARE, self._folder, ROOT]
        self._holder = self.space.popen(command)
        self._holder.wait_for("prepared")
        (self._first,) = children_of(self._holder.pid)

    def argv(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command line that runs argv there, with an ordinary root's environment."""
        return [*self._enter(f"--net={self.space.path}"), "env", "-i", *self._setting(), *super().argv(argv)]

    def _enter(self, *words: str) -> list[str]:
        inside = f"/proc/{self._first}"
        return ["nsenter", *words, f"--mount={inside}/ns/mnt", f"--pid={inside}/ns/pid", f"--root={inside}/root"]

    def _setting(self) -> list[str]:
        return [f"--chdir={self.home}", f"PATH={PATH}", f"HOME={self.home}", "LANG=C.UTF-8"]

    def online(
        self, argv: Sequence[str | Path], within_s: float = 300.0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program there to its end that has this machine's network and its environment, for package indexes."""
        extra = [f"{name}={value}" for name, value in variables.items()]
        command = [*self._enter(), "env", *self._setting(), *extra, *super().argv(argv)]
        return Place().run(command, within_s=within_s)

    def shell(self, text: str, check: bool = True, within_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a shell's script there to its end; bash stops it at the first failure."""
        return self.run(["bash", "-euo", "pipefail", "-c", text], check, within_s=within_s)

    def write(self, path: str, text: str) -> None:
        """Write a file there; its directory is made."""
        self.run(["sh", "-c", 'mkdir -p "$(dirname "$0")" && cat >"$0"', path], text=text)

    def bring(self, path: Path) -> str:
        """Copy a file of this machine's there; return its place."""
        place = f"{self.home}/{path.name}"
        Place().run(["nsenter", f"--mount=/proc/{self._first}/ns/mnt", "cp", path, f"{self._folder}/root{place}"])
        return place

    def read(self, path: str) -> str:
        """Return a file's content, empty where there is none."""
        return self.run(["cat", path], check=False).stdout

    def close(self) -> None:
        """End what was started there, also what detached itself: with the first process all end."""
        super().close()
        if self._holder is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._first, signal.SIGKILL)
            self._holder.wait()


def can_overlay(folder: Path, environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether this machine can put a layer over its root. folder: empty."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _PROBE, folder], check=False, capture_output=True, env=environment
    )
    return done.returncode == 0


def start_machine(space: Namespace, folder: Path) -> Machine:
    """Return a started machine in this network; where layers cannot be made the test is skipped, and that is said."""
    folder.mkdir(parents=True, exist_ok=True)
    if not can_overlay(folder):
        pytest.skip("missing: the right to mount an overlay over the root file system")
    machine = Machine(space, folder)
    machine.start()
    return machine
