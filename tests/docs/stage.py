"""The hosts of a page as throw-away machines, and its blocks carried out there, one after the other."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

from tests.docs.scenes import Scene
from tests.kit.machine import ROOT, Machine, start_machine
from tests.kit.pages import Block, missing_line
from tests.kit.town import Town

WITHIN_S = 120.0
AGAIN_S = 0.2
_FURNISH = """
tar -C / -xf {archive}
useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin proxyd
"""


class Stage:
    """A scene's machines. archive: an installation under /usr/local, for those that have our programs already."""

    def __init__(self, scene: Scene, folder: Path, archive: Path) -> None:
        self._scene = scene
        self._folder = folder
        self._archive = archive
        self._machines: dict[str, Machine] = {}
        self._printed = ""
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        with self._cleanup:
            town = self._cleanup.enter_context(Town(self._scene.hosts, self._scene.gateways))
            self._scene.prepare(town, self._folder / "servers")
            for host in self._scene.hosts:
                machine = start_machine(town[host], self._folder / host)
                self._cleanup.callback(machine.close)
                self._machines[host] = machine
            for host in self._scene.furnished:
                place = self._machines[host].bring(self._archive)
                self._machines[host].shell(_FURNISH.format(archive=place))
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def carry_out(self, block: Block) -> None:
        """Write the file, run the commands, or compare the output of a block; pass over pictures.

        Raises AssertionError, ProcessError among them, where it is not as the page says.
        """
        if "file" in block.words:
            self._machines[block.host].write(block.words["file"], block.text)
        elif block.is_run:
            self._run(block)
        elif "output" in block.words:
            missing = missing_line(block.text, self._printed)
            assert missing is None, f"line {block.line}: {missing!r} was not printed, but:\n{self._printed}"

    def _run(self, block: Block) -> None:
        deadline = time.monotonic() + WITHIN_S
        wanted = int(block.words.get("status", "0"))
        done = self._run_once(block)
        while "until" in block.words and done.returncode != wanted and time.monotonic() < deadline:
            time.sleep(AGAIN_S)
            done = self._run_once(block)
        self._printed = done.stdout + done.stderr
        assert done.returncode == wanted, f"line {block.line}: ended with {done.returncode}:\n{self._printed}"

    def _run_once(self, block: Block) -> subprocess.CompletedProcess[str]:
        machine = self._machines[block.host]
        if "online" in block.words or "scripts/" in block.text:
            return machine.online(["bash", "-euc", f"cd {ROOT}\n{block.text}"])
        return machine.shell(block.text, check=False, within_s=WITHIN_S)
